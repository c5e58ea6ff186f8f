"""Owns weights as int8 with one scale for each row: names, sizes, arithmetic. Knows no model and no source of bytes.

Symmetric and for weights alone: row r of a matrix is weight[r] * scale[r]. Nothing is calibrated, no activation is quantised.
Why one scale for a row and in which dtype: docs/quantize.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import torch

LARGEST: Final = 127
"""Of an int8, used on both sides of zero."""
BLOCK: Final = 4 << 20
"""Values that become int8 in one step: their float32 copies are all that it takes beside its result."""


class Int8(NamedTuple):
    """A matrix of n rows: `weight` int8 [n, k], `scale` [n] in the model's dtype."""

    weight: torch.Tensor
    scale: torch.Tensor


def scale_name(name: str) -> str:
    """The name of the scales of a weight, as compressed-tensors writes them: `x.weight` -> `x.weight_scale`."""
    return f"{name}_scale"


def int8_bytes(shape: Sequence[int], item: int) -> int:
    """Memory of one quantised matrix, its scales of `item` bytes each with it."""
    return math.prod(shape) + shape[0] * item


def empty(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Int8:
    """Memory for a matrix that arrives."""
    import torch

    return Int8(torch.empty(tuple(shape), dtype=torch.int8, device=device), torch.empty(shape[0], dtype=dtype, device=device))


def quantize(values: torch.Tensor, into: Int8) -> None:
    """Rows [n, k] in the dtype of their file into as many int8 rows, on the device of both.

    A row with a value that is not finite gets a scale that isn't. The scale is rounded to its dtype first and the row divided by
    what it became: then bfloat16 scales cost nothing.
    """
    import torch

    wide = values.float()
    into.scale.copy_(wide.abs().amax(dim=1) / LARGEST)
    scale = into.scale.float().unsqueeze(1)
    # a row of zeros, or of values so small that their scale is none
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    into.weight.copy_((wide / scale).round_().clamp_(-LARGEST, LARGEST))


def dequantize(made: Int8) -> torch.Tensor:
    """The matrix in the dtype of its scales."""
    return made.weight.to(made.scale.dtype) * made.scale.unsqueeze(1)
