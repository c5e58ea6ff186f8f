"""Owns which sequences are computed in the next step: who gets a row, whose prompt is read on, who gets one more token.

Pure: it knows no thread, no text and no HTTP; a model is anything that has `Steps`.

Rows are kept dense: those that decode are 0 to d - 1, and at most one more, row d, has a prompt that is read only in part.
Prompts are read first come, first served, at most `chunk` tokens between two steps of those that already decode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from inference_image.contract import PROMPT_CHUNK

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Solid:
    """Tokens [begin, end) of a prompt that are read in one step, because they see each other. `content`: what they stand for."""

    begin: int
    end: int
    content: Any = None


@dataclass(frozen=True)
class Part:
    """Tokens of a prompt for one row, from position `start` on; `last`: the prompt is complete with them.

    `tag` is the request's own: what a model may want to know of it beyond its tokens. `solids`: those that lie in the part.
    """

    row: int
    start: int
    ids: Sequence[int]
    last: bool
    tag: Any = None
    solids: Sequence[Solid] = ()


class Steps(Protocol):
    """A model that computes rows. One thread at a time."""

    @property
    def rows(self) -> int:
        """How many sequences it holds at once."""

    def prompt(self, parts: Sequence[Part]) -> torch.Tensor:
        """Read parts of prompts. Logits [prompts that are complete now, vocabulary], in the order of `parts`."""

    def decode(self, tokens: Sequence[int], positions: Sequence[int], tags: Sequence[Any]) -> torch.Tensor:
        """One more token for each of the first rows: its number and its position. Logits [rows, vocabulary]."""

    def move(self, source: int, target: int, tokens: int) -> None:
        """The first `tokens` tokens of a row are needed in another row; the first row's are not needed any more."""


@dataclass(eq=False)
class Running:
    """One sequence with a row. `tokens` is its answer so far; whoever judges them sets `ended`, which frees the row.

    `solids` of its prompt: in order, none in another.
    """

    ids: Sequence[int]
    tag: Any = None
    tokens: list[int] = field(default_factory=list)
    read: int = 0
    ended: bool = False
    solids: Sequence[Solid] = ()

    @property
    def held(self) -> int:
        """Tokens whose keys and values are in its row: the newest token's are not."""
        return self.read + max(0, len(self.tokens) - 1)

    def next(self, most: int, *, whole: bool) -> int:
        """How many tokens of the prompt are read next, at most `most`: no solid is cut.

        `whole`: a solid that is larger than a step is read all the same, since none will ever hold it.
        """
        end = min(self.read + most, len(self.ids))
        cut = next((one for one in self.solids if one.begin < end < one.end), None)
        if cut is not None:
            end = cut.end if whole and cut.begin <= self.read else max(cut.begin, self.read)
        return end - self.read


Admit = Callable[[], Running | None]
Choose = Callable[["torch.Tensor", Sequence[Running]], Sequence[int]]


class Schedule:
    """The rows of one model. Used by one thread: free(), decode(), read(), and again."""

    def __init__(self, steps: Steps, choose: Choose, chunk: int = PROMPT_CHUNK) -> None:
        self._steps, self._choose, self._chunk = steps, choose, chunk
        self.decoding: list[Running] = []
        self.reading: list[Running] = []
        """Those whose prompt is being read: while read() runs, all that it reads; between two steps one at most."""

    @property
    def running(self) -> list[Running]:
        return [*self.decoding, *self.reading]

    def free(self) -> None:
        """Give the rows of what has ended to what goes on."""
        before = len(self.decoding)
        at = 0
        while at < len(self.decoding):
            if self.decoding[at].ended:
                self._close_gap(at)
            else:
                at += 1
        self.reading = [one for one in self.reading if not one.ended]
        if self.reading and self.reading[0].read and len(self.decoding) != before:
            self._steps.move(before, len(self.decoding), self.reading[0].read)

    def _close_gap(self, at: int) -> None:
        """The last one that decodes moves into the row."""
        moved = self.decoding.pop()
        last = len(self.decoding)
        if at != last:
            if not moved.ended:
                self._steps.move(last, at, moved.held)
            self.decoding[at] = moved

    def decode(self) -> list[Running]:
        """One more token for each that decodes, the last of its `tokens`; returns them."""
        rows = list(self.decoding)
        if rows:
            tokens, places = [one.tokens[-1] for one in rows], [one.held for one in rows]
            self._take(self._steps.decode(tokens, places, [one.tag for one in rows]), rows)
        return rows

    def read(self, admit: Admit) -> list[Running]:
        """Read prompts; `admit` gives the next sequence that waits, or None. Returns those that have their first token now."""
        parts: list[Part] = []
        left, row = self._chunk, len(self.decoding)
        at = 0
        while left and row < self._steps.rows:
            if at == len(self.reading):
                admitted = admit()
                if admitted is None:
                    break
                self.reading.append(admitted)
            one = self.reading[at]
            count = one.next(left, whole=not parts)
            end = one.read + count
            last = end == len(one.ids)
            if count:
                solids = [solid for solid in one.solids if one.read <= solid.begin < end]
                parts.append(Part(row, one.read, one.ids[one.read : end], last, one.tag, solids))
            if not last:
                break
            left = max(0, left - count)
            at += 1
            row += 1
        if not parts:
            return []
        logits = self._steps.prompt(parts)
        # the last may have been admitted and not begun: its first tokens are solid, and wait for a step of their own
        for one, part in zip(self.reading, parts, strict=False):
            one.read += len(part.ids)
        complete, self.reading = self.reading[:at], self.reading[at:]
        self.decoding += complete
        if complete:
            self._take(logits, complete)
        return complete

    def _take(self, logits: torch.Tensor, rows: Sequence[Running]) -> None:
        for one, token in zip(rows, self._choose(logits, rows), strict=True):
            one.tokens.append(token)
