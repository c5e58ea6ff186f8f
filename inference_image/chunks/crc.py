"""Owns CRC-32C: over a stream of buffers, and of a whole from its parts. Knows no objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

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


Add = Callable[[Any, int], int]
"""The sum of a buffer, continued from that of what came before it."""


@cache
def prepare() -> Add:
    """The package crc32c's function, from its compiled part alone: the rest is a command line, a quarter of a reader's start."""
    package = PathFinder.find_spec("crc32c")
    part = PathFinder.find_spec("crc32c._crc32c", package.submodule_search_locations) if package is not None else None
    if part is not None:
        made: Add = _load(part).crc32c
        return made
    import crc32c

    return crc32c.crc32c


def _load(spec: ModuleSpec) -> ModuleType:
    """The module, known to nobody else: under its package's name it would promise the package too."""
    if spec.loader is None:
        raise ImportError(f"{spec.name} can't be loaded")
    module = spec.loader.create_module(spec) or ModuleType(spec.name)
    spec.loader.exec_module(module)
    return module


class Summed:
    """A sink that passes bytes on to another one and keeps their CRC, while they are still warm in the cache."""

    def __init__(self, inner: Sink) -> None:
        self._inner = inner
        self._add = prepare()
        self._view = memoryview(b"")
        self.crc = 0

    def buffer(self, offset: int, most: int) -> memoryview:
        self._view = self._inner.buffer(offset, most)
        return self._view

    def wrote(self, offset: int, count: int) -> None:
        self.crc = self._add(self._view[:count], self.crc)
        self._inner.wrote(offset, count)
