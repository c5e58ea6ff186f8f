"""Owns the order that a seed gives: numpy's `default_rng(seed).permutation(n)`, which datasets' shuffle uses. Knows no rows.

Written out so that the command line, which has no numpy, and the worker choose the same rows, and the codelab's
`dataset.shuffle(seed=42).select(range(limit))` is chosen too. Sources: SeedSequence, PCG64 (pcg64.h, XSL-RR 128/64) and
random_interval (distributions.c) of numpy 2.4; a test holds it to numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_32: Final = 0xFFFFFFFF
_64: Final = 0xFFFFFFFFFFFFFFFF
_128: Final = (1 << 128) - 1
_STEP: Final = 0x2360ED051FC65DA44385DF649FCCF645
_POOL: Final = 4


def permutation(seed: int, count: int) -> list[int]:
    """The numbers below `count` in the order of the seed. `seed`: 0 or above."""
    order = list(range(count))
    bits = _bits32(seed)
    for last in range(count - 1, 0, -1):
        mask = (1 << last.bit_length()) - 1
        other = next(bits) & mask
        while other > last:
            other = next(bits) & mask
        order[last], order[other] = order[other], order[last]
    return order


def _bits32(seed: int) -> Iterator[int]:
    """The stream of PCG64 in halves, the low one first."""
    words = _seeded(seed)
    start, sequence = words[0] << 64 | words[1], words[2] << 64 | words[3]
    increment = (sequence << 1 | 1) & _128
    state = ((increment + start) * _STEP + increment) & _128
    while True:
        state = (state * _STEP + increment) & _128
        folded, turn = (state >> 64 ^ state) & _64, state >> 122
        word = (folded >> turn | folded << (64 - turn)) & _64
        yield word & _32
        yield word >> 32


def _seeded(seed: int) -> list[int]:
    """SeedSequence(seed).generate_state(4, uint64)."""
    entropy = [seed >> 32 * at & _32 for at in range(max(1, (seed.bit_length() + 31) // 32))]
    mixed = _Hash(0x43B0D7E5, 0x931E8875)
    pool = [mixed(entropy[at] if at < len(entropy) else 0) for at in range(_POOL)]
    for source in range(_POOL):
        for target in range(_POOL):
            if source != target:
                pool[target] = _mix(pool[target], mixed(pool[source]))
    for word in entropy[_POOL:]:
        for target in range(_POOL):
            pool[target] = _mix(pool[target], mixed(word))
    drawn = _Hash(0x8B51F9DD, 0x58F38DED)
    halves = [drawn(pool[at % _POOL]) for at in range(8)]
    return [halves[at] | halves[at + 1] << 32 for at in range(0, 8, 2)]


class _Hash:
    """One of SeedSequence's two hashes: its constant moves with each word."""

    def __init__(self, constant: int, factor: int) -> None:
        self._constant, self._factor = constant, factor

    def __call__(self, word: int) -> int:
        word ^= self._constant
        self._constant = self._constant * self._factor & _32
        word = word * self._constant & _32
        return word ^ word >> 16


def _mix(left: int, right: int) -> int:
    word = (0xCA01F9DD * left - 0x4973F715 * right) & _32
    return word ^ word >> 16
