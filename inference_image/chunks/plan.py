"""Owns which bytes are read in which requests. Pure: knows no network and no tensors, only ranges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True, order=True)
class Range:
    """Bytes [begin, end) of one object."""

    object: str
    begin: int
    end: int


def cover(wanted: Iterable[Range], have: Iterable[Range], chunk: int) -> tuple[Range, ...]:
    """Requests for every wanted byte that `have` doesn't hold, each exactly once, in order, none over `chunk` bytes.

    Neighbouring tensors share requests: asked for one by one, Gemma's 5 KB norms would each pay a full round trip.
    """
    had: dict[str, list[Range]] = {}
    for one in sorted(have):
        had.setdefault(one.object, []).append(one)
    requests: list[Range] = []
    for name, ranges in groupby(sorted(wanted), key=lambda one: one.object):
        for joined in _joined(ranges):
            for gap in _without(joined, had.get(name, [])):
                requests += _cut(gap, chunk)
    return tuple(requests)


def _joined(ranges: Iterable[Range]) -> Iterator[Range]:
    """Ranges of one object, sorted by begin, with neighbours and overlaps made one."""
    open_range: Range | None = None
    for one in ranges:
        if one.begin == one.end:
            continue
        if open_range is not None and one.begin <= open_range.end:
            open_range = Range(one.object, open_range.begin, max(open_range.end, one.end))
            continue
        if open_range is not None:
            yield open_range
        open_range = one
    if open_range is not None:
        yield open_range


def _without(whole: Range, holes: Iterable[Range]) -> Iterator[Range]:
    at = whole.begin
    for hole in holes:
        if hole.end <= at or hole.begin >= whole.end:
            continue
        if hole.begin > at:
            yield Range(whole.object, at, hole.begin)
        at = max(at, hole.end)
    if at < whole.end:
        yield Range(whole.object, at, whole.end)


def _cut(one: Range, chunk: int) -> Iterator[Range]:
    """Equal pieces, so that the last one is no sliver that costs a round trip of its own."""
    size = one.end - one.begin
    pieces = -(-size // chunk)
    for piece in range(pieces):
        yield Range(one.object, one.begin + size * piece // pieces, one.begin + size * (piece + 1) // pieces)
