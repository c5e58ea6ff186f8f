"""Owns the processes that read: their start, messages to and from them, shared memory, their end. Knows no tensors."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final

from inference_image.chunks.arena import Arena, shared_file
from inference_image.chunks.birth import begin
from inference_image.chunks.crew import Pace
from inference_image.chunks.openssl_library import tls_in_python
from inference_image.chunks.readers import Events
from inference_image.chunks.source import Done, Job, Object
from inference_image.contract import Code, LoadFailed

MOST: Final = 4
"""Processes at most where each takes bytes out of its sockets with one core."""
_CLOSING_SECONDS: Final = 2.0


def processes(uri: str, environ: Mapping[str, str]) -> int:
    """One, whose threads use all cores; as many as there are cores where Python's lock is taken for every record of TLS."""
    if not tls_in_python(environ) or uri.startswith("http:"):
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST, cores))


class ProcessReaders:
    """Reads in processes of their own (chunks/child.py) into memory that all have. Raises OSError when none can be started."""

    def __init__(
        self,
        uri: str,
        environ: Mapping[str, str],
        pace: Pace,
        stall: float,
        events: Events,
        count: int | None = None,
        *,
        pin: str = "",
    ) -> None:
        self.uri = uri
        self._memory = shared_file()
        count = min(pace.first, count or processes(uri, environ))
        share = Pace(-(-pace.first // count), -(-pace.most // count))
        self._children: list[_Child] = []
        self._following: dict[tuple[str, int], int] = {}
        """Who goes on with a request, by where it goes on."""
        try:
            for _ in range(count):
                self._children.append(_Child([uri, self._memory, share.first, share.most, stall, pin], environ, events))
            for child in self._children:
                child.listen()
        except OSError:
            self.close()
            raise

    @property
    def connections(self) -> int:
        return sum(child.connections for child in self._children)

    def list(self) -> tuple[Object, ...]:
        self._children[0].tell("list")
        return tuple(Object(*row) for row in self._children[0].answer())

    def open(self, objects: Mapping[str, Object], size: int) -> Arena:
        arena = Arena(size, self._memory)
        rows = [[one.name, one.size, one.generation, one.crc32c] for one in objects.values()]
        for child in self._children:
            child.tell("open", arena.size, rows)
        return arena

    def add(self, jobs: Iterable[Job]) -> None:
        shares: list[list[Job]] = [[] for _ in self._children]
        for job in jobs:
            number = self._following.pop((job.object, job.begin), -1)
            if number < 0:  # to whoever has least to do
                number = min(range(len(shares)), key=lambda one: self._children[one].out + len(shares[one]))
            if job.end < job.till:
                self._following[job.object, job.end] = number
            shares[number].append(job)
        for child, share in zip(self._children, shares, strict=True):
            child.add(share)

    def close(self) -> Mapping[str, int]:
        for child in self._children:
            child.ask_to_close()
        counts: dict[str, int] = {"processes": len(self._children)}
        for child in self._children:
            for what, many in child.end().items():
                counts[what] = counts.get(what, 0) + many
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1
        return counts


class _Child:
    """One process, its messages and what it has to do."""

    def __init__(self, arguments: list[Any], environ: Mapping[str, str], events: Events) -> None:
        _, memory, connections, *_ = arguments
        self._events = events
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self._lock = threading.Lock()
        self._closing = False
        self._errors = shared_file()
        self.out = 0
        self.connections = connections
        self._process = begin(arguments, environ, memory, self._errors)
        self._listener = threading.Thread(target=self._listen, name="reader-process", daemon=True)

    def listen(self) -> None:
        """Begin to take its messages. A thread more, beside which no process is split off any longer."""
        self._listener.start()

    def add(self, jobs: Iterable[Job]) -> None:
        if jobs := list(jobs):
            with self._lock:
                self.out += len(jobs)
            self.tell("add", jobs)

    def tell(self, *message: Any) -> None:
        """Raises LoadFailed when nobody is there any more."""
        data = memoryview(json.dumps(message).encode() + b"\n")
        with self._lock:
            try:
                while data:
                    data = data[self._process.stdin.write(data) :]  # type: ignore[union-attr]  # a pipe, and raw: it tells how much
            except (BrokenPipeError, ValueError):
                raise self._gone() from None

    def answer(self, seconds: float | None = None) -> Any:
        """Raises LoadFailed, and Empty after so many seconds."""
        answer = self._answers.get(timeout=seconds)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def ask_to_close(self) -> None:
        self._closing = True
        with suppress(LoadFailed):  # gone already, and its failure told
            self.tell("close")

    def end(self) -> Mapping[str, int]:
        """How often what went wrong; the process is no more."""
        counts: Mapping[str, int] = {}
        with suppress(LoadFailed, Empty):
            counts = self.answer(_CLOSING_SECONDS if self._listener.is_alive() else 0.0)  # nobody answers any more
        self._process.kill()
        self._process.wait()
        if self._listener.ident is not None:
            self._listener.join()
        if self._errors >= 0:
            os.close(self._errors)
            self._errors = -1
        return counts

    def _listen(self) -> None:
        for message in self._messages():
            match message:
                case ["done", number, crc]:
                    with self._lock:
                        self.out -= 1
                    self._events.put(Done(number, crc))
                case ["grown", connections]:
                    self.connections = connections
                case ["objects" | "end", answer]:
                    self._answers.put(answer)
                case ["failed", code, name, detail]:
                    self._fail(LoadFailed(Code(code), name, detail))
        self._fail(self._gone())

    def _messages(self) -> Iterator[Any]:
        with os.fdopen(os.dup(self._process.stdout.fileno()), "rb") as lines:  # type: ignore[union-attr]  # it is a pipe
            for line in lines:
                yield json.loads(line)

    def _fail(self, error: LoadFailed) -> None:
        if not self._closing:
            self._events.put(error)
        self._answers.put(error)

    def _gone(self) -> LoadFailed:
        """The process ended before it was asked to: killed for memory, or broken."""
        try:
            status = self._process.wait(1)
        except subprocess.TimeoutExpired:
            status = 0
        if status == -9:
            return LoadFailed(
                Code.HOST_MEMORY, "reader", "a process that reads the weights was killed: out of memory, most likely"
            )
        said = os.pread(self._errors, 1 << 16, 0).decode("utf-8", "replace").strip().splitlines()
        detail = f"a process that reads the weights ended with status {status}: {said[-1] if said else 'it said nothing'}"
        return LoadFailed(Code.CRASHED, "reader", detail[:300])
