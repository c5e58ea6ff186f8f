"""Owns what a load learns of its connections: how silent, how fast, how often broken. Knows no sockets."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

from inference_image.chunks.source import Patience

_KNOWN: Final = 6
"""Silences, or stretches, after which those seen are worth a limit of their own."""
_UNKNOWN_LIMIT: Final = 2.0
_SEEN: Final = 128
_HIGH: Final = 95
"""Percent of the silences seen that are no longer than what counts as usual."""
_SILENCES: Final = 3.0
_LEAST_AT_END: Final = 0.1
_DURATIONS: Final = 4.0
_SHORTEST_SLOWNESS: Final = 2.0
_TELLING: Final = 1 << 20
"""Bytes from which on a request's time says something of a rate."""


def _median(values: Iterable[float]) -> float:
    """The upper one of two; the module statistics takes a tenth of the reader's start to import."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


class Pulse:
    """Shared by all readers of one load.

    A connection that is silent far longer than nearly all of the others have been is given up and its rest asked for on a new
    one, and so is a request that takes a multiple of the others' time: one straggler at the end would hold up the whole load.
    A silence that was given up counts as seen, and each further try of the same range doubles its patience: a store that is
    slow as a whole is waited for.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._silences: deque[float] = deque(maxlen=_SEEN)
        self._paces: deque[float] = deque(maxlen=64)
        self._usual = min(patience.stall, _UNKNOWN_LIMIT)
        self._second_per_byte = float("inf")
        self._counts: Counter[str] = Counter()
        self.received = 0
        self.idle = 0
        """Readers that have nothing to do: what is still out is all that is waited for."""
        self.turn = threading.Lock()
        """Held by the one reader of this process that takes bytes out of a socket."""

    def silence(self, strikes: int) -> float:
        """Seconds without a byte after which a request is given up, when it was given up `strikes` times before."""
        least = min(self._patience.least, _LEAST_AT_END) if self.idle else self._patience.least
        return min(self._patience.stall, max(least, self._usual) * 2.0**strikes)

    def slowness(self, size: int, strikes: int) -> float:
        """Seconds after which a request for `size` bytes that still runs is given up."""
        return max(_SHORTEST_SLOWNESS, _DURATIONS * self._second_per_byte * size) * 2.0**strikes

    def silent(self, seconds: float) -> None:
        """So long nothing came: before an answer, or at most within a stretch of it."""
        with self._lock:
            self._silences.append(seconds)
            if len(self._silences) >= _KNOWN:
                most = sorted(self._silences)[len(self._silences) * _HIGH // 100]
                self._usual = _SILENCES * most

    def finished(self, seconds: float, size: int) -> None:
        """`size` bytes of a request came within so many seconds."""
        with self._lock:
            if size >= _TELLING:
                self._paces.append(seconds / size)
            if len(self._paces) >= _KNOWN:
                self._second_per_byte = _median(self._paces)

    def arrived(self, count: int) -> None:
        # Not locked: only the pace of a load is read from it, and a lost update is a hundredth of a second.
        self.received += count

    def count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1

    def counts(self) -> dict[str, int]:
        """How often what went wrong: retry, stall, slow, broken, renewed."""
        with self._lock:
            return dict(self._counts)
