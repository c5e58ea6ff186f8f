"""A LoRA adapter's folder: its base, rank and targets, against the base's architecture. Loads and merges nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gemmactl.checkpoint.deep import MOST, SAMPLE
from gemmactl.checkpoint.families import Family, of
from gemmactl.checkpoint.files import Files
from gemmactl.checkpoint.ledger import Ledger
from gemmactl.checkpoint.reading import Contents
from gemmactl.checkpoint.whereabouts import UPLOAD, listed
from gemmactl.errors import Trouble
from inference_image import contract, families, layout
from inference_image.contract import Code, LoadFailed
from inference_image.layout import Tensor

Json = Mapping[str, Any]
OpenBase = Callable[[str], Files]
"""The folder of a base model by the name that adapter_config.json gives it. Raises Trouble when it can't be reached."""

_KEY: Final = re.compile(r"(?P<module>.+?)\.lora_(?P<half>A|B|embedding_A|embedding_B)(?:\.[\w-]+)?(?:\.weight)?")
_RETRAIN: Final = "train it on the base that is to be served, with targets of its language model"


@dataclass(frozen=True)
class Adapter:
    """What was found out; `base`: as the adapter names it, `modules`: how many of the base's it changes."""

    base: str = ""
    rank: int = 0
    modules: int = 0
    family: Family | None = None


@dataclass(frozen=True)
class _Underlying:
    family: Family
    needed: Mapping[str, tuple[int, ...]]


def adapter(contents: Contents, open_base: OpenBase, ledger: Ledger, given: str = "") -> Adapter:
    """Everything about an adapter that headers and configs tell. `given`: its base, where the user names another place."""
    data = contents.small.get(contract.ADAPTER_CONFIG)
    if data is None:
        ledger.add(
            "adapter-config-missing", "error", contract.ADAPTER_CONFIG, "without it nothing tells base and rank", remedy=UPLOAD
        )
        return Adapter()
    config = ledger.attempt(
        lambda: layout.parse_json(data, contract.ADAPTER_CONFIG, Code.CONFIG_INVALID),
        code="adapter-config-invalid",
        remedy=UPLOAD,
        by_engine=False,
    )
    if config is None:
        return Adapter()
    _kind(config, ledger)
    name, rank = given or str(config.get("base_model_name_or_path") or ""), config.get("r")
    base = _underlying(name, open_base, ledger)
    rows = _tensors(contents, ledger)
    rank = rank if isinstance(rank, int) and not isinstance(rank, bool) and rank > 0 else 0
    if not rank:
        ledger.add(
            "adapter-rank", "error", contract.ADAPTER_CONFIG, "the rank r is no positive number", evidence=str(config.get("r"))
        )
    if base is None:
        return Adapter(name, rank)
    _targets(config.get("target_modules"), base, ledger)
    return Adapter(name, rank, _modules(rows, config, rank, base, ledger), base.family)


def _kind(config: Json, ledger: Ledger) -> None:
    kind = str(config.get("peft_type") or "LORA")
    if kind != "LORA":
        ledger.add(
            "adapter-kind", "error", contract.ADAPTER_CONFIG, f"a {kind} adapter: LoRA is what servers can apply", remedy=_RETRAIN
        )
    for key, word in (
        ("use_dora", "DoRA"),
        ("modules_to_save", "whole modules beside LoRA"),
        ("trainable_token_indices", "tokens"),
    ):
        if config.get(key):
            ledger.add(
                "adapter-kind",
                "warning",
                contract.ADAPTER_CONFIG,
                f"the adapter carries {word}: vLLM refuses it, and a merge must be PEFT's own",
                evidence=f"{key}: {config[key]}",
                remedy="merge it with PEFT's merge_and_unload, and serve the merged model",
            )


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
    return _Underlying(row, layout.expected(text)) if row else None


def _tensors(contents: Contents, ledger: Ledger) -> tuple[Tensor, ...]:
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
        return ()
    head, size = contents.heads.get(name, b""), contents.sizes[name]
    found = ledger.attempt(lambda: layout.parse_header(head, name, size), remedy=UPLOAD, by_engine=False)
    return found or ()


