"""Owns the read jobs of one load: their numbers, what came back of them, the load's deadline. Knows no tensors."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from queue import Empty
from typing import Final

from inference_image import contract
from inference_image.chunks.plan import Range
from inference_image.chunks.readers import Events, Readers
from inference_image.chunks.source import Done, Job
from inference_image.chunks.verify import Part
from inference_image.contract import Code, LoadFailed

_FREED: Final = "a slab is free"


class GivenUp(LoadFailed):
    """Whoever fills the model failed first, and says why itself."""


class Jobs:
    """Used by one thread; only freed() and its caller's readers put events in from others."""

    def __init__(self, readers: Readers, events: Events, seconds: float) -> None:
        self._readers, self._events = readers, events
        self._seconds, self._deadline = seconds, time.monotonic() + seconds
        self._out: dict[int, Job] = {}
        self._early: deque[Job] = deque()
        self._number = 0
        self.parts: dict[str, list[Part]] = {}
        self.stopped: Callable[[], bool] = lambda: False

    def __len__(self) -> int:
        """Jobs that are given out, or done and not asked for."""
        return len(self._out) + len(self._early)

    def job(self, one: Range, to: int, till: int = 0) -> Job:
        """A job that goes to `to` in the memory that was opened, or NOWHERE; `till`: see Job."""
        self._number += 1
        return Job(self._number, one.object, one.begin, one.end, to, till)

    def give_out(self, jobs: Iterable[Job]) -> list[Job]:
        if batch := list(jobs):
            self._out |= {job.number: job for job in batch}
            self._readers.add(batch)
        return batch

    def freed(self) -> None:
        """Wake up who waits in next(): there is room again. Safe from any thread."""
        self._events.put(_FREED)

    def next(self) -> Job | None:
        """The next job that is done; None when there is room again.

        Raises what the readers raised, and LoadFailed(deadline_exceeded).
        """
        return self._early.popleft() if self._early else self._event()

    def wait_for(self, jobs: Iterable[Job], *, keep: bool = False) -> None:
        """Return when these are done; others that are done meanwhile are kept for next(), and these too with `keep`."""
        waited = {job.number for job in jobs}
        while waited:
            job = self._event()
            if job is None:
                continue
            if job.number not in waited or keep:
                self._early.append(job)
            waited.discard(job.number)

    def settle(self) -> None:
        """Return when nothing is out; what is done is kept for next()."""
        self.wait_for(list(self._out.values()), keep=True)

    def _event(self) -> Job | None:
        try:
            event = self._events.get(timeout=max(0.0, self._deadline - time.monotonic()))
        except Empty:
            detail = (
                f"the weights were not there after {self._seconds:.0f} s: a slow link, or {contract.ENV_LOAD_SECONDS} is too low"
            )
            raise LoadFailed(Code.DEADLINE_EXCEEDED, self._readers.uri, detail) from None
        if isinstance(event, BaseException):
            raise event
        if self.stopped():
            raise GivenUp(Code.CRASHED, "server", "the load was given up")
        if not isinstance(event, Done):
            return None
        job = self._out.pop(event.number)
        self.parts.setdefault(job.object, []).append((job.begin, job.end, event.crc))
        return job
