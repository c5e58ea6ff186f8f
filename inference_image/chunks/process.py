"""Owns the process that reads: its start, the messages to and from it, the memory shared with it, its end. Knows no tensors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

from inference_image.chunks.arena import Arena, shared_file
from inference_image.chunks.crew import Pace
from inference_image.chunks.readers import Events
from inference_image.chunks.source import Done, Job, Object
from inference_image.contract import Code, LoadFailed

_ROOT: Final = Path(__file__).parents[2]
_KEPT: Final = ("PATH", "HOME", "LD_LIBRARY_PATH", "LANG", "TMPDIR")
_CLOSING_SECONDS: Final = 2.0


class ProcessReaders:
    """Reads in a process of its own (chunks/child.py) into memory that both have. Raises OSError when none can be started."""

    def __init__(self, uri: str, environ: Mapping[str, str], pace: Pace, stall: float, events: Events) -> None:
        self.uri = uri
        self._events = events
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self._lock = threading.Lock()
        self._ended = False
        self._memory, self._errors = shared_file(), shared_file()
        path = os.pathsep.join(filter(None, [str(_ROOT), environ.get("PYTHONPATH", "")]))
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        arguments = json.dumps([uri, self._memory, pace.first, pace.most, stall])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "inference_image.chunks.child", arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, pass_fds=(self._memory,),
            env={**kept, **environ, "PYTHONPATH": path}, bufsize=0,
        )  # fmt: skip
        threading.Thread(target=self._listen, name="reader-process", daemon=True).start()

    def list(self) -> tuple[Object, ...]:
        self._tell("list")
        return tuple(Object(*row) for row in self._answer())

    def open(self, objects: Mapping[str, Object], size: int) -> Arena:
        arena = Arena(size, self._memory)
        self._tell("open", arena.size, [[one.name, one.size, one.generation, one.crc32c] for one in objects.values()])
        return arena

    def add(self, jobs: Iterable[Job]) -> None:
        self._tell("add", list(jobs))

    def close(self) -> Mapping[str, int]:
        counts: Mapping[str, int] = {}
        try:
            self._ended = True
            self._tell("close")
            counts = self._answer(_CLOSING_SECONDS)
        except (LoadFailed, Empty):
            pass  # it is gone already, and its failure told
        finally:
            self._process.kill()
            self._process.wait()
        return counts

    def _tell(self, *message: Any) -> None:
        data = memoryview(json.dumps(message).encode() + b"\n")
        with self._lock:
            try:
                while data:
                    data = data[self._process.stdin.write(data) :]  # type: ignore[union-attr]  # it is a pipe; raw, so it tells how much it took
            except (BrokenPipeError, ValueError):
                raise self._gone() from None

    def _answer(self, seconds: float | None = None) -> Any:
        answer = self._answers.get(timeout=seconds)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _listen(self) -> None:
        for message in self._messages():
            match message:
                case ["done", number, crc]:
                    self._events.put(Done(number, crc))
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
        if not self._ended:
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
                Code.HOST_MEMORY, "reader", "the process that reads the weights was killed: out of memory, most likely"
            )
        said = os.pread(self._errors, 1 << 16, 0).decode("utf-8", "replace").strip().splitlines()
        detail = f"the process that reads the weights ended with status {status}: {said[-1] if said else 'it said nothing'}"
        return LoadFailed(Code.CRASHED, "reader", detail[:300])
