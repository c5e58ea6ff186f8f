"""Owns the record of one start: phases, bytes, and which generation of which object was loaded. Knows no HTTP and no model."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORD_VERSION = 1
_ENOUGH = 0.5
"""Seconds of reading after which its rate says something."""


@dataclass(frozen=True)
class Loaded:
    """One object that was read. `crc32c` is the store's own sum, or ours; `verified` when both were there and equal."""

    name: str
    size: int
    generation: str
    crc32c: str | None
    verified: bool


class Timeline:
    """Filled by the loading threads, read by the server at any moment. Seconds count from the start of the process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, began: float | None = None) -> None:
        self._clock = clock
        self._began = clock() - seconds_alive() if began is None else began
        self._lock = threading.Lock()
        self._phases: list[dict[str, Any]] = []
        self._facts: dict[str, Any] = {}
        self._loaded: list[Loaded] = []
        self._first: tuple[float, int] | None = None
        self.stage = "starting"
        self.bytes_done = 0
        self.bytes_total = 0

    def seconds(self) -> float:
        return self._clock() - self._began

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Times a piece of work and shows it as the stage. Phases of different threads overlap."""
        self.stage = name
        start = self.seconds()
        try:
            yield
        finally:
            row = {"name": name, "start": round(start, 3), "seconds": round(self.seconds() - start, 3)}
            with self._lock:
                self._phases.append(row)

    def arrived(self, count: int) -> None:
        with self._lock:
            self.bytes_done += count
            if self._first is None:
                self._first = self._clock(), count

    def note(self, **facts: Any) -> None:
        """Single facts of the record: model, source, device, dtype, ready."""
        with self._lock:
            self._facts.update(facts)

    def loaded(self, one: Loaded) -> None:
        with self._lock:
            self._loaded.append(one)

    def record(self) -> dict[str, Any]:
        """The record as JSON values. `gb_per_s` is over the phase in which weights were read."""
        with self._lock:
            reading = sum(phase["seconds"] for phase in self._phases if phase["name"] == "read weights")
            return {
                "version": RECORD_VERSION,
                **self._facts,
                "bytes": self.bytes_done,
                "gb_per_s": round(self.bytes_done / reading / 1e9, 3) if reading else None,
                "phases": sorted(self._phases, key=lambda phase: float(phase["start"])),
                "objects": [vars(one) for one in sorted(self._loaded, key=lambda one: one.name)],
            }

    def progress(self) -> dict[str, Any]:
        return {"stage": self.stage, "bytes_done": self.bytes_done, "bytes_total": self.bytes_total, "eta_s": self.eta()}

    def eta(self) -> float | None:
        """Seconds until the last byte, at the rate since the first; None before that says something and when all are there.

        What follows the last byte (the rest of the imports, the first token) can't be foretold and isn't in it.
        """
        with self._lock:
            first, done, left = self._first, self.bytes_done, self.bytes_total - self.bytes_done
        if first is None or left <= 0 or done == first[1]:
            return None
        # The bytes that came first took a time that nobody saw.
        spent = self._clock() - first[0]
        return round(left * spent / (done - first[1]), 1) if spent >= _ENOUGH else None

    def facts(self) -> dict[str, Any]:
        """What was noted so far."""
        with self._lock:
            return dict(self._facts)


def seconds_alive() -> float:
    """Age of this process, the interpreter's own start included; 0 where /proc doesn't tell."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        up = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
        return max(0.0, up - int(fields[19]) / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return 0.0
