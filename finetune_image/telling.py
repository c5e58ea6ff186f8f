"""Owns what a run tells while it goes on: lines on stdout at once, the object METRICS every few seconds. Knows no trainer."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from finetune_image.contract import CANCELLED, METRICS, METRICS_SECONDS, Kind, TuneFailed, metric
from finetune_image.halt import Halt, Why
from finetune_image.ledger import Ledger
from finetune_image.store import Store

LIMIT: Final = 1 << 20
"""Bytes of METRICS: it is written anew each time. Beyond it every second older line of training is left out."""


def say(line: str) -> None:
    """One line of the process's output, whole."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Teller:
    """The lines of a run, those of earlier attempts first. Safe from many threads."""

    def __init__(
        self, store: Store, attempt: int, out: Callable[[str], None] = say, clock: Callable[[], float] = time.time
    ) -> None:
        self._store, self._attempt, self._out, self._clock = store, attempt, out, clock
        self._lock = threading.Lock()
        self._lines = (store.read(METRICS) or b"").decode("utf-8", "replace").splitlines()
        self._size = sum(map(len, self._lines))
        self._told = 0

    def tell(self, kind: Kind, **fields: Any) -> None:
        """One line. It is on stdout now and in METRICS with the next flush."""
        line = metric(kind, self._clock(), self._attempt, **fields)
        with self._lock:
            self._lines.append(line)
            self._size += len(line)
            self._told += 1
            if self._size > LIMIT:
                self._lines = thinned(self._lines)
                self._size = sum(map(len, self._lines))
        self._out(line)

    def flush(self) -> None:
        """METRICS anew when there is something new. A place that can't be reached now is tried again at the next flush."""
        with self._lock:
            told, text = self._told, "".join(f"{line}\n" for line in self._lines)
        if told:
            with suppress(TuneFailed):
                self._store.write(METRICS, text.encode())
                with self._lock:
                    self._told -= told


def thinned(lines: list[str]) -> list[str]:
    """Without every second line of training in the older half; all other lines stay."""
    made, odd = [], False
    for number, line in enumerate(lines):
        if number < len(lines) // 2 and f'"kind": "{Kind.TRAIN}"' in line:
            odd = not odd
            if odd:
                continue
        made.append(line)
    return made


def points(lines: Iterable[str | bytes], kind: Kind) -> tuple[tuple[int, float], ...]:
    """(step, loss) of TRAIN or EVAL by step. What an interrupted attempt told beyond its checkpoint, a later one tells again."""
    found: dict[int, float] = {}
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):
            made = json.loads(line)
            if made["kind"] == kind:
                found[int(made["step"])] = float(made["loss"])
    return tuple(sorted(found.items()))


class Pulse:
    """Every few seconds, from its own thread: METRICS, a sign of life, and whether the user wants the run to stand still."""

    def __init__(self, teller: Teller, ledger: Ledger, store: Store, halt: Halt, seconds: float = METRICS_SECONDS) -> None:
        self._teller, self._ledger, self._store, self._halt, self._seconds = teller, ledger, store, halt, seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No beat begins any more, and none is under way."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def beat(self) -> None:
        """Once. A place that can't be reached is no reason to end a training."""
        self._teller.flush()
        with suppress(TuneFailed):
            self._ledger.beat()
            if self._store.stat(CANCELLED):
                self._halt.ask(Why.CANCELLED)

    def _go_on(self) -> None:
        while not self._over.wait(self._seconds):
            with suppress(Exception):  # whatever one beat met: without the next ones nobody hears of CANCELLED
                self.beat()
