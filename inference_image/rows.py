"""Owns where the elements of a tensor go as they come: to their place, or row by row through int8. Knows no bytes of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from inference_image.quantize import BLOCK, Int8

if TYPE_CHECKING:
    import torch


class Copies(Protocol):
    """How values get from the host to where a tensor is."""

    def copy(self, source: torch.Tensor, target: torch.Tensor) -> None:
        """Begin to copy, and to cast when the dtypes differ."""

    def quantize(self, source: torch.Tensor, target: Int8) -> None:
        """Begin to make whole rows int8."""


class Target(Protocol):
    """A tensor that is being filled."""

    def put(self, source: torch.Tensor, at: int) -> None:
        """Elements on the host, in the dtype of their file, from element `at` of the tensor on. Each comes once, in any order."""


class Whole:
    """A tensor whose elements go straight to their place."""

    def __init__(self, made: torch.Tensor, copies: Copies) -> None:
        self._flat, self._copies = made.view(-1), copies

    def put(self, source: torch.Tensor, at: int) -> None:
        self._copies.copy(source, self._flat[at : at + len(source)])


class Rows:
    """A matrix that becomes int8 while it arrives.

    Rows that come whole never wait. One that a read cut waits on the host for its other end, so that what is held beside the
    result is a row for each border of reads whose other side is not there yet, in whatever order they come.
    """

    def __init__(self, made: Int8, copies: Copies) -> None:
        self._made, self._copies = made, copies
        self._width = made.weight.shape[1]
        self._cut: dict[int, tuple[torch.Tensor, int]] = {}

    def put(self, source: torch.Tensor, at: int) -> None:
        done, most = 0, max(1, BLOCK // self._width)
        while done < len(source):
            row, inside = divmod(at + done, self._width)
            left = len(source) - done
            if inside or left < self._width:
                count = min(self._width - inside, left)
                self._add(row, inside, source[done : done + count])
            else:
                rows = min(left // self._width, most)
                count = rows * self._width
                self._quantize(source[done : done + count].view(rows, self._width), row)
            done += count

    @property
    def held(self) -> int:
        """Bytes of rows that wait."""
        return sum(values.numel() * values.element_size() for values, _ in self._cut.values())

    def _add(self, row: int, inside: int, part: torch.Tensor) -> None:
        if row not in self._cut:
            self._cut[row] = part.new_empty(self._width), 0
        values, there = self._cut.pop(row)
        values[inside : inside + len(part)] = part
        if there + len(part) == self._width:
            self._quantize(values.unsqueeze(0), row)
        else:
            self._cut[row] = values, there + len(part)

    def _quantize(self, values: torch.Tensor, row: int) -> None:
        made, end = self._made, row + len(values)
        self._copies.quantize(values, Int8(made.weight[row:end], made.scale[row:end]))
