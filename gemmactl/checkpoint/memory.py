"""The bytes that a Gemma 3 takes on a GPU, from its config alone. Knows no file, no cloud and no wish.

Weights and keys and values are exact. The work memory is the engine's own reserve (inference_image/reserve.py); what CUDA itself
takes is an estimate. None of it was measured on a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from inference_image import contract, layout, reserve
from inference_image.contract import Code, LoadFailed
from inference_image.layout import Vision

RUNTIME: Final = 512 << 20
"""CUDA's context and kernels: taken before the engine asks what is free. An estimate: 300 to 600 MiB are usual."""
WIDENED: Final = 64 << 20
"""With int8 weights: the block of a matrix that is widened for a product of many rows, and while a load rows in float32
(inference_image: engine/int8.py and quantize.py name both sizes)."""
STEP: Final = 256
"""A context that memory limits is a multiple of it."""

# source: transformers' config class for Gemma 3's text, 4.51 to 5.23
_WINDOW: Final = 4096
_PATTERN: Final = 6
_LONGEST: Final = 131_072


@dataclass(frozen=True)
class Architecture:
    """What a config says about size. `full` and `sliding` count layers; `longest` is max_position_embeddings."""

    parameters: int
    matrices: int
    """Values in tensors of two dimensions: what int8 makes smaller."""
    rows: int
    """Rows of those: each has a scale."""
    largest: int
    """Values in the largest tensor."""
    full: int
    sliding: int
    window: int
    hidden: int
    inner: int
    queries: int
    """Width of all query heads together."""
    keys: int
    """Width of all key heads together, which is that of the value heads."""
    head: int
    vocabulary: int
    longest: int
    beside: int = 0
    """Bytes of the adapters on it, which stay float32 whatever the model's dtype is."""
    eyes: Vision | None = None
    """What answers images beside it; None: text alone is served."""

    @classmethod
    def of(cls, config: Mapping[str, Any], eyes: Vision | None = None) -> Architecture:
        """From the result of layout.text_config. Raises LoadFailed(config_invalid)."""
        shapes = layout.expected(config)
        sizes = [math.prod(shape) for shape in shapes.values()]
        vocabulary, hidden = shapes[layout.EMBEDDING]
        first = "model.layers.0."
        kinds = _kinds(config, sum(name.endswith("self_attn.q_proj.weight") for name in shapes))
        return cls(
            parameters=sum(sizes),
            matrices=sum(math.prod(shape) for shape in shapes.values() if len(shape) == 2),
            rows=sum(shape[0] for shape in shapes.values() if len(shape) == 2),
            largest=max(sizes),
            full=kinds.count("full_attention"),
            sliding=len(kinds) - kinds.count("full_attention"),
            window=_natural(config, "sliding_window", _WINDOW),
            hidden=hidden,
            inner=shapes[f"{first}mlp.gate_proj.weight"][0],
            queries=shapes[f"{first}self_attn.q_proj.weight"][0],
            keys=shapes[f"{first}self_attn.k_proj.weight"][0],
            head=shapes[f"{first}self_attn.q_norm.weight"][0],
            vocabulary=vocabulary,
            longest=_natural(config, "max_position_embeddings", _LONGEST),
            eyes=eyes,
        )

    @property
    def layers(self) -> int:
        return self.full + self.sliding

    @property
    def at_once(self) -> int:
        """Sequences that its engine computes together at most."""
        return contract.PARALLEL_SEQUENCES

    @property
    def int8(self) -> bool:
        """Whether its weights may become int8."""
        return True

    def weights(self, item: int = 2, *, int8: bool = False) -> int:
        """Bytes of all parameters, `item` bytes each, and of adapters: the engine casts every stored dtype to its own.

        `int8`: a byte for each value of a matrix and a scale of `item` bytes for each of its rows; not in the vision tower.
        """
        rest = self.eye_parameters * item + self.beside
        if int8:
            return self.matrices + (self.rows + self.parameters - self.matrices) * item + rest
        return self.parameters * item + rest

    @property
    def eye_parameters(self) -> int:
        return self.eyes.parameters if self.eyes is not None else 0

    def seeing(self, item: int = 2) -> int:
        """Bytes while one image is looked at, and the features of those that are kept."""
        return reserve.image_bytes(self.eyes, item) if self.eyes is not None else 0

    def kv(self, tokens: int, item: int = 2) -> int:
        """Bytes of keys and values of one sequence, taken when the engine starts; sliding layers keep their window only."""
        return 2 * self.keys * item * (self.full * tokens + self.sliding * min(tokens, self.window))

    def kv_text(self, tokens: int, item: int) -> str:
        """The same for a reader."""
        kept = min(tokens, self.window)
        return f"2 x {self.keys} x {item} bytes x ({self.full} layers x {tokens} tokens + {self.sliding} sliding layers x {kept})"

    def activations(self, context: int, item: int = 2) -> int:
        """Bytes of everything else that lives at the worst moment of reading a prompt, chunk by chunk, or of choosing tokens."""
        return reserve.chunk_bytes(
            context,
            item,
            hidden=self.hidden,
            inner=self.inner,
            heads=self.queries // self.head,
            keys=self.keys // self.head,
            width=self.head,
            window=self.window,
            vocabulary=self.vocabulary,
        )


