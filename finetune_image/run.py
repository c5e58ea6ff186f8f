"""Owns the wishes of a fine-tune and the document of a run: forms, limits, identity. Knows no library: standard library only."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, TypeVar

from finetune_image.contract import Code, TuneFailed
from finetune_image.sft_fields import OWNED as OWNED  # noqa: PLC0414 - read from here, too
from finetune_image.sft_fields import fraction, typed
from finetune_image.sft_fields import sft_fields as sft_fields  # noqa: PLC0414 - the same

_Kind = TypeVar("_Kind")

SCHEMA: Final = "gemmactl/finetune-run.v1"
FORMATS: Final = ("auto", "messages", "sharegpt", "prompt-completion", "alpaca", "text", "template")
QUANTIZE: Final = ("auto", "none", "nf4")
TARGETS: Final = ("language-linear", "attention", "query-value")
"""Which linear layers of the language model get an adapter: all; q, k, v and o; or q and v alone."""
NAME: Final = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")


@dataclass(frozen=True)
class Data:
    """`train`, `eval`: a file, `gs://...`, `hf:owner/name[:split]`; `eval` may be the share of `train` that is held out."""

    train: str = ""
    eval: str | float = 0.05
    limit: int | None = None
    """Most rows, chosen with `shuffle_seed`; None: all."""
    shuffle_seed: int = 42
    format: str = "auto"
    prompt: str | None = None
    """Template over the columns of a row, `{column}`; with `completion` (or without: then the whole is `text`)."""
    completion: str | None = None
    system: str | None = None


@dataclass(frozen=True)
class Lora:
    r: int = 16
    alpha: int = 32
    dropout: float = 0.05
    target: str = "language-linear"


@dataclass(frozen=True)
class Train:
    """`sft`: fields of trl's SFTConfig by their own names, passed through."""

    epochs: float = 1.0
    lr: float = 2e-4
    max_length: int = 1024
    """Longest sequence in tokens."""
    batch_tokens: int = 8192
    """Tokens of one optimizer step; the worker makes micro-batches of it that fit."""
    packing: bool = True
    warmup: float = 0.03
    """Share of the steps (below 1), or steps."""
    seed: int = 42
    sft: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    minutes: float = 5.0
    keep: int = 2


@dataclass(frozen=True)
class Stop:
    """`patience`: evaluations without a better held-out loss; 0: never stop early. The other two are promises; None: no limit."""

    patience: int = 3
    max_usd: float | None = None
    max_hours: float | None = None


@dataclass(frozen=True)
class Output:
    """`shard`: bytes of a shard of the merged model; None: the base's own files."""

    merged: bool = True
    adapter: bool = True
    shard: int | None = None


