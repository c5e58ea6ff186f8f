"""Owns attempts.jsonl: what each attempt cost and got done, the budget over all of them, and when another one has no point."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Final

from finetune_image.contract import ATTEMPTS, METRICS_SECONDS, Code, TuneFailed
from finetune_image.run import Stop
from finetune_image.store import Store

BEFORE: Final = 20.0
"""Seconds of a container that are charged before its Python runs, an estimate: driver, image, interpreter."""
KILLED: Final = "killed"
"""`why` of an attempt that never said how it ended."""
_ALIKE: Final = 2
_ALIKE_KILLED: Final = 3
"""A container may be killed twice in a row by chance (GPU tasks aren't moved in maintenance); three times at one spot is none."""


@dataclass(frozen=True)
class Attempt:
    """`first`, `step`: of the optimizer at its start and last seen; times in Unix seconds; `micro`: rows of a micro-batch."""

    number: int
    execution: str
    started: float
    seen: float
    first: int = 0
    step: int = 0
    phase: str = ""
    seconds: float = 0.0
    usd: float | None = None
    ended: float | None = None
    why: str = KILLED
    error: str = ""
    micro: int | None = None

    def charged(self, price: float | None) -> Attempt:
        """With its seconds and dollars. One that was killed lived at most until its next sign of life was due."""
        until = self.ended if self.ended is not None else self.seen + METRICS_SECONDS
        seconds = round(max(until - self.started, 0.0) + BEFORE, 3)
        return replace(self, seconds=seconds, usd=None if price is None else round(seconds * price / 3600, 6))


def parse(data: bytes) -> tuple[Attempt, ...]:
    """The lines of ATTEMPTS; what is no such line is left out."""
    known = {one.name for one in fields(Attempt)}
    found = []
    for line in data.splitlines():
        try:
            made = json.loads(line)
            found.append(Attempt(**{k: v for k, v in made.items() if k in known}))
        except (ValueError, TypeError, AttributeError):
            continue
    return tuple(found)


class Ledger:
    """This attempt among those before it. Written by one process; safe from its threads."""

    def __init__(self, store: Store, execution: str, price: float | None, clock: Callable[[], float] = time.time) -> None:
        self._store, self._price, self._clock = store, price, clock
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self.before = parse(store.read(ATTEMPTS) or b"")
        now = clock()
        self.now = Attempt(len(self.before) + 1, execution, now, now)

    @property
    def micro(self) -> int | None:
        """The micro-batch that an attempt found small enough for the GPU, the smallest."""
        return min((one.micro for one in (*self.before, self.now) if one.micro), default=None)

    @property
    def spent(self) -> tuple[float, float | None]:
        """Seconds and dollars of all attempts until now; None where the price of one is not known."""
        now = replace(self.now, ended=self._clock()).charged(self._price)
        dollars = [one.usd for one in (*self.before, now)]
        known = [usd for usd in dollars if usd is not None]
        return sum(one.seconds for one in (*self.before, now)), sum(known) if len(known) == len(dollars) else None

    def note(self, **said: int | str) -> None:
        """Remember first, step, phase or micro, without a call; the next beat writes it."""
        with self._lock:
            self.now = replace(self.now, **said)  # type: ignore[arg-type]  # each is a field of Attempt

    def beat(self) -> None:
        """A sign of life: what a killed attempt cost is known up to the last one."""
        with self._writing:
            self._write(seen=self._clock())

    def close(self, why: str, error: str = "") -> None:
        with self._writing:
            now = self._clock()
            self._write(seen=now, ended=now, why=why, error=error[:400])

    def _write(self, **said: float | str) -> None:
        with self._lock:  # not while the place answers: the loop notes its steps meanwhile
            self.now = replace(self.now, **said).charged(self._price)  # type: ignore[arg-type]  # each is a field of Attempt
            lines = [json.dumps(asdict(one)) for one in (*self.before, self.now)]
        self._store.write(ATTEMPTS, "".join(f"{line}\n" for line in lines).encode())

    def budget_left(self, stop: Stop) -> float:
        """Seconds that max_hours and max_usd leave to this container from now on; infinite without either.

        max_usd needs the price; without it only max_hours counts. An attempt whose own is not known is charged this one's.
        """
        seconds = self.spent[0]
        left = [float("inf")]
        if stop.max_hours is not None:
            left.append(stop.max_hours * 3600 - seconds)
        if stop.max_usd is not None and self._price:
            earlier = sum(one.seconds if one.usd is None else one.usd * 3600 / self._price for one in self.before)
            now = replace(self.now, ended=self._clock()).charged(self._price)
            left.append(stop.max_usd * 3600 / self._price - earlier - now.seconds)
        return min(left)


def check_progress(before: Sequence[Attempt]) -> None:
    """Raises TuneFailed(no_progress) where the attempts before ended alike at one spot: the next one would, too."""
    if not before:
        return
    last = before[-1]
    needed = {"failed": _ALIKE, "deadline": _ALIKE, KILLED: _ALIKE_KILLED}.get(last.why)
    if needed is None or len(before) < needed:
        return
    if last.error.startswith(f"{Code.NETWORK_FAILED}:"):
        return  # it passes, and the job's retries are counted
    spots = {(one.why, one.phase, one.step, one.error) for one in before[-needed:]}
    if len(spots) > 1 or any(one.step > one.first for one in before[-needed + 1 :]):
        return
    spot = f"step {last.step}, {last.phase or 'start'}"
    if last.why == "failed":
        raise TuneFailed(
            Code.NO_PROGRESS, spot, f"{needed} attempts ended with the same error: {last.error}",
            "look at the error above; it is not one that passes",
        )  # fmt: skip
    if last.why == "deadline":
        raise TuneFailed(
            Code.NO_PROGRESS, spot, f"{needed} attempts reached their deadline without a step that could be saved",
            "give an attempt more time: --timeout", "lower train.batch_tokens: shorter steps", "use a smaller model",
        )  # fmt: skip
    raise TuneFailed(
        Code.NO_PROGRESS, spot, f"{needed} attempts were killed there without a word, as a container without memory is",
        "give the container more memory: --memory 32Gi --cpu 8", "use a smaller model",
    )  # fmt: skip
