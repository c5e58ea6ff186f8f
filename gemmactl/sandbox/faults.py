"""Faults that a test orders: the nth request that matches fails in a chosen way. Knows no API."""

from __future__ import annotations

import random
import re
import threading
import time
from dataclasses import dataclass
from typing import Any

from gemmactl.sandbox.wire import CutConnection, Request, failed


@dataclass
class Fault:
    """`METHOD PATH` (searched with `match`): skip `after` requests, then hit `times` of them (0: all that follow)."""

    match: str
    status: str = "UNAVAILABLE"
    """Canonical status, or `reset` (the connection is cut), or `exit` (the daemon dies as if killed)."""
    message: str = "The service is currently unavailable."
    after: int = 0
    times: int = 1
    delay: float = 0.0
    """Seconds of stall before the fault; with status `""` the request then goes on as usual."""
    share: float = 1.0
    """Of the requests that are due, how many are hit: 0.2 is every fifth, by chance."""
    when: str = "before"
    """`before` the behaviour, or `after` it: done, but the answer is lost."""
    seen: int = 0
    hits: int = 0


class Faults:
    """The ordered faults, in order."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._chance = random.Random(1)  # noqa: S311 - a test's faults, not a secret

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def hit(self, request: Request, when: str) -> None:
        """Raise what was ordered for this request; nothing when nothing was."""
        for fault in self._due(f"{request.method} {request.path}", when):
            if fault.delay:
                time.sleep(fault.delay)
            if fault.status == "reset":
                raise CutConnection
            if fault.status == "exit":
                _die()
            if fault.status:
                raise failed(fault.status, fault.message)

    def _due(self, line: str, when: str) -> list[Fault]:
        due = []
        with self._lock:
            for fault in self._faults:
                if fault.when == when and re.search(fault.match, line):
                    fault.seen += 1
                    due_now = fault.seen > fault.after and (not fault.times or fault.seen <= fault.after + fault.times)
                    if due_now and (fault.share >= 1.0 or self._chance.random() < fault.share):
                        fault.hits += 1
                        due.append(fault)
        return due


def fault_of(document: dict[str, Any]) -> Fault:
    """A Fault from its JSON; unknown keys are a 400."""
    try:
        return Fault(**document)
    except TypeError as wrong:
        raise failed("INVALID_ARGUMENT", f"not a fault: {wrong}") from None


def _die() -> None:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)