def _targets(wanted: object, base: _Underlying, ledger: Ledger) -> None:
    """Which of the target modules name nothing in the base's language model."""
    modules = [n.removesuffix(".weight") for n, shape in base.needed.items() if len(shape) == 2]
    if isinstance(wanted, str) and wanted != "all-linear":
        try:
            hits = any(re.fullmatch(wanted, m) or re.fullmatch(wanted, f"model.language_{m}") for m in modules)
        except re.error:
            hits = False
        lost = [] if hits else [wanted]
        every = not hits
    elif isinstance(wanted, list):
        lost = [str(t) for t in wanted if not any(m == str(t) or m.endswith(f".{t}") for m in modules)]
        every = len(lost) == len(wanted)
    else:
        return
    if lost:
        ledger.add(
            "adapter-targets",
            "error" if every else "warning",
            contract.ADAPTER_CONFIG,
            f"target_modules name {'nothing' if every else 'modules that are not'} in the base: {listed(lost)}",
            remedy=_RETRAIN,
        )


def _modules(rows: tuple[Tensor, ...], config: Json, rank: int, base: _Underlying, ledger: Ledger) -> int:
    """Match every LoRA tensor to a parameter of the base; how many modules of its language model are changed."""
    hit: set[str] = set()
    vision: list[str] = []
    lost: list[str] = []
    shapes: list[str] = []
    for tensor in rows:
        found = _KEY.fullmatch(_unwrapped(tensor.name))
        if found is None:
            lost.append(tensor.name)
            continue
        own = families.own_name(base.family, f"{found['module']}.weight")
        if own is None:
            vision.append(tensor.name)
        elif (shape := base.needed.get(own)) is None:
            lost.append(tensor.name)
        else:
            hit.add(own)
            if not found["half"].startswith("embedding") and not _fits(tensor, shape, found["half"], rank, config):
                shapes.append(f"{tensor.name} {list(tensor.shape)} on {list(shape)}")
    _told(rows, hit, vision, lost, shapes, ledger)
    return len(hit)


def _told(rows: tuple[Tensor, ...], hit: set[str], vision: list[str], lost: list[str], shapes: list[str], ledger: Ledger) -> None:
    if rows and not hit:
        ledger.add(
            "adapter-matches-nothing",
            "error",
            rows[0].name,
            "no tensor of the adapter names a module of its base's language model: the base alone would answer",
            evidence=rows[0].name,
            remedy=_RETRAIN,
        )
    elif lost:
        ledger.add(
            "adapter-keys-unknown", "warning", lost[0], f"{len(lost)} tensors name no module of the base", evidence=listed(lost)
        )
    if vision:
        ledger.add(
            "adapter-vision",
            "warning",
            vision[0],
            f"{len(vision)} tensors change the vision tower; servers apply LoRA to the language model alone",
            remedy="train with targets of the language model: vision layers excluded",
        )
    if shapes:
        ledger.add(
            "adapter-shape",
            "error",
            shapes[0].partition(" ")[0],
            f"{len(shapes)} tensors don't fit the rank or the base's shapes: it was trained on another base",
            evidence=shapes[0],
            remedy=_RETRAIN,
        )


def untrained(files: Files, contents: Contents, ledger: Ledger) -> None:
    """LoRA begins with B at zero: an adapter whose every B is zero changes nothing. Reads the beginning of each."""
    rows = [t for t in _tensors(contents, Ledger()) if (m := _KEY.fullmatch(_unwrapped(t.name))) and m["half"].endswith("B")]
    if rows and not any(any(files.read(t.object, t.begin, min(t.end, t.begin + SAMPLE))) for t in rows[:MOST]):
        ledger.add(
            "adapter-untrained",
            "error",
            rows[0].name,
            "every B of the adapter that was sampled is zero, as before training: the base alone would answer",
            evidence=f"{min(len(rows), MOST)} of {len(rows)} tensors",
            remedy="give the adapter of a later step; look whether the training saved what it trained",
        )


def _unwrapped(key: str) -> str:
    while key.startswith(layout.PEFT):
        key = key.removeprefix(layout.PEFT)
    return key


def _fits(tensor: Tensor, shape: tuple[int, ...], half: str, rank: int, config: Json) -> bool:
    """A is (r, in), B is (out, r); single modules may have a rank of their own (rank_pattern)."""
    if len(tensor.shape) != 2 or len(shape) != 2:
        return False
    r, side = (tensor.shape[0], tensor.shape[1]) if half == "A" else (tensor.shape[1], tensor.shape[0])
    return (r == rank or bool(config.get("rank_pattern"))) and side == (shape[1] if half == "A" else shape[0])