@dataclass(frozen=True)
class Wish:
    """Everything that a user may say of a fine-tune; what is not said is derived or a default."""

    model: str = "google/gemma-3-4b-it"
    """`owner/name[@revision]` or `hf:...` of the Hub, `gs://bucket/folder`, or a directory."""
    name: str = "tuned"
    data: Data = field(default_factory=Data)
    lora: Lora = field(default_factory=Lora)
    quantize: str = "auto"
    """auto: none up to 4B, nf4 above."""
    train: Train = field(default_factory=Train)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    stop: Stop = field(default_factory=Stop)
    output: Output = field(default_factory=Output)

    def document(self) -> dict[str, Any]:
        """As JSON; `parse` reads it back. SFTConfig's fields stand among those of `train`."""
        made = asdict(self)
        made["train"] |= made["train"].pop("sft")
        return made

    def identity(self, base: str, data: str, libraries: str) -> str:
        """64 hex digits over everything that decides the weights: not where they go, how often they are saved, what it may cost.

        `base`, `data`: fingerprints of what is read; `libraries`: of the packages it is trained with.
        """
        said = self.document()
        told = {key: said[key] for key in ("lora", "quantize", "train")}
        told["data"] = {k: v for k, v in said["data"].items() if k != "train" and not (k == "eval" and isinstance(v, str))}
        told["patience"] = self.stop.patience
        text = json.dumps([told, base, data, libraries], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class File:
    """A data file as it was when the run was made. `rows` as `finetune check` counted them; None: nobody did."""

    uri: str
    sha256: str
    rows: int | None = None


@dataclass(frozen=True)
class Run:
    """The document RUN_FILE: one run, pinned. `base`: fingerprint of the base's files, `pins`: their generations by name."""

    run_id: str
    identity: str
    wish: Wish
    bucket: str
    """`gs://bucket` or a directory: RUNS, MODELS and ADAPTERS are below it."""
    train: File
    eval: File | None = None
    base: str = ""
    pins: Mapping[str, str] = field(default_factory=dict)
    libraries: str = ""
    made_by: str = ""

    def text(self) -> str:
        made = {"schema": SCHEMA, **asdict(self), "wish": self.wish.document()}
        return json.dumps(made, indent=1, sort_keys=True) + "\n"

    @staticmethod
    def parse(text: str | bytes) -> Run:
        """Read RUN_FILE. Raises TuneFailed(run_invalid)."""
        try:
            made = json.loads(text)
            if made.pop("schema") != SCHEMA:
                raise ValueError(f"its schema is not {SCHEMA}")
            files = {k: File(**made[k]) if made.get(k) else None for k in ("train", "eval")}
            return Run(**{**made, **files, "wish": parse(made["wish"])})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise TuneFailed(Code.RUN_INVALID, "run.json", str(error), "a newer gemmactl may have written it") from None


def parse(document: Mapping[str, Any], where: str = "finetune.yaml") -> Wish:
    """A wish from the form of finetune.yaml.

    Raises:
        TuneFailed: (settings_invalid) an unknown name, with what was meant; a value that can't be.
    """
    top = _known(document, {f.name for f in fields(Wish)}, where, "")
    parts = {"data": Data, "lora": Lora, "checkpoint": Checkpoint, "stop": Stop, "output": Output}
    made: dict[str, Any] = {}
    for name, kind in parts.items():
        if name in top:
            inner = _known(_mapping(top[name], where, name), {f.name for f in fields(kind)}, where, name)
            made[name] = _filled(kind, inner, where, name)
    if "train" in top:
        made["train"] = _train(_mapping(top["train"], where, "train"), where)
    wish = _filled(Wish, {k: v for k, v in top.items() if k not in made} | made, where, "")
    _check(wish, where)
    return wish


def _train(given: Mapping[str, Any], where: str) -> Train:
    own = {f.name for f in fields(Train)} - {"sft"}
    known = own | set(sft_fields())
    for name in given:
        if name not in own and OWNED.get(name):
            said = OWNED[name]
            renamed = f"write {said} in place of train.{name}" if said.startswith("train.") else f"remove train.{name}"
            detail = f"it is called {said} here" if said.startswith("train.") else said
            raise TuneFailed(Code.SETTINGS_INVALID, f"{where}: train.{name}", detail, renamed)
    given = _known(given, known, where, "train")
    sft = typed({k: given[k] for k in given if k not in own}, where)
    return _filled(Train, {**{k: v for k, v in given.items() if k in own}, "sft": sft}, where, "train")


def _known(given: Mapping[str, Any], known: set[str], where: str, part: str) -> Mapping[str, Any]:
    for name in given:
        if name not in known:
            spot = f"{part}.{name}" if part else str(name)
            near = difflib.get_close_matches(str(name), sorted(known), n=1)
            meant = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known)[:12])}"
            raise TuneFailed(Code.SETTINGS_INVALID, f"{where}: {spot}", f"there is no such setting; {meant}")
    return given


