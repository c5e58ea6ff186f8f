"""Owns why and when an attempt must stop: a signal, its deadline, its money, the user's word. Knows no trainer."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from types import FrameType
from typing import Final

from finetune_image.contract import EXIT_TERMINATED

GRACE: Final = 8.5
"""Seconds from SIGTERM until the process ends whatever it does. Cloud Run kills after 10 (docs: container runtime contract)."""
MARGIN: Final = 120.0
"""Most seconds that are kept before a task's deadline to save and stop; a short task keeps a fifth of itself."""


class Why(StrEnum):
    """Why an attempt stops before its work is done; the words of contract.Kind.END."""

    TERMINATED = "terminated"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    BUDGET = "budget"
    """Not an end: what is there is evaluated and published."""


class Terminated(BaseException):
    """SIGTERM, where there is nothing to be saved."""


class Halt:
    """One attempt's reasons to stop. Asked from the training loop, told from signals and other threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._asked: Why | None = None
        self._times: dict[Why, float] = {}
        self._gentle = False

    def ask(self, why: Why) -> None:
        """Stop soon. A signal is never taken back by a lesser reason."""
        if self._asked is not Why.TERMINATED:
            self._asked = why

    def after(self, seconds: float, why: Why) -> None:
        """Stop `seconds` from now."""
        self._times[why] = self.clock() + seconds

    def left(self, why: Why) -> float:
        """Seconds until that time; infinite where none is set."""
        return self._times.get(why, float("inf")) - self.clock()

    @property
    def why(self) -> Why | None:
        """The reason to stop now; None: go on. What was asked for comes before what the clock says, a deadline before money."""
        if self._asked is not None:
            return self._asked
        return next((why for why in (Why.DEADLINE, Why.BUDGET) if self.left(why) <= 0), None)

    @contextmanager
    def gentle(self) -> Iterator[None]:
        """Inside, a signal is only noted: the loop asks `why`, saves and stops. Outside it raises Terminated at once."""
        self._gentle = True
        try:
            if self._asked is Why.TERMINATED:
                raise Terminated
            yield
        finally:
            self._gentle = False

    @contextmanager
    def abrupt(self) -> Iterator[None]:
        """The same as outside, for a part of what is gentle: a signal raises Terminated there."""
        gentle, self._gentle = self._gentle, False
        try:
            if self._asked is Why.TERMINATED:
                raise Terminated
            yield
        finally:
            self._gentle = gentle

    def signalled(self, _number: int = signal.SIGTERM, _frame: FrameType | None = None) -> None:
        """The handler of SIGTERM."""
        again, self._asked = self._asked is Why.TERMINATED, Why.TERMINATED
        if not self._gentle and not again:
            raise Terminated


def deadline_of(task_seconds: float) -> float:
    """Seconds of an attempt of which something has to be kept for saving."""
    return task_seconds - min(MARGIN, task_seconds / 5)


def listen(halt: Halt, signals: tuple[int, ...] = (signal.SIGTERM,), leave: Callable[[int], object] = os._exit) -> None:
    """Signals go to `halt` from now on. Only from the main thread.

    As PID 1 a process without a handler doesn't even get SIGTERM. The handler runs between two instructions of Python, which a
    long call into torch may hold up: a thread that the kernel wakes ends the process in time all the same.
    """
    for number in signals:
        signal.signal(number, halt.signalled)
    heard, says = os.pipe()
    os.set_blocking(says, False)
    signal.set_wakeup_fd(says, warn_on_full_buffer=False)

    def watch() -> None:
        while came := os.read(heard, 1):
            if came[0] in signals:
                time.sleep(GRACE)
                with suppress(OSError):
                    os.write(2, b"not done in time after the signal: what was saved before stays\n")
                leave(EXIT_TERMINATED)

    threading.Thread(target=watch, name="grace", daemon=True).start()
