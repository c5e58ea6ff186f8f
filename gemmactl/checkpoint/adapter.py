"""A LoRA adapter's folder: its base, rank and targets, against the base's architecture. Loads and merges nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from gemmactl.checkpoint.deep import MOST, SAMPLE
from gemmactl.checkpoint.families import Family, of
from gemmactl.checkpoint.files import Files
from gemmactl.checkpoint.finding import Severity
from gemmactl.checkpoint.ledger import Ledger
from gemmactl.checkpoint.reading import Contents
from gemmactl.checkpoint.whereabouts import UPLOAD, listed
from gemmactl.errors import Trouble
from inference_image import bases, contract, layout, lora
from inference_image.contract import Code, LoadFailed
from inference_image.layout import Tensor

OpenBase = Callable[[str], Files]
"""The folder of a base model by the name that adapter_config.json gives it. Raises Trouble when it can't be reached."""

_RETRAIN: Final = "train it on the base that is to be served, with targets of its language model"
_MERGE: Final = "merge it with PEFT's merge_and_unload, and serve the merged model"
_REMEDIES: Final = {
    "kind": _MERGE,
    "embedding": _MERGE,
    "head": _MERGE,
    "half": UPLOAD,
    "dtype": "save it in bfloat16 or float32",
    "base": f"{bases.WAY_OUT} (deploy: --set-env-vars; serve and generate --local: in the environment)",
}
"""By lora.Problem's code; for all others it is another training."""


@dataclass(frozen=True)
class Adapter:
    """What was found out; `base`: as the adapter names it, `modules`: how many of the base's it changes."""

    base: str = ""
    rank: int = 0
    modules: int = 0
    family: Family | None = None
    bytes: int = 0
    """What it takes beside its base once it is loaded."""


@dataclass(frozen=True)
class _Underlying:
    files: Files
    family: Family
    needed: Mapping[str, tuple[int, ...]]


def adapter(contents: Contents, open_base: OpenBase, ledger: Ledger, given: str = "", *, any_base: bool = False) -> Adapter:
    """Everything about an adapter that headers and configs tell.

    `given`: the model that it is to change, whatever its config names; `any_base`: even one that it was not trained on.
    """
    data = contents.small.get(contract.ADAPTER_CONFIG)
    if data is None:
        ledger.add(
            "adapter-config-missing", "error", contract.ADAPTER_CONFIG, "without it nothing tells base and rank", remedy=UPLOAD
        )
        return Adapter()
    config = ledger.attempt(lambda: lora.Config.parse(data), code="adapter-config-invalid", remedy=UPLOAD, by_engine=False)
    if config is None:
        return Adapter()
    _tell(config.problems, ledger)
    name = given or config.base
    base = _underlying(name, open_base, ledger)
    if base is not None and given:
        _trained_on(bases.Claim.of(config.base, contents.small.get(contract.LINEAGE)), base.files, ledger, any_base=any_base)
    rows = _tensors(contents, ledger)
    if base is None or rows is None:
        return Adapter(name, config.rank, family=base.family if base else None)
    found = lora.match(rows, config, base.needed, base.family)
    _targets(data, base, ledger, told=any(one.code == "targets" for one in found.problems))
    _tell(found.problems, ledger)
    return Adapter(name, config.rank, len(found.modules), base.family, sum(pair.values for pair in found.pairs) * lora.ITEM)


def _trained_on(claim: bases.Claim, files: Files, ledger: Ledger, *, any_base: bool) -> None:
    """As the engine judges it."""
    source, entries = "", {}
    with suppress(Trouble):  # without a list names decide, as with the engine
        entries = dict(files.entries)
        if contract.MANIFEST in entries:  # asked for by the list, as the next look foresees it
            source = bases.source_of(files.read(contract.MANIFEST, 0, layout.limit_of(contract.MANIFEST)))
    listed = {name: (one.size, one.crc32c, one.version) for name, one in entries.items()}
    judged = bases.judge(claim, bases.Model(files.place, source, listed))
    if judged.problem is not None:
        severity: Severity = "warning" if any_base else "error"
        ledger.add("adapter-base", severity, judged.problem.object, judged.problem.what, remedy=_REMEDIES["base"])