def _mapping(value: Any, where: str, part: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TuneFailed(Code.SETTINGS_INVALID, f"{where}: {part}", f"it must be a mapping, not {value!r}")
    return value


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "str": (str,), "int": (int,), "float": (int, float), "bool": (bool,), "str | None": (str,), "int | None": (int,),
    "float | None": (int, float), "str | float": (str, int, float),
}  # fmt: skip


def _filled(kind: type[_Kind], given: Mapping[str, Any], where: str, part: str) -> _Kind:
    """A dataclass of plain values, each of its field's type; a number may stand where a fraction is wanted."""
    made = {}
    for one in fields(kind):  # type: ignore[arg-type]  # each is a dataclass
        if one.name not in given:
            continue
        value, types = given[one.name], _TYPES.get(str(one.type))
        value = fraction(value) if types and float in types and str not in types else value
        none = value is None and "None" in str(one.type)
        if types and not none and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
            spot = f"{part}.{one.name}" if part else one.name
            raise TuneFailed(Code.SETTINGS_INVALID, f"{where}: {spot}", f"it must be {one.type}, not {value!r}")
        made[one.name] = float(value) if types and float in types and type(value) is int else value
    return kind(**made)


_COUNTS: Final = (
    "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps", "logging_steps"
)  # fmt: skip


def _check(wish: Wish, where: str) -> None:
    """Values that no run can have."""
    share = wish.data.eval if isinstance(wish.data.eval, float) else 0.0
    rules = (
        ("name", bool(NAME.fullmatch(wish.name)), "1 to 40 of a-z, 0-9 and -, first a letter"),
        ("data.format", wish.data.format in FORMATS, f"one of {', '.join(FORMATS)}"),
        ("data.eval", 0 <= share < 1, "a share below 1, or a file"),
        ("data.limit", wish.data.limit is None or wish.data.limit > 0, "a number above 0"),
        ("quantize", wish.quantize in QUANTIZE, f"one of {', '.join(QUANTIZE)}"),
        ("lora.target", wish.lora.target in TARGETS, f"one of {', '.join(TARGETS)}"),
        ("lora.r", 1 <= wish.lora.r <= 512, "1 to 512"),
        ("lora.alpha", wish.lora.alpha > 0, "a number above 0"),
        ("lora.dropout", 0 <= wish.lora.dropout < 1, "0 to 1"),
        ("data.shuffle_seed", wish.data.shuffle_seed >= 0, "0 or above"),
        ("train.seed", 0 <= wish.train.seed < 1 << 32, "0 to 4294967295"),
        ("train.epochs", 0 < wish.train.epochs < float("inf"), "a number above 0"),
        ("train.lr", 0 < wish.train.lr < 1, "a number between 0 and 1"),
        ("train.max_length", wish.train.max_length >= 16, "16 tokens or more"),
        ("train.batch_tokens", wish.train.batch_tokens >= 1, "a number above 0"),
        ("train.warmup", wish.train.warmup >= 0, "a share or a number of steps"),
        ("checkpoint.minutes", wish.checkpoint.minutes > 0, "a number above 0"),
        ("checkpoint.keep", wish.checkpoint.keep >= 1, "1 or more"),
        ("stop.patience", wish.stop.patience >= 0, "0 or more"),
        ("stop.max_usd", wish.stop.max_usd is None or wish.stop.max_usd > 0, "dollars above 0"),
        ("stop.max_hours", wish.stop.max_hours is None or wish.stop.max_hours > 0, "hours above 0"),
        ("output.shard", wish.output.shard is None or wish.output.shard >= 1 << 20, "1 MiB or more"),
        ("output", wish.output.merged or wish.output.adapter, "merged, adapter or both"),
    )
    counts = ((f"train.{name}", wish.train.sft.get(name, 1) > 0, "a number above 0") for name in _COUNTS)
    for spot, good, wanted in (*rules, *counts):
        if not good:
            raise TuneFailed(Code.SETTINGS_INVALID, f"{where}: {spot}", f"it must be {wanted}")
