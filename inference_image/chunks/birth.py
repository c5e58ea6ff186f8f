"""Owns how a process that reads begins: split off this one while that has a single thread, started anew otherwise.

Knows no messages. Split off, it has every module already: a tenth of a second, in which a link brings a hundred MB. Beside other
threads that is no way: a lock that one of them holds would stay held in the copy for ever.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, Never, Protocol

_ROOT: Final = Path(__file__).parents[2]
_KEPT: Final = ("PATH", "HOME", "LD_LIBRARY_PATH", "LANG", "TMPDIR")
_POLL: Final = 0.001
_STANDARD: Final = 2
"""The last descriptor of the three that every process has."""


class Process(Protocol):
    """As much of subprocess.Popen as a reader's messages need."""

    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None

    def kill(self) -> None:
        """End it, if it has not ended."""

    def wait(self, timeout: float | None = None) -> int:
        """Its status, less than 0 for a signal. Raises subprocess.TimeoutExpired."""


def begin(arguments: Sequence[Any], environ: Mapping[str, str], memory: int, errors: int) -> Process:
    """A process that answers messages (chunks/child.py), `memory` open in it, what it says of its failures in `errors`.

    Raises OSError.
    """
    path = os.pathsep.join(filter(None, [str(_ROOT), environ.get("PYTHONPATH", "")]))
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    whole = {**kept, **environ, "PYTHONPATH": path}
    if alone() and min(memory, errors) > _STANDARD:
        return _Split(arguments, whole, memory, errors)
    return subprocess.Popen(
        [sys.executable, "-m", "inference_image.chunks.child", json.dumps(arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, pass_fds=(memory,), env=whole, bufsize=0,
    )  # fmt: skip


def alone() -> bool:
    """Has this process one thread, no library's beside it? Linux tells; elsewhere nobody is."""
    try:
        return len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208 - names alone
    except OSError:
        return False


class _Split:
    """A copy of this process that answers messages and ends."""

    def __init__(self, arguments: Sequence[Any], environ: Mapping[str, str], memory: int, errors: int) -> None:
        self._status: int | None = None
        self._lock = threading.RLock()
        heard, to = os.pipe()
        try:
            out, said = os.pipe()
        except OSError:
            os.close(heard)
            os.close(to)
            raise
        try:
            self.pid = os.fork()
            if self.pid == 0:
                _become(arguments, environ, (heard, said, errors), memory)
        except OSError:
            os.close(to)
            os.close(out)
            raise
        finally:
            os.close(heard)
            os.close(said)
        self.stdin: IO[bytes] | None = os.fdopen(to, "wb", buffering=0)
        self.stdout: IO[bytes] | None = os.fdopen(out, "rb", buffering=0)

    def kill(self) -> None:
        with self._lock:  # between the two nobody takes its end, and its number for another
            if self._ended() is None:
                os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self._ended()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("reader", timeout or 0.0)
            time.sleep(_POLL)
        return status

    def _ended(self) -> int | None:
        with self._lock:
            if self._status is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self._status = os.waitstatus_to_exitcode(status)
            return self._status


def _become(arguments: Sequence[Any], environ: Mapping[str, str], ends: Sequence[int], memory: int) -> Never:
    """Be the process that reads: nothing of the one that this was split off is used or closed again."""
    status = 1
    try:
        gc.freeze()  # a collection would write to every object's page, and so copy it
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for number, end in enumerate(ends):
            os.dup2(end, number)
        for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 - names alone
            if descriptor > _STANDARD and descriptor != memory:
                with suppress(OSError):  # the one that listed them
                    os.close(descriptor)
        os.environ.clear()
        os.environ.update(environ)
        from inference_image.chunks.child import answer_all

        with open(0, "rb") as lines:
            answer_all(arguments, lines)
        status = 0
    except BaseException as error:  # noqa: BLE001 - it must never get back into the code of the other process
        os.write(_STANDARD, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(status)