def _tell(problems: Iterable[lora.Problem], ledger: Ledger) -> None:
    """Each kind once: what holds for one tensor mostly holds for all."""
    kinds: dict[tuple[str, str], list[lora.Problem]] = {}
    for one in problems:
        kinds.setdefault((one.code, one.object if one.object == contract.ADAPTER_CONFIG else ""), []).append(one)
    for (code, _), (first, *more) in kinds.items():
        also = f"{len(more) + 1} times; {more[0].what}" if more else ""
        remedy = _REMEDIES.get(code, _RETRAIN)
        ledger.add(f"adapter-{code}", "error", first.object, first.what, evidence=also, remedy=remedy)


def _underlying(name: str, open_base: OpenBase, ledger: Ledger) -> _Underlying | None:
    """The base's family and parameters, as far as its config.json can be read."""
    if not name:
        ledger.add("adapter-base-missing", "error", contract.ADAPTER_CONFIG, "it names no base model", remedy=_RETRAIN)
        return None
    try:
        files = open_base(name)
        data = files.read(contract.CONFIG, 0, layout.limit_of(contract.CONFIG))
    except Trouble as trouble:
        ledger.add(
            "adapter-base-unreachable",
            "warning",
            name,
            f"the base model {name} can't be looked at: {trouble.what}",
            evidence=trouble.why,
            remedy=trouble.remedy,
        )
        return None
    if not data:
        ledger.add(
            "adapter-base-unreachable",
            "warning",
            name,
            f"there is no config.json at the base model {name}",
            remedy="put the base where the adapter names it, or name it with --base",
        )
        return None
    try:
        raw = layout.parse_json(data, contract.CONFIG, Code.CONFIG_INVALID)
        row, text = of(raw), layout.text_config(raw)
    except LoadFailed as failed:
        ledger.add("adapter-base-unsupported", "error", name, f"the base {name} is not served", evidence=failed.failure.detail)
        return None
    return _Underlying(files, row, layout.expected(text)) if row else None


def _tensors(contents: Contents, ledger: Ledger) -> tuple[Tensor, ...] | None:
    """None: they can't be read, and the ledger has why."""
    name = contract.ADAPTER_WEIGHTS
    if name not in contents.sizes:
        ledger.add(
            "adapter-weights-missing",
            "error",
            name,
            f"there is no {name}",
            evidence=listed(sorted(contents.top)),
            remedy="save the adapter with save_pretrained: safetensors is the default",
        )
        return None
    head, size = contents.heads.get(name, b""), contents.sizes[name]
    return ledger.attempt(lambda: layout.parse_header(head, name, size), remedy=UPLOAD, by_engine=False)


def _targets(data: bytes, base: _Underlying, ledger: Ledger, *, told: bool) -> None:
    """Which of the target modules name nothing in the base's language model. What the tensors say counts; this is a hint."""
    wanted = layout.parse_json(data, contract.ADAPTER_CONFIG, Code.ADAPTER_INVALID).get("target_modules")
    modules = [n.removesuffix(".weight") for n, shape in base.needed.items() if len(shape) == 2]
    if told or not isinstance(wanted, list):
        return
    lost = [str(one) for one in wanted if not any(lora.named((str(one),), module) for module in modules)]
    if lost:
        ledger.add(
            "adapter-targets",
            "warning",
            contract.ADAPTER_CONFIG,
            f"target_modules name modules that are not in the base: {listed(lost)}",
            remedy=_RETRAIN,
        )


def untrained(files: Files, contents: Contents, ledger: Ledger) -> None:
    """LoRA begins with B at zero: an adapter whose every B is zero changes nothing. Reads the beginning of each."""
    rows = [tensor for tensor in _tensors(contents, Ledger()) or () if lora.half(tensor.name) == "B"]
    if rows and not any(any(files.read(t.object, t.begin, min(t.end, t.begin + SAMPLE))) for t in rows[:MOST]):
        ledger.add(
            "adapter-untrained",
            "error",
            rows[0].name,
            "every B of the adapter that was sampled is zero, as before training: the base alone would answer",
            evidence=f"{min(len(rows), MOST)} of {len(rows)} tensors",
            remedy="give the adapter of a later step; look whether the training saved what it trained",
        )
