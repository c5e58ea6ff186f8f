"""Owns the memory of keys and values: a ring of the window for sliding layers, a line of the context for global ones.

Knows no request. A row is one sequence's place in every layer. Keys are stored after rotation, so their order in a ring is free.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def bytes_per_row(config: Any, length: int, item: int) -> int:
    """Bytes of one sequence of `length` tokens in all layers, `item` bytes a value."""
    tokens = sum(_tokens(kind, config, length) for kind in config.layer_types)
    return 2 * tokens * int(config.num_key_value_heads) * int(config.head_dim) * item


def _tokens(kind: str, config: Any, length: int) -> int:
    return length if kind == "full_attention" else min(int(config.sliding_window), length)


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """What is masked is multiplied by 0, and 0 x NaN of old memory would be NaN.

    On CPU fresh pages of the system: they are zeros, and not taken before they are used; torch.zeros writes all of them (2.13).
    """
    import torch

    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    count = math.prod(shape)
    return torch.frombuffer(mmap.mmap(-1, max(1, count) * dtype.itemsize), dtype=dtype, count=count).view(shape)


class Cache:
    """For each layer keys and values of [rows, key heads, tokens, head width]; `length` tokens in a global layer."""

    def __init__(self, config: Any, rows: int, length: int, dtype: torch.dtype, device: torch.device) -> None:
        self.rows, self.length = rows, length
        self.window = min(int(config.sliding_window), length)
        self.full: Sequence[bool] = [kind == "full_attention" for kind in config.layer_types]
        heads, width = int(config.num_key_value_heads), int(config.head_dim)
        shapes = [(rows, heads, length if full else self.window, width) for full in self.full]
        self.keys = [_zeros(shape, dtype, device) for shape in shapes]
        self.values = [_zeros(shape, dtype, device) for shape in shapes]

    def move(self, source: int, target: int, tokens: int) -> None:
        """Copy the first `tokens` tokens of a row over another row."""
        for layer in (*self.keys, *self.values):
            used = min(tokens, layer.shape[2])
            layer[target, :, :used].copy_(layer[source, :, :used])

    def clear(self) -> None:
        """All zeros again: after a rehearsal on weights that were not there yet."""
        for layer in (*self.keys, *self.values):
            layer.zero_()