@dataclass(frozen=True)
class Demand:
    """GPU memory of one model at one context, `sequences` at once, in bytes."""

    weights: int
    """int8 ones with their scales."""
    kv: int
    """Of all sequences."""
    activations: int
    loading: int
    """Peak of the load: weights, and what is cast: the largest tensor in the dtype of its file when that is another one, or the
    rows that become int8."""

    @property
    def reserved(self) -> int:
        """What the engine keeps free."""
        return reserve.reserved(self.activations)

    @property
    def work(self) -> int:
        """All but weights and keys and values."""
        return RUNTIME + self.reserved

    @property
    def total(self) -> int:
        return max(self.serving, self.loading + RUNTIME)

    @property
    def serving(self) -> int:
        return self.weights + self.kv + self.work

    @property
    def loads_highest(self) -> bool:
        """Whether the load takes more than any answer."""
        return self.total > self.serving


def demand(
    shape: Architecture,
    tokens: int,
    *,
    sequences: int = 1,
    item: int = 2,
    stored: int = 2,
    int8: bool = False,
) -> Demand:
    """`item` bytes for each value in the model's dtype, `stored` in the checkpoint's files; `int8`: weights become that."""
    weights = shape.weights(item, int8=int8)
    # int8 rows are made of blocks that pass through, whatever their tensor's size and dtype
    once_more = WIDENED if int8 else shape.largest * stored if stored != item else 0
    return Demand(
        weights,
        kv=sequences * shape.kv(tokens, item),
        activations=shape.activations(tokens, item) + shape.seeing(item),
        loading=weights + once_more,
    )


def longest_context(shape: Architecture, usable: int, most: int, *, item: int = 2, stored: int = 2, int8: bool = False) -> int:
    """The longest context up to `most` that fits into `usable` bytes; 0 when none does."""

    def fits(tokens: int) -> bool:
        return demand(shape, tokens, item=item, stored=stored, int8=int8).total <= usable

    if fits(most):
        return most
    low, high = 0, -(-most // STEP)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle * STEP) else (low, middle)
    return low * STEP


def sequences_that_fit(
    shape: Architecture, usable: int, tokens: int, *, item: int = 2, stored: int = 2, int8: bool = False
) -> int:
    """How many sequences of `tokens` the engine finds room for; its own number is the same for the same free bytes."""
    one = demand(shape, tokens, item=item, stored=stored, int8=int8)
    if one.total > usable:
        return 0
    return (usable - one.weights - one.work) // shape.kv(tokens, item)


def _kinds(config: Mapping[str, Any], layers: int) -> Sequence[str]:
    """The attention of each layer: layer_types since 4.53, a pattern before and in files that an older version wrote."""
    written = config.get("layer_types")
    if written is not None:
        if not isinstance(written, list) or len(written) != layers:
            detail = f"layer_types does not name one kind for each of {layers} layers"
            raise LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, detail)
        return [str(kind) for kind in written]
    pattern = _natural(config, "sliding_window_pattern", _natural(config, "_sliding_window_pattern", _PATTERN))
    return ["sliding_attention" if (number + 1) % pattern else "full_attention" for number in range(layers)]


def _natural(config: Mapping[str, Any], name: str, default: int) -> int:
    value = config.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 1 << 24:
        raise LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, f"{name} is {str(value)[:40]}, not a positive integer")
    return value
