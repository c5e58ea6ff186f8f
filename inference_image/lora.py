"""Owns what a LoRA adapter is: what its config says, which modules of a base its tensors change. Standard library only.

The engine refuses the first problem that is found here, `inspect` shows them all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from inference_image import contract, families, layout
from inference_image.contract import Code, LoadFailed
from inference_image.families import Family
from inference_image.layout import SERVABLE, Tensor
from inference_image.small_files import natural

CONFIG: Final = contract.ADAPTER_CONFIG
WEIGHTS: Final = contract.ADAPTER_WEIGHTS
WEIGHTS_LIMIT: Final = 4 << 30
"""Bytes of an adapter's weights; rank 64 on every module of a 27B has 1.8 GB in float32."""
ITEM: Final = 4
"""Bytes of a value in memory: PEFT computes adapters in float32, whatever they were stored in."""
_LONGEST_PATTERN: Final = 256
_MERGE: Final = "merge it into its base with PEFT's merge_and_unload, and serve the merged model"


@dataclass(frozen=True)
class Problem:
    """Why an adapter can't be applied. `code` is `inspect`'s, without its `adapter-`; `object`: the key or tensor it is about."""

    code: str
    object: str
    what: str


# --- adapter_config.json --------------------------------------------------------------------------

_PLAIN_STARTS: Final = (None, True, False, "true", "false", "gaussian", "eva", "orthogonal")
"""Values of init_lora_weights that leave the base as it is. pissa, olora, corda, loftq and lora_ga change it before training."""
_MORE_THAN_LORA: Final = {
    "use_dora": "it is a DoRA adapter",
    "lora_bias": "it has biases beside its matrices",
    "modules_to_save": "it carries whole modules",
    "trainable_token_indices": "it carries tokens of its own",
    "target_parameters": "it changes parameters that are no modules",
    "layer_replication": "it repeats layers of its base",
    "alora_invocation_tokens": "it is switched on by tokens of the prompt",
    "fan_in_fan_out": "it was made for transposed weights, which Gemma has not",
    "arrow_config": "it routes between other adapters",
    "kasa_config": "it is a KaSA adapter",
    "monteclora_config": "it is a MonteCLoRA adapter",
    "velora_config": "it is a VeLoRA adapter",
}


@dataclass(frozen=True)
class Config:
    """adapter_config.json. `targets`: names that modules end with; None where it has a pattern, then the tensors alone decide.

    `ranks` are all that a module may have; `alphas` are pairs of PEFT's pattern of a module's name and its alpha.
    """

    rank: int = 0
    alpha: float = 0.0
    root: bool = False
    ranks: frozenset[int] = frozenset()
    alphas: tuple[tuple[str, float], ...] = ()
    targets: tuple[str, ...] | None = None
    base: str = ""
    problems: tuple[Problem, ...] = ()

    @classmethod
    def parse(cls, data: bytes) -> Config:
        """The file as it says, right or wrong: see `problems`. Raises LoadFailed(adapter_invalid) for what is no JSON object."""
        raw = layout.parse_json(data, CONFIG, Code.ADAPTER_INVALID)
        rank, alpha, targets = raw.get("r"), raw.get("lora_alpha"), raw.get("target_modules")
        ranks, alphas = raw.get("rank_pattern") or {}, raw.get("alpha_pattern") or {}
        problems = [*_kinds(raw)]
        if not _rank(rank):
            problems.append(Problem("rank", CONFIG, f"the rank r is {str(rank)[:40]}, no positive number"))
        if not _alpha(alpha):
            problems.append(Problem("rank", CONFIG, f"lora_alpha is {str(alpha)[:40]}, no number that scales anything"))
        if not isinstance(ranks, dict) or not all(map(_rank, ranks.values())):
            problems.append(Problem("rank", CONFIG, "rank_pattern does not give a positive number for each pattern"))
            ranks = {}
        if not isinstance(alphas, dict) or not all(map(_alpha, alphas.values())) or not all(map(_pattern, alphas)):
            problems.append(Problem("rank", CONFIG, "alpha_pattern does not give a number for each pattern of a name"))
            alphas = {}
        if not isinstance(targets, str | list | None) or not all(isinstance(one, str) for one in targets or ()):
            problems.append(Problem("targets", CONFIG, "target_modules is neither a list of names nor a pattern"))
            targets = None
        good = rank if isinstance(rank, int) and _rank(rank) else 0
        return cls(
            rank=good,
            alpha=alpha if isinstance(alpha, int | float) and _alpha(alpha) else 0.0,
            root=raw.get("use_rslora") is True,
            ranks=frozenset({good, *ranks.values()} - {0}),
            alphas=tuple(alphas.items()),
            targets=tuple(targets) if isinstance(targets, list) else None,
            base=str(raw.get("base_model_name_or_path") or ""),
            problems=tuple(problems),
        )

    def scaling(self, names: Iterable[str], rank: int) -> float:
        """What the product of both matrices is multiplied with; `names`: how the module may be called, for the patterns."""
        alpha = next((value for key, value in self.alphas if any(map(re.compile(rf"(.*\.)?({key})$").match, names))), self.alpha)
        return alpha / math.sqrt(rank) if self.root else alpha / rank


