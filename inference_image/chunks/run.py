"""Owns one request's way through several jobs: whose memory its bytes go to, one job after another. Knows no sockets."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

from inference_image.chunks.arena import Arena
from inference_image.chunks.crc import prepare
from inference_image.chunks.pulse import Pulse
from inference_image.chunks.source import NOWHERE, Done, Job

_STEP: Final = 1 << 20


class Stopped(Exception):  # noqa: N818 - no fault: nothing more is wanted
    """The load is over before this run is."""


class Run:
    """A sink for bytes [begin, end) of an object: a job and those that follow it, which may come while it is being read.

    The sum of each job's bytes is made while they are still warm in the cache, and told when the last of them is in place.
    """

    def __init__(self, job: Job, pulse: Pulse, done: Callable[[Done], None]) -> None:
        self.object, self.begin, self.end = job.object, job.begin, max(job.end, job.till)
        self.arena: Arena | None = None
        self.starved = False
        """Does it wait for the job that comes next? Set while a read is under way."""
        self._pulse, self._done, self._add = pulse, done, prepare()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._jobs.put(job)
        self._job: Job | None = None
        self._crc = 0
        self._view = self._nowhere = memoryview(b"")

    def follow(self, job: Job) -> None:
        """The next bytes of this run belong to it."""
        self._jobs.put(job)

    def stop(self) -> None:
        """No job follows any more: whoever reads raises Stopped when he would wait for one."""
        self._jobs.put(None)

    def buffer(self, offset: int, most: int) -> memoryview:
        """See Sink. Waits for the job that the byte belongs to. Raises Stopped."""
        job = self._job
        if job is None:
            job = self._job = self._next()
        most = min(most, job.end - offset)
        if job.to == NOWHERE:
            self._view = self._nowhere = self._nowhere or memoryview(bytearray(_STEP))
        elif self.arena is None:
            raise ValueError("no memory was opened")
        else:
            at = offset - job.begin + job.to
            self._view = self.arena.view(at, at + most)
        return self._view[:most]

    def wrote(self, offset: int, count: int) -> None:
        job = self._job
        if job is None:
            raise ValueError("no buffer was asked for")
        self._crc = self._add(self._view[:count], self._crc)
        self._pulse.arrived(count)
        if offset + count == job.end:
            crc, self._crc, self._job = self._crc, 0, None
            self._done(Done(job.number, crc))

    def _next(self) -> Job:
        try:
            job = self._jobs.get_nowait()
        except Empty:
            self.starved = True
            job = self._jobs.get()
            self.starved = False
        if job is None:
            raise Stopped
        return job
