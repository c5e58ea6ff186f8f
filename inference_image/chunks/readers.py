"""Owns who does the reading: threads of this process, or those of a process of its own. Knows no tensors.

Whoever does it, the caller sees the same: a list, memory, jobs, and events in a queue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from queue import SimpleQueue
from typing import Any, Protocol

from inference_image.chunks.arena import Arena
from inference_image.chunks.crew import Crew, Pace
from inference_image.chunks.source import Job, Object, Source

Events = SimpleQueue[Any]
"""Done for each job, in any order; an exception for the failure that ends a load. Whoever owns the queue may put in more."""


class Readers(Protocol):
    """Threads somewhere that read."""

    @property
    def uri(self) -> str:
        """The place, as the user wrote it."""

    @property
    def connections(self) -> int:
        """Reads that may be under way at once: those to begin with, and more when that turned out to be faster."""

    def list(self) -> tuple[Object, ...]:
        """What Source.list says. Raises LoadFailed."""

    def open(self, objects: Mapping[str, Object], size: int) -> Arena:
        """Memory for `size` bytes, which jobs for these objects write into. Raises LoadFailed(host_memory)."""

    def add(self, jobs: Iterable[Job]) -> None:
        """Do these too, after all that were added before."""

    def close(self) -> Mapping[str, int]:
        """Begin nothing more; how often what went wrong."""


class ThreadReaders:
    """Reads in threads of this process."""

    def __init__(self, source: Source, pace: Pace, events: Events) -> None:
        self._source = source
        self._crew = Crew(source, pace, done=events.put, failed=events.put, grown=self._grown)
        self.connections = pace.first

    @property
    def uri(self) -> str:
        return self._source.uri

    def list(self) -> tuple[Object, ...]:
        return self._source.list()

    def open(self, objects: Mapping[str, Object], size: int) -> Arena:
        arena = Arena(size)
        self._crew.open(objects, arena)
        return arena

    def _grown(self, connections: int) -> None:
        self.connections = connections

    def add(self, jobs: Iterable[Job]) -> None:
        self._crew.add(jobs)

    def close(self) -> Mapping[str, int]:
        self._crew.close()
        return {**self._source.pulse.counts(), "connections": self._crew.threads}
