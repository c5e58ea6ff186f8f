"""Owns CRC-32C: over a stream of buffers, and of a whole from its parts. Knows no objects."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final

from inference_image.chunks.source import Sink

_POLYNOMIAL: Final = 0x82F63B78  # Castagnoli, bits reversed

Matrix = tuple[int, ...]


def _times(matrix: Matrix, vector: int) -> int:
    made = 0
    for row in matrix:
        if not vector:
            break
        if vector & 1:
            made ^= row
        vector >>= 1
    return made


@cache
def _zeros(power: int) -> Matrix:
    """The linear map on a CRC of appending 2**power zero bits: 32 columns over GF(2)."""
    if power == 0:
        return (_POLYNOMIAL, *(1 << bit for bit in range(31)))
    half = _zeros(power - 1)
    return tuple(_times(half, column) for column in half)


def combine(first: int, second: int, second_length: int) -> int:
    """CRC of A + B from the CRCs of both and the length of B in bytes, as zlib's crc32_combine does."""
    bits, power = second_length * 8, 0
    while bits:
        if bits & 1:
            first = _times(_zeros(power), first)
        bits >>= 1
        power += 1
    return first ^ second


def whole(parts: Iterable[tuple[int, int, int]]) -> tuple[int, int] | None:
    """(crc, size) of an object from its (begin, end, crc) parts in any order; None when they leave a hole or overlap."""
    at = made = 0
    for begin, end, crc in sorted(parts):
        if begin != at:
            return None
        made, at = combine(made, crc, end - begin), end
    return made, at


def prepare() -> None:
    """Import what Summed needs: 0.05 s, best spent while a list is waited for."""
    import crc32c  # noqa: F401 - for its own sake


class Summed:
    """A sink that passes bytes on to another one and keeps their CRC, while they are still warm in the cache."""

    def __init__(self, inner: Sink) -> None:
        import crc32c

        self._inner = inner
        self._add = crc32c.crc32c
        self._view = memoryview(b"")
        self.crc = 0

    def buffer(self, offset: int, most: int) -> memoryview:
        self._view = self._inner.buffer(offset, most)
        return self._view

    def wrote(self, offset: int, count: int) -> None:
        self.crc = self._add(self._view[:count], self.crc)
        self._inner.wrote(offset, count)
