"""Maintenance events that a test orders: a running attempt is killed, now or at a line of its log. Knows no process.

Cloud Run terminates GPU tasks in maintenance events (it moves others to another machine). Source: its page "Set task timeout for
jobs". That the process gets no SIGTERM is the worst case, not what is documented.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass
from typing import Any

from gemmactl.sandbox.wire import failed


@dataclass
class Maintenance:
    """Kill the attempt of `job` (short name; empty: any) that writes a line which `match` is found in, `times` times."""

    match: str
    job: str = ""
    times: int = 1


class Calendar:
    """The ordered events."""

    def __init__(self) -> None:
        self._events: list[Maintenance] = []
        self._lock = threading.Lock()

    def add(self, event: Maintenance) -> None:
        with self._lock:
            self._events.append(event)

    def clear(self) -> None:
        with self._lock:
            self._events.clear()

    def due(self, job: str, entry: str | dict[str, Any]) -> bool:
        """Whether this line is one that an event waits for; it is used up then."""
        with self._lock:
            if not self._events:
                return False
            line = entry if isinstance(entry, str) else json.dumps(entry)
            for event in self._events:
                if event.job in ("", job) and re.search(event.match, line):
                    event.times -= 1
                    if event.times <= 0:
                        self._events.remove(event)
                    return True
        return False


def maintenance_of(document: dict[str, Any]) -> Maintenance:
    """A Maintenance from its JSON; unknown keys and a bad pattern are a 400."""
    try:
        event = Maintenance(**document)
        re.compile(event.match)
    except (TypeError, re.error) as wrong:
        raise failed("INVALID_ARGUMENT", f"not a maintenance event: {wrong}") from None
    return event
