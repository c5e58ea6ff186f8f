"""Samples of tensors' values by ranges: NaN, infinity, all zero, equal to the base. A sample proves no absence."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from gemmactl.checkpoint.files import Files
from gemmactl.checkpoint.ledger import Ledger
from gemmactl.checkpoint.reading import AT_ONCE
from gemmactl.checkpoint.tensors import Weights
from inference_image.contract import Code
from inference_image.layout import ITEM_SIZE, Tensor

SAMPLE: Final = 16 << 10
"""Bytes of one sample."""
PLACES: Final = 3
"""Samples of each tensor: its beginning, middle and end."""
MOST: Final = 256
"""Tensors that are looked into; spread over all layers."""
_EXPONENT: Final = {"BF16": 0x7F80, "F16": 0x7C00, "F32": 0x7F800000}
"""The bits of a value's exponent: all set means NaN or infinity. Source: IEEE 754, and bfloat16 as its upper half."""


@dataclass(frozen=True)
class Sampled:
    """What was read: tensors, bytes, and how many of the tensors were compared with the base."""

    tensors: int = 0
    bytes: int = 0
    compared: int = 0


def deep(files: Files, weights: Weights, ledger: Ledger, *, base: tuple[Files, Mapping[str, Tensor]] | None = None) -> Sampled:
    """Look into a spread of tensors.

    `base`: another checkpoint of the same architecture with {own name: tensor}; equal samples all over mean that nothing was
    trained, or that an adapter was not merged.
    """
    chosen = _spread([(n, t) for n, t in weights.found.items() if t.dtype in _EXPONENT and t.end > t.begin])
    jobs = [(name, tensor, at, size) for name, tensor in chosen for at, size in _places(tensor)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        samples = list(pool.map(lambda j: files.read(j[1].object, j[1].begin + j[2], j[1].begin + j[2] + j[3]), jobs))
    bad: list[str] = []
    zero: dict[str, bool] = {}
    for (name, tensor, _, _), data in zip(jobs, samples, strict=True):
        if not finite(data, tensor.dtype):
            bad.append(name)
        zero[name] = zero.get(name, True) and not any(data)
    _tell(weights, bad, [name for name, empty in zero.items() if empty], ledger)
    compared = _against_base(jobs, samples, base, ledger) if base else 0
    return Sampled(len(chosen), sum(map(len, samples)), compared)


def finite(data: bytes, dtype: str) -> bool:
    """No value of the sample is NaN or infinite. Values are little-endian, as the format and every machine that runs this."""
    bits, size = _EXPONENT[dtype], ITEM_SIZE[dtype]
    view = memoryview(data[: len(data) // size * size])
    return all(value & bits != bits for value in (view.cast("I") if size == 4 else view.cast("H")))


def _spread(tensors: list[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
    """At most MOST, evenly over the file order: first and last layers are among them."""
    ordered = sorted(tensors, key=lambda row: (row[1].object, row[1].begin))
    if len(ordered) <= MOST:
        return ordered
    return [ordered[round(i * (len(ordered) - 1) / (MOST - 1))] for i in range(MOST)]


def _places(tensor: Tensor) -> list[tuple[int, int]]:
    """(offset, size) of the samples of one tensor, on borders of its items; a small one whole."""
    whole, item = tensor.end - tensor.begin, ITEM_SIZE[tensor.dtype]
    if whole <= SAMPLE * PLACES:
        return [(0, whole)]
    last = (whole - SAMPLE) // item * item
    return [(round(i * last / (PLACES - 1)) // item * item, SAMPLE) for i in range(PLACES)]


def _tell(weights: Weights, bad: list[str], zero: list[str], ledger: Ledger) -> None:
    if bad:
        names = list(dict.fromkeys(bad))
        ledger.add(
            "weights-nan",
            "error",
            names[0],
            f"NaN or infinity in {len(names)} of the tensors that were sampled",
            evidence=", ".join(names[:5]),
            remedy="go back to an earlier checkpoint; train and merge in bfloat16",
            refusal=Code.WEIGHTS_NAN,
        )
    # a norm that starts at zero and was not trained far is zero in Gemma; a matrix never is
    empty = [name for name in zero if len(weights.found[name].shape) > 1]
    if empty:
        ledger.add(
            "weights-zero",
            "warning",
            empty[0],
            f"{len(empty)} matrices are zero wherever they were sampled: parts of the model may never have been written",
            evidence=", ".join(empty[:5]),
            remedy="save the model again; a shard that was created but not filled looks like this",
        )


def _against_base(
    jobs: list[tuple[str, Tensor, int, int]],
    samples: list[bytes],
    base: tuple[Files, Mapping[str, Tensor]],
    ledger: Ledger,
) -> int:
    """How many tensors were compared with the base's bytes at the same places."""
    files, theirs = base
    alike = [
        (name, theirs[name], at, size, data)
        for (name, tensor, at, size), data in zip(jobs, samples, strict=True)
        if name in theirs and (theirs[name].dtype, theirs[name].shape) == (tensor.dtype, tensor.shape)
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        others = list(pool.map(lambda j: files.read(j[1].object, j[1].begin + j[2], j[1].begin + j[2] + j[3]), alike))
    differing = {row[0] for row, other in zip(alike, others, strict=True) if row[4] != other}
    compared = {row[0] for row in alike}
    if not compared:
        ledger.add(
            "base-incomparable",
            "note",
            files.place,
            "no tensor of the base has the same name, shape and number format: nothing could be compared",
        )
    elif not differing:
        ledger.add(
            "equal-to-base",
            "warning",
            files.place,
            f"all {len(compared)} tensors that were sampled equal the base's: the fine-tune is not in these weights",
            evidence=f"compared with {files.place}",
            remedy="merge the adapter (merge_and_unload) before saving; or give the folder of the fine-tune",
        )
    return len(compared)
