"""Owns the threads that do read jobs: how many there are, the first failure among them, what was received. Knows no tensors.

The number of connections starts as it was set and grows while more of them bring more.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from inference_image import contract
from inference_image.chunks.arena import Arena
from inference_image.chunks.crc import Summed
from inference_image.chunks.pulse import Pulse
from inference_image.chunks.source import NOWHERE, Done, Job, Object, Source

_WINDOW: Final = 0.4
"""Seconds over which a rate is taken."""
_GAIN: Final = 1.05
_STEP: Final = 1 << 20


@dataclass(frozen=True)
class Pace:
    """How many connections a load begins with, and how many it may have in the end."""

    first: int = contract.DEFAULT_CONNECTIONS
    most: int = contract.DEFAULT_CONNECTIONS_MOST


class Growth:
    """How many connections come next, from the rate that so many gave."""

    def __init__(self, pace: Pace) -> None:
        self._most, self._limit, self._last = pace.most, pace.first, 0.0

    def after(self, rate: float) -> int | None:
        """Half as many again as long as the last step was worth it; None: enough."""
        if self._limit >= self._most or rate < self._last * _GAIN:
            return None
        self._last = rate
        self._limit = min(self._most, self._limit + max(1, self._limit // 2))
        return self._limit


class Crew:
    """Does jobs in their order with as many threads as are worth it.

    `done` and `failed` are called from those threads; `grown` with the number of connections when it has become another one.
    """

    def __init__(
        self,
        source: Source,
        pace: Pace,
        *,
        done: Callable[[Done], None],
        failed: Callable[[BaseException], None],
        grown: Callable[[int], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._pulse, self._pace = source, source.pulse, pace
        self._done, self._failed, self._grown = done, failed, grown
        self._clock = clock
        self._arena: Arena | None = None
        self._objects: Mapping[str, Object] = {}
        self._jobs: deque[Job] = deque()
        self._change = threading.Condition()
        self._over = False
        self._limit = pace.first
        self._idle = 0
        self.threads = 0

    def open(self, objects: Mapping[str, Object], arena: Arena) -> None:
        """What is read, and the memory that it goes to; from here on the number of connections may grow."""
        self._objects, self._arena = objects, arena
        if self._pace.most > self._pace.first:
            threading.Thread(target=self._watch_growth, name="growth", daemon=True).start()

    def add(self, jobs: Iterable[Job]) -> None:
        with self._change:
            self._jobs.extend(jobs)
            self._hire()
            self._change.notify_all()

    def close(self) -> None:
        """Begin no further job. A thread that sits in a socket ends by itself."""
        with self._change:
            self._over = True
            self._jobs.clear()
            self._change.notify_all()

    def _watch_growth(self) -> None:
        """Add connections as long as that makes the load faster; returns when it doesn't, or at the end."""
        growth = Growth(self._pace)
        while not self._over:
            before, since = self._pulse.received, self._clock()
            with self._change:
                self._change.wait_for(lambda: self._over, timeout=_WINDOW)
                busy = bool(self._jobs) and self.threads >= self._limit
            if not busy:
                continue  # nothing to be faster at: a rate of now says nothing
            more = growth.after((self._pulse.received - before) / max(1e-9, self._clock() - since))
            if more is None:
                return
            with self._change:
                self._limit = more
                self._hire()
            if self._grown is not None:
                self._grown(more)

    def _hire(self) -> None:
        """Threads for the jobs that nobody waits for. Call it with the lock."""
        for _ in range(min(self._limit - self.threads, len(self._jobs) - self._idle)):
            self.threads += 1
            threading.Thread(target=self._work, name=f"reader-{self.threads}", daemon=True).start()

    def _next(self) -> Job | None:
        with self._change:
            self._idle += 1
            self._change.wait_for(lambda: self._over or self._jobs)
            self._idle -= 1
            return None if self._over else self._jobs.popleft()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._done(self._do(job))
            except BaseException as error:  # noqa: BLE001 - it is raised again where the load is waited for
                self.close()
                self._failed(error)

    def _do(self, job: Job) -> Done:
        sink = Summed(_Nowhere(self._pulse) if job.to == NOWHERE else _Place(self._arena, job, self._pulse))
        self._source.read(self._objects[job.object], job.begin, job.end, sink)
        return Done(job.number, sink.crc)


class _Place:
    """Receives a job's bytes where they belong."""

    def __init__(self, arena: Arena | None, job: Job, pulse: Pulse) -> None:
        if arena is None:
            raise ValueError("no memory was opened")
        self._arena, self._shift, self._pulse = arena, job.to - job.begin, pulse

    def buffer(self, offset: int, most: int) -> memoryview:
        return self._arena.view(offset + self._shift, offset + self._shift + most)

    def wrote(self, offset: int, count: int) -> None:
        self._pulse.arrived(count)


class _Nowhere:
    """Receives bytes of which only the sum is wanted."""

    def __init__(self, pulse: Pulse) -> None:
        self._memory, self._pulse = memoryview(bytearray(_STEP)), pulse

    def buffer(self, offset: int, most: int) -> memoryview:
        return self._memory[: min(most, _STEP)]

    def wrote(self, offset: int, count: int) -> None:
        self._pulse.arrived(count)
