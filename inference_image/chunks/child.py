"""The process that reads: jobs in on stdin, what is done out on stdout, bytes into the memory it shares. Owns no decision.

A process of its own, because torch's import holds Python's lock for seconds: threads beside it read at a fraction of a fast
link's rate, and hold the import up (docs/loader.md).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

from inference_image.chunks import open_source
from inference_image.chunks.arena import Arena
from inference_image.chunks.crc import prepare
from inference_image.chunks.crew import Crew, Pace
from inference_image.chunks.source import Done, Job, Object, Patience
from inference_image.contract import Code, LoadFailed


class Child:
    """Answers messages: each is one JSON array on one line."""

    def __init__(self, arguments: Sequence[Any], out: BinaryIO) -> None:
        uri, self._descriptor, first, most, stall, pin = arguments
        self._source = open_source(uri, os.environ, patience=Patience(stall=stall), pin=pin)
        self._out, self._lock = out, threading.Lock()
        pace = Pace(first, most)
        self._crew = Crew(self._source, pace, done=self._done, failed=self._failed, grown=self._grown)

    def answer(self, message: list[Any]) -> None:
        match message:
            case ["list"]:
                self._tell("objects", [[one.name, one.size, one.generation, one.crc32c] for one in self._source.list()])
            case ["open", int(size), list(rows)]:
                prepare()
                self._crew.open({row[0]: Object(*row) for row in rows}, Arena(size, self._descriptor))
            case ["add", list(rows)]:
                self._crew.add(Job(*row) for row in rows)
            case ["close"]:
                self._crew.close()
                self._tell("end", {**self._source.pulse.counts(), "connections": self._crew.threads})

    def fail(self, error: BaseException) -> None:
        self._failed(error)

    def _done(self, done: Done) -> None:
        self._tell("done", *done)

    def _grown(self, connections: int) -> None:
        self._tell("grown", connections)

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, LoadFailed):
            error = LoadFailed(Code.CRASHED, "reader", f"{type(error).__name__}: {error}"[:300])
        self._tell("failed", str(error.failure.code), error.failure.object, error.failure.detail)

    def _tell(self, *message: Any) -> None:
        line = json.dumps(message).encode() + b"\n"
        with self._lock:
            self._out.write(line)
            self._out.flush()


def answer_all(arguments: Sequence[Any], lines: Iterable[bytes]) -> None:
    """Until there are no more messages: whoever began this is gone then, or needs it no longer. Answers go to descriptor 1."""
    # Ctrl-C reaches the whole group of a terminal; who started this decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    child: Child | None = None
    for line in lines:
        try:
            child = child or Child(arguments, out)
            child.answer(json.loads(line))
        except BrokenPipeError:
            return
        except Exception as error:
            if child is None:
                raise
            child.fail(error)


if __name__ == "__main__":
    answer_all(json.loads(sys.argv[1]), sys.stdin.buffer)
    sys.stdout.flush()
    os._exit(0)  # readers may sit in a socket