def _kinds(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """What only PEFT itself can apply. A switch that is not known here may change what is computed, and is refused as well."""
    if raw.get("peft_type") != "LORA":
        kind = str(raw.get("peft_type"))[:40]
        yield Problem("kind", CONFIG, f"peft_type is {kind}; LoRA is what can be applied to a shared base")
    if raw.get("bias", "none") != "none":
        yield Problem("kind", CONFIG, f"bias is {str(raw['bias'])[:40]}: it changes biases of its base; {_MERGE}")
    for key, what in _MORE_THAN_LORA.items():
        if raw.get(key):
            yield Problem("kind", CONFIG, f"{key}: {what}; {_MERGE}")
    for key, value in raw.items():
        if key.startswith("use_") and key not in {"use_rslora", *_MORE_THAN_LORA} and value:
            yield Problem("kind", CONFIG, f"{key[:40]} is not a part of LoRA that is known here; {_MERGE}")
    start = raw.get("init_lora_weights")
    if (start.lower() if isinstance(start, str) else start) not in _PLAIN_STARTS:
        what = f"init_lora_weights is {str(start)[:40]}, which changes the base before training"
        yield Problem("kind", CONFIG, f"{what}; convert it to a plain LoRA with PEFT's path_initial_model_for_weight_conversion")


def _rank(value: object) -> bool:
    return natural(value, 1 << 16) and bool(value)


def _alpha(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < abs(value) < 1e9


def _pattern(text: str) -> bool:
    """A pattern of a module's name that can be compiled; a long one could keep `re` busy for hours."""
    try:
        return len(text) <= _LONGEST_PATTERN and re.compile(text) is not None
    except re.error:
        return False


# --- tensors against a base -----------------------------------------------------------------------

_KEY: Final = re.compile(r"(?P<module>.+?)\.lora_(?P<half>[AB])(?:\.(?!weight$)[\w-]+)?\.weight")
"""`...q_proj.lora_A.weight`, and with the adapter's own name before `weight`, as raw dumps have it."""


@dataclass(frozen=True)
class Pair:
    """Both matrices of one module: what it makes of x gets B(A(x)) * scaling added. `module` as the text class calls it."""

    module: str
    a: Tensor
    b: Tensor
    scaling: float

    @property
    def rank(self) -> int:
        return self.a.shape[0]

    @property
    def values(self) -> int:
        return math.prod(self.a.shape) + math.prod(self.b.shape)


@dataclass(frozen=True)
class Match:
    """An adapter's tensors on a base's modules, and why that can't be served; the first problem is the engine's answer."""

    pairs: tuple[Pair, ...]
    modules: tuple[str, ...]
    problems: tuple[Problem, ...]


_OF_THE_BASE: Final = frozenset({"shape", "matches-nothing", "keys-unknown"})
"""Problems that another base explains."""


def match(tensors: Iterable[Tensor], config: Config, needed: Mapping[str, tuple[int, ...]], row: Family) -> Match:
    """`needed`: {name: shape} of the base's parameters as its text class calls them."""
    halves: dict[str, dict[str, Tensor]] = {}
    stems: dict[str, str] = {}
    odd: dict[str, list[str]] = {"vision": [], "embedding": [], "head": [], "unknown": [], "twice": [], "targets": []}
    for tensor in tensors:
        key = unwrapped(tensor.name)
        found = _KEY.fullmatch(key)
        own = families.own_name(row, f"{found['module']}.weight" if found else key)
        if own is None:
            odd["vision"].append(tensor.name)
        elif ".lora_embedding_" in key:
            odd["embedding"].append(tensor.name)
        elif found is None:
            odd["unknown"].append(tensor.name)
        elif own == layout.HEAD:
            odd["head"].append(tensor.name)
        elif own == layout.EMBEDDING or len(needed.get(own, ())) != 2:
            odd["unknown"].append(tensor.name)
        else:
            module = own.removesuffix(".weight")
            stems[module] = found["module"]
            if not _targeted(config.targets, (found["module"], module)):
                odd["targets"].append(tensor.name)
            if found["half"] in halves.setdefault(module, {}):
                odd["twice"].append(tensor.name)
            halves[module][found["half"]] = tensor
    problems = [*_odd(odd, any_hit=bool(halves))]
    pairs = []
    for module, both in halves.items():
        wrong = [*_wrong(both, needed[f"{module}.weight"], config)]
        problems += wrong
        if not wrong and config.rank:
            rank = both["A"].shape[0]
            pairs.append(Pair(module, both["A"], both["B"], config.scaling((stems[module], module), rank)))
    return Match(tuple(pairs), tuple(halves), tuple(problems))


def require(config: Config, tensors: Iterable[Tensor], needed: Mapping[str, tuple[int, ...]], row: Family) -> tuple[Pair, ...]:
    """All pairs of an adapter that fits the base as a whole. Raises LoadFailed(adapter_invalid) that names the first problem."""
    found = match(tensors, config, needed, row)
    for problem in (*config.problems, *found.problems):
        trained = f"; it was trained on {config.base[:120]}" if problem.code in _OF_THE_BASE and config.base else ""
        raise LoadFailed(Code.ADAPTER_INVALID, problem.object, problem.what + trained)
    return found.pairs


def unwrapped(key: str) -> str:
    """A key without PEFT's own prefix."""
    while key.startswith(layout.PEFT):
        key = key.removeprefix(layout.PEFT)
    return key


def half(key: str) -> str | None:
    """A or B, which of its module's two matrices a tensor is; None for what is neither."""
    found = _KEY.fullmatch(unwrapped(key))
    return found["half"] if found else None


def named(targets: Iterable[str], module: str) -> bool:
    """PEFT's rule for a list of target_modules."""
    return any(module == one or module.endswith(f".{one}") for one in targets)


def _targeted(targets: tuple[str, ...] | None, names: tuple[str, ...]) -> bool:
    return targets is None or any(named(targets, name) for name in names)


def _some(names: list[str]) -> str:
    return f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"


def _odd(odd: Mapping[str, list[str]], *, any_hit: bool) -> Iterator[Problem]:
    """Tensors that name no module that an adapter may change. Each would be left out silently."""
    words = {
        "vision": ("vision", "they change the vision tower or its projector; adapters are applied to the language model alone"),
        "embedding": ("embedding", f"they change the embedding, which all adapters share; {_MERGE}"),
        "head": ("head", f"they change lm_head, which all adapters share; {_MERGE}"),
        "unknown": (
            ("keys-unknown", "they name no module of this model's language model")
            if any_hit
            else ("matches-nothing", "no tensor names a module of this model's language model: the base alone would answer")
        ),
        "targets": ("targets", "target_modules does not name them: PEFT would leave them out"),
        "twice": ("keys-unknown", "the same matrix is there under another name, too"),
    }
    for kind, names in odd.items():
        if names:
            code, what = words[kind]
            yield Problem(code, names[0], f"{_some(names)}: {what}")
    if not any_hit and not odd["unknown"]:
        yield Problem("matches-nothing", WEIGHTS, "no tensor changes a module of the language model: the base alone would answer")


def _wrong(both: Mapping[str, Tensor], shape: tuple[int, ...], config: Config) -> Iterator[Problem]:
    """What keeps two matrices from being a pair on a weight of this shape: A is (rank, in), B is (out, rank)."""
    if both.keys() != {"A", "B"}:
        name = next(iter(both.values())).name
        yield Problem("half", name, f"{name}: the other one of lora_A and lora_B is missing")
        return
    a, b = both["A"], both["B"]
    sides = {"A": (a, 1, shape[1], "reads"), "B": (b, 0, shape[0], "makes")}
    for tensor, side, size, verb in sides.values():
        if len(tensor.shape) != 2 or tensor.shape[side] != size:
            what = f"{tensor.name} is {list(tensor.shape)}; the module of this model {verb} {size} values: another base's"
            yield Problem("shape", tensor.name, what)
            return
    if a.shape[0] != b.shape[1] or a.shape[0] not in config.ranks:
        ranks = " or ".join(map(str, sorted(config.ranks))) or "none"
        what = f"{a.name} is {list(a.shape)} and lora_B {list(b.shape)}; their rank should be {ranks}, as {CONFIG} says"
        yield Problem("shape", a.name, what)
    for tensor in (a, b):
        if tensor.dtype not in SERVABLE:
            yield Problem("dtype", tensor.name, f"{tensor.name} is {tensor.dtype}; BF16, F16 and F32 are read")
