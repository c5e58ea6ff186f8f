"""Owns which bytes are read in which requests. Pure: knows no network and no tensors, only ranges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final


@dataclass(frozen=True, order=True)
class Range:
    """Bytes [begin, end) of one object."""

    object: str
    begin: int
    end: int


NEAR: Final = 1 << 20
"""Bytes between two wanted ranges that are received with them: a request of their own would cost more."""


LONGEST: Final = 64 << 20
"""Bytes that one request may ask for: they land piece by piece, so that it takes no more memory than a short one."""


@dataclass(frozen=True)
class Reading:
    """What is read of one object: `kept` bytes are wanted, of `summed` ones only the checksum is."""

    kept: tuple[Range, ...]
    summed: tuple[Range, ...]


def reading(wanted: Iterable[Range], head: Range, size: int, chunk: int, step: int | None) -> Reading:
    """The requests for one object of which `head`, its beginning, is there already.

    `step`: the ranges of that size which hold a wanted byte are read whole, because each of them has a checksum of its own;
    0: nothing is read that is not wanted, and nothing can be verified; None: all is read, because only the whole has one.
    """
    near = tuple(_joined(sorted([*wanted, head]), NEAR))
    if step is None:
        read: tuple[Range, ...] = (Range(head.object, 0, size),)
    elif step:
        read = tuple(Range(one.object, one.begin // step * step, min(size, -(-one.end // step) * step)) for one in near)
    else:
        read = near
    return Reading(cover(near, [head], chunk), cover(read, [*near, head], chunk))


def tapered(requests: Sequence[Range], tail: int, chunk: int) -> tuple[Range, ...]:
    """The same bytes with the last `tail` of them in requests of `chunk`: readers that end together end early."""
    at, left = len(requests), tail
    while at and left > 0:
        at -= 1
        left -= requests[at].end - requests[at].begin
    return (*requests[:at], *(piece for one in requests[at:] for piece in _cut(one, chunk)))


def chained(requests: Sequence[Range], connections: int, most: int = LONGEST) -> tuple[tuple[Range, ...], ...]:
    """Neighbours that one request may ask for: `most` bytes at first, less as the end comes nearer, so that all end together.

    A store lets wait for each answer, and each is parsed: fewer are better, as long as no connection is left with the last one.
    """
    left = sum(one.end - one.begin for one in requests)
    chains: list[tuple[Range, ...]] = []
    chain: list[Range] = []
    for one in requests:
        limit = min(most, left // (2 * connections))
        if chain and (chain[-1].object, chain[-1].end) == (one.object, one.begin) and one.end - chain[0].begin <= limit:
            chain.append(one)
            continue
        if chain:
            chains.append(tuple(chain))
            left -= chain[-1].end - chain[0].begin
        chain = [one]
    return (*chains, tuple(chain)) if chain else ()


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


def _joined(ranges: Iterable[Range], gap: int = 0) -> Iterator[Range]:
    """Ranges of one object, sorted by begin, with those made one that overlap or have at most `gap` bytes between them."""
    open_range: Range | None = None
    for one in ranges:
        if one.begin == one.end:
            continue
        if open_range is not None and one.begin <= open_range.end + gap:
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
