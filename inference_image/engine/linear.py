"""Owns products of a few rows with large matrices, by the kernels of step.cu. Knows no model.

A decode step reads every weight once: what counts is how fast it is read. Up to eight rows cost what one costs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from inference_image.engine.cuda import pointer
from inference_image.engine.kernels import MOST, TILES, WARPS, Launcher
from inference_image.quantize import Int8, scale_name

if TYPE_CHECKING:
    import torch

STEP: Final = 128
"""Rows of a matrix must be a multiple of it long."""
_WAVE: Final = 264
"""Blocks that keep every multiprocessor of the largest GPU busy: two for each of 132."""

Kind = Literal["plain", "gated", "parts"]
"""One product behind the other in bfloat16; gelu(first) * second; float32 sums of slices of the columns."""


@dataclass(frozen=True)
class Matrix:
    """A linear weight [outputs, columns], in bfloat16 or as int8 with a scale for each output."""

    weight: torch.Tensor
    scale: torch.Tensor | None

    @classmethod
    def of(cls, module: Any) -> Matrix:
        """Any: nn.Linear, nn.Embedding or what int8 put in their place."""
        return cls(module.weight.detach(), getattr(module, scale_name("weight"), None))

    def product(self, x: torch.Tensor) -> torch.Tensor:
        """Rows of x [m, columns], however many, to [m, outputs]."""
        import torch.nn.functional as F  # noqa: N812 - its usual name

        if self.scale is None:
            return F.linear(x, self.weight)
        from inference_image.engine import int8

        return int8.product(x, Int8(self.weight, self.scale))


def takes(rows: int, columns: int, *, int8: bool) -> bool:
    """Is there a kernel for so many rows of so many values?"""
    return 0 < rows <= MOST[int8] and columns % STEP == 0


def slices_of(columns: int, outputs: int) -> int:
    """Blocks that share the columns where there are few outputs."""
    blocks, most = -(-outputs // 16), columns // (STEP * WARPS)
    return next((count for count in range(1, most + 1) if blocks * count >= _WAVE and not columns % (count * STEP)), 1)


def product(launcher: Launcher, kind: Kind, x: torch.Tensor, matrices: Sequence[Matrix], y: torch.Tensor) -> int:
    """For x in bfloat16 [m, columns], contiguous, for which takes() is true. Returns how many slices `parts` has in y.

    y: `plain` [m, all outputs] in bfloat16, `gated` [m, outputs of the first], `parts` [slices, m, outputs] in float32. Of more
    than one matrix all but the last have a multiple of 32 outputs.
    """
    count, columns = x.shape
    groups = next(one for one in TILES if one * 8 >= count)
    sizes = [len(one.weight) for one in matrices] + [0] * (3 - len(matrices))
    outputs = sizes[0] if kind == "gated" else sum(sizes)
    slices = slices_of(columns, outputs) if kind == "parts" else 1
    wide = TILES[groups] * (4 if kind == "gated" else 8)
    none: list[torch.Tensor | None] = [None] * (3 - len(matrices))
    launcher.start(f"{kind}_{groups}", (-(-outputs // wide), slices), WARPS * 32, [
        pointer(x), *map(pointer, [*(one.weight for one in matrices), *none]),
        *map(pointer, [*(one.scale for one in matrices), *none]), *map(ctypes.c_int, sizes),
        pointer(y), ctypes.c_int(count), ctypes.c_int(columns), ctypes.c_int(columns // slices),
    ])  # fmt: skip
    return slices
