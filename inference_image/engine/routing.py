"""Owns which rows of the running batch go through which adapter. Knows no weights and no module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import torch

BASE = -1
"""The number of no adapter."""

Rows: TypeAlias = "slice | torch.Tensor | None"
"""Rows of a module's input, flattened to [tokens, width]; None: all of them."""


@dataclass
class Columns:
    """Adapters whose matrices lie side by side in one module: which columns are whose, and how strongly each row uses them.

    `scales`: [adapters + 1, columns], an adapter's scaling in its own columns and 0 elsewhere; the last row is the base's.
    `mask`: the same for each row of the batch, at an address that a captured graph may keep.
    """

    scales: torch.Tensor
    mask: torch.Tensor


@dataclass
class Routing:
    """Set by the one thread that runs the model, before each pass; read by every adapted module.

    Two ways. `set` and `whole` name the rows of each adapter: PEFT's own arithmetic, and nothing at all where no row has one.
    `fill` writes masks, by which all adapters are computed for all rows: nothing is decided in the pass, so it can be captured
    in a CUDA graph, and replayed for any batch whose masks were written before.
    """

    parts: tuple[tuple[int, Rows], ...] = ()
    static: bool = False
    columns: list[Columns] = field(default_factory=list)
    _asked: object = None
    _found: tuple[tuple[int, Rows], ...] = ()
    _filled: object = None

    def lay(self, columns: Sequence[Columns]) -> None:
        """The memory that `fill` writes."""
        self.columns, self._filled = list(columns), None

    def clear(self) -> None:
        """The base alone."""
        self.parts, self.static = (), False

    def whole(self, adapter: int) -> None:
        """Every row of the next passes through one adapter, or BASE."""
        self.parts, self.static = (((adapter, None),) if adapter != BASE else ()), False

    def set(self, adapters: Sequence[int], tokens: Sequence[int] | None = None, device: torch.device | None = None) -> None:
        """Adapters of the sequences in the next pass, in its order; `tokens`: how many of each it holds, None for one of each.

        For input of shape [B, 1, width] and for flat input [1, sum(tokens), width] alike; [B, T, width] has T tokens of each.
        """
        if len(set(adapters)) == 1:
            return self.whole(adapters[0])
        asked = (tuple(adapters), None if tokens is None else tuple(tokens), device)
        if asked != self._asked:  # most steps are of the same batch as the one before
            self._asked, self._found = asked, tuple(_parts(adapters, tokens or [1] * len(adapters), device))
        self.parts, self.static = self._found, False
        return None

    def fill(self, adapters: Sequence[int]) -> None:
        """Have the next passes read masks, and write those: the adapter of each row. Rows beyond them are the base's."""
        import torch

        self.parts, self.static = (), True
        if (asked := tuple(adapters)) == self._filled:
            return
        self._filled = asked
        for one in self.columns:
            every = [*adapters, *[BASE] * (one.mask.shape[0] - len(adapters))]
            one.mask.copy_(one.scales[torch.tensor(every, device=one.scales.device)])


def _parts(adapters: Sequence[int], tokens: Sequence[int], device: torch.device | None) -> Iterator[tuple[int, Rows]]:
    """The rows of each adapter, neighbours as a slice."""
    import torch

    spans: dict[int, list[tuple[int, int]]] = {}
    at = 0
    for adapter, count in zip(adapters, tokens, strict=True):
        mine = spans.setdefault(adapter, [])
        if mine and mine[-1][1] == at:
            mine[-1] = (mine[-1][0], at + count)
        elif count:
            mine.append((at, at + count))
        at += count
    for adapter, mine in spans.items():
        if adapter != BASE and len(mine) == 1:
            yield adapter, slice(*mine[0])
        elif adapter != BASE and mine:
            rows = torch.cat([torch.arange(begin, end) for begin, end in mine])
            yield adapter, rows.to(device) if device is not None else rows


def numbers(names: Iterable[str]) -> dict[str | None, int]:
    """The number of each name, and of none."""
    return {None: BASE, **{name: number for number, name in enumerate(names)}}
