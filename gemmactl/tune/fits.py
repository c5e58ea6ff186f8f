"""Whether a fine-tune fits a GPU: bytes of weights, adapter, optimizer, activations, from a look at the base. Pure; an estimate.

None of it was measured on a GPU: a fifth of the GPU is left to what is not counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from finetune_image.run import Wish
from gemmactl.checkpoint.inspect import Report
from gemmactl.checkpoint.memory import RUNTIME
from gemmactl.checkpoint.too_large import gb
from gemmactl.errors import Trouble, refused
from gemmactl.limits import GPUS, Gpu
from inference_image import layout

AUTO_MOST: Final = 5_000_000_000
"""Parameters up to which `quantize: auto` is none: 8.6 GB of a 4B fit an L4 and train faster than 4-bit weights."""
NF4: Final = 0.516
"""Bytes of a weight in NF4 with double quantisation. source: QLoRA (arXiv 2305.14314, section 3): 4 bits and 0.127 bits."""
HEAD_CHUNK: Final = 1024
"""Tokens whose logits are there at once: trl's chunked loss. Measured: +1,067 MiB at a vocabulary of 262,144."""
KEPT_FREE: Final = 0.2
"""Share of the GPU for what is not counted: the allocator's gaps, workspaces, matrices that are widened for a pass."""
SHORTEST: Final = 256
"""Tokens below which a shorter sequence is no way out."""
_LAYER: Final = "layers."


@dataclass(frozen=True)
class Shape:
    """What of a model decides its memory. `matrices`: (rows, columns) of the linear layers of its blocks; values in the rest."""

    matrices: tuple[tuple[int, int], ...]
    rest: int
    layers: int
    hidden: int
    vocabulary: int
    other: int
    """Bytes of vision and sound, which are loaded and stay as they are."""

    @classmethod
    def of(cls, report: Report) -> Shape:
        found = report.weights.found
        inner = {n: t.shape for n, t in found.items() if _LAYER in n and len(t.shape) == 2}
        all_values = sum(math.prod(t.shape) for n, t in found.items() if n != layout.HEAD or layout.EMBEDDING not in found)
        matrices = tuple((s[0], s[1]) for s in inner.values())
        vocabulary, hidden = (*found[layout.EMBEDDING].shape, 0)[:2] if layout.EMBEDDING in found else (0, 0)
        return cls(
            matrices,
            all_values - sum(math.prod(m) for m in matrices),
            len({n.split(_LAYER)[1].partition(".")[0] for n in inner}),
            hidden,
            vocabulary,
            report.weights.other,
        )

    @property
    def parameters(self) -> int:
        """Of the model as published: its language model, and what of it sees or hears, which is stored in 2 bytes each."""
        return self.language + self.other // 2

    @property
    def language(self) -> int:
        return self.rest + sum(rows * columns for rows, columns in self.matrices)


@dataclass(frozen=True)
class Need:
    """Bytes on the GPU at the worst moment of training, one sequence at a time."""

    weights: int
    adapter: int
    """With its gradients and the optimizer's two moments."""
    activations: int
    head: int
    """Logits of one chunk."""

    @property
    def total(self) -> int:
        return self.weights + self.adapter + self.activations + self.head + RUNTIME

    @property
    def text(self) -> str:
        """The sum in one line."""
        parts = f"weights {gb(self.weights)} + adapter and optimizer {gb(self.adapter)} + activations {gb(self.activations)}"
        return f"{parts} + logits {gb(self.head)} + CUDA {gb(RUNTIME)} = {gb(self.total)}"

    def document(self) -> dict[str, int]:
        names = ("weights", "adapter", "activations", "head", "total")
        return {f"{name}_bytes": int(getattr(self, name)) for name in names}


def quantized(wish: Wish, parameters: int) -> str:
    """None or nf4, as the worker decides `auto`."""
    if wish.quantize != "auto":
        return wish.quantize
    return "none" if parameters <= AUTO_MOST else "nf4"


def need(wish: Wish, shape: Shape) -> Need:
    """Bytes of a wish. Adapter, gradients and both moments are float32, whatever the base is."""
    four_bit = quantized(wish, shape.parameters) == "nf4"
    values = sum(rows * columns for rows, columns in shape.matrices)
    weights = shape.rest * 2 + shape.other + int(values * (NF4 if four_bit else 2))
    low_rank = wish.lora.r * sum(rows + columns for rows, columns in shape.matrices)
    tokens = wish.train.max_length
    # checkpointing keeps one state for each layer, and computes one layer again with all that its backward pass needs
    widest = max((max(pair) for pair in shape.matrices), default=0)
    kept, again = shape.layers * shape.hidden * 2, (3 * widest + 6 * shape.hidden) * 4
    mask = tokens * tokens * 2
    return Need(weights, low_rank * 16, tokens * (kept + again) + mask, min(tokens, HEAD_CHUNK) * shape.vocabulary * 4)


def limit(gpu: str) -> int:
    """Bytes of a GPU."""
    return GPUS[gpu].usable


def require(wish: Wish, report: Report, gpu: Gpu) -> Need | None:
    """The need of a run that fits; None where nothing is known of the model's tensors.

    Raises:
        Trouble: (refused) it does not fit, with the ways out that do.
    """
    if not report.weights.found:
        return None
    shape = Shape.of(report)
    found = need(wish, shape)
    usable = _usable(gpu)
    if found.total <= usable:
        return found
    raise _refusal(wish, report, shape, found, gpu)


def _usable(gpu: Gpu) -> int:
    return int(gpu.usable * (1 - KEPT_FREE))


def _refusal(wish: Wish, report: Report, shape: Shape, found: Need, gpu: Gpu) -> Trouble:
    facts: Mapping[str, Any] = {"gpu": gpu.name, "usable_bytes": _usable(gpu), "parameters": shape.parameters, **found.document()}
    ways = tuple(_ways(wish, shape, gpu))
    return refused(
        f"{report.place} can't be fine-tuned on {gpu.name}",
        why=f"{found.text} with sequences of {wish.train.max_length} tokens (an estimate); "
        f"{gpu.name} has {gb(gpu.usable)}, of which a fifth is kept for what is not counted",
        remedy="\n".join(ways),
        code="model-too-large-to-tune",
        facts=facts,
    )


def _ways(wish: Wish, shape: Shape, gpu: Gpu) -> Iterator[str]:
    """Ways out that fit, the mildest first; the last ones always."""
    four_bit = replace(wish, quantize="nf4")
    if quantized(wish, shape.parameters) != "nf4" and need(four_bit, shape).total <= _usable(gpu):
        yield "train it in 4 bits: --quantize nf4"
    for one, words in ((wish, ""), (four_bit, " --quantize nf4")):
        length = _longest(one, shape, _usable(gpu))
        if SHORTEST <= length < wish.train.max_length:
            yield f"train on shorter sequences: --max-length {length}{words}"
            break
    yield "take a smaller model: --model google/gemma-3-12b-it, or google/gemma-3-4b-it"
    yield "or train it on a machine with a larger GPU: the same command there with --local"


def _longest(wish: Wish, shape: Shape, usable: int) -> int:
    """The longest sequence that fits, in steps of 64 tokens; 0 when none does."""
    lengths = range(64, wish.train.max_length, 64)
    fitting = (
        n for n in reversed(lengths) if need(replace(wish, train=replace(wish.train, max_length=n)), shape).total <= usable
    )
    return next(fitting, 0)
