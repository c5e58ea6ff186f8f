"""Owns the threads that do read jobs: how many there are, which jobs share a request, the first failure. Knows no tensors.

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
from inference_image.chunks.run import Run, Stopped
from inference_image.chunks.source import Done, Job, Object, Source

_WINDOW: Final = 0.4
"""Seconds over which a rate is taken."""
_GAIN: Final = 1.05
_STARVED: Final = 4
"""A quarter of the readers waiting for room: not their number is what holds the load up."""


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
        self._runs: deque[Run] = deque()
        self._under_way: set[Run] = set()
        self._followed: dict[tuple[str, int], Run] = {}
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
        """A job that begins where another one ended goes to whoever reads that, where its request asks for more."""
        with self._change:
            before = len(self._runs)
            for job in jobs:
                run = self._followed.pop((job.object, job.begin), None)
                if run is None:
                    run = Run(job, self._pulse, self._done)
                    self._runs.append(run)
                else:
                    run.follow(job)
                if job.end < run.end:
                    self._followed[job.object, job.end] = run
            if len(self._runs) > before:
                self._hire()
                self._change.notify_all()

    def close(self) -> None:
        """Begin no further job. A thread that sits in a socket ends by itself."""
        with self._change:
            self._over = True
            self._runs.clear()
            for run in self._under_way:
                run.stop()
            self._change.notify_all()

    def _watch_growth(self) -> None:
        """Add connections as long as that makes the load faster; returns when it doesn't, or at the end."""
        growth = Growth(self._pace)
        while not self._over:
            before, since = self._pulse.received, self._clock()
            with self._change:
                self._change.wait_for(lambda: self._over, timeout=_WINDOW)
                starved = sum(run.starved for run in self._under_way)
                busy = self.threads >= self._limit and not self._idle and starved * _STARVED <= self.threads
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
        """Threads for the requests that nobody waits for. Call it with the lock."""
        for _ in range(min(self._limit - self.threads, len(self._runs) - self._idle)):
            self.threads += 1
            threading.Thread(target=self._work, name=f"reader-{self.threads}", daemon=True).start()

    def _next(self) -> Run | None:
        with self._change:
            self._idle = self._pulse.idle = self._idle + 1
            self._change.wait_for(lambda: self._over or self._runs)
            self._idle = self._pulse.idle = self._idle - 1
            if self._over:
                return None
            run = self._runs.popleft()
            self._under_way.add(run)
            return run

    def _work(self) -> None:
        while (run := self._next()) is not None:
            try:
                self._read(run)
            except Stopped:
                return
            except BaseException as error:  # noqa: BLE001 - it is raised again where the load is waited for
                self.close()
                self._failed(error)
            with self._change:
                self._under_way.discard(run)

    def _read(self, run: Run) -> None:
        run.arena = self._arena
        self._source.read(self._objects[run.object], run.begin, run.end, run)
