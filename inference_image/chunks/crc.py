"""Owns CRC-32C: over a stream of buffers, and of a whole from its parts. Knows no objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

from inference_image.chunks.source import Sink

_POLYNOMIAL: Final = 0x82F63B78  # Castagnoli, bits reversed

_ONE: Final = 1 << 31
"""The polynomial 1: bit 31 is the coefficient of x^0, bit 0 that of x^31."""


def _product(first: int, second: int) -> int:
    """Their product modulo the polynomial, made as zlib's multmodp does."""
    made, bit = 0, _ONE
    while bit:
        if first & bit:
            made ^= second
            if not first & (bit - 1):
                break
        bit >>= 1
        second = (second >> 1) ^ _POLYNOMIAL if second & 1 else second >> 1
    return made


@cache
def _squared(times: int) -> int:
    """x^(2^times) modulo the polynomial."""
    return _ONE >> 1 if times == 0 else _product(_squared(times - 1), _squared(times - 1))


@lru_cache(maxsize=1024)
def _shift(length: int) -> int:
    """x^(8 * length) modulo the polynomial: what `length` bytes more do to a sum. A load's pieces have few lengths."""
    made, bits, times = _ONE, length * 8, 0
    while bits:
        if bits & 1:
            made = _product(_squared(times), made)
        bits >>= 1
        times += 1
    return made


def combine(first: int, second: int, second_length: int) -> int:
    """CRC of A + B from the CRCs of both and the length of B in bytes, as zlib's crc32_combine does."""
    return _product(_shift(second_length), first) ^ second


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
