"""Owns the thread that answers requests, and the queue before it. Knows how a model computes only as `Steps`, and no HTTP."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from inference_image.contract import RequestCode
from inference_image.engine.admission import Admission
from inference_image.engine.answer import Answer, Bell
from inference_image.engine.grammar import Grammars
from inference_image.engine.job import Job
from inference_image.engine.request import Piece, Refused, Request, Sampling, Stats, Usage
from inference_image.engine.sample import Row, Sampler
from inference_image.engine.schedule import Running, Schedule, Steps
from inference_image.engine.text import StopScan, Text
from inference_image.presets import BUILT_IN, Presets

if TYPE_CHECKING:
    import torch

    from inference_image.engine.eyes import Eyes

_LATELY: Final = 33
"""Ends of answers that tell how fast places in the queue become free."""


class Engine(Admission):
    """A loaded model that answers. Safe to call from any thread; close() ends its thread."""

    def __init__(
        self,
        steps: Steps,
        text: Text,
        *,
        name: str,
        stop_ids: frozenset[int],
        max_context: int,
        max_queue: int,
        defaults: Sampling | None = None,
        adapters: Sequence[str] = (),
        grammars: Grammars | None = None,
        eyes: Eyes | None = None,
        presets: Presets = BUILT_IN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            text, max_context=max_context, defaults=defaults, adapters=adapters, grammars=grammars, eyes=eyes, presets=presets
        )
        self.name = name
        self.failed: BaseException | None = None
        """What ended the engine's thread: nothing can be answered any more."""
        self.steps = steps
        self._sampler = Sampler()
        self._schedule = Schedule(steps, self._choose)
        self._stop_ids = stop_ids
        self._max_queue = max_queue
        self._clock = clock
        self._ends: deque[float] = deque(maxlen=_LATELY)
        self._bell = Bell()
        self._waiting: deque[Job] = deque()
        self._running: tuple[Job, ...] = ()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> Answer:
        """Take a request in; that takes no time, but for a schema that grammar() wasn't told before.

        Raises Refused: unknown_adapter, context_length_exceeded, queue_full, draining; invalid_request for its schema or images.
        """
        self.check(request)
        held = self.grammar(request.schema)
        answer = Answer(self._cancelled, self._bell)
        scan = StopScan(request.stops, request.trim)
        job = Job(request, answer, self.text.decoder(), scan, self._clock, self._clock(), held)
        job.solids = self.solids(request)
        with self._changed:
            if self._closed or self.failed is not None:
                raise Refused(RequestCode.DRAINING, "the engine is closing", retry_after=1)
            if len(self._running) + len(self._waiting) >= self.steps.rows + self._max_queue:
                message = f"{len(self._waiting)} requests are waiting already"
                raise Refused(RequestCode.QUEUE_FULL, message, retry_after=self._retry_after())
            self._waiting.append(job)
            self._changed.notify_all()
        return answer

    def _retry_after(self) -> int:
        """Seconds until a place in the queue is likely free: as far apart as answers ended lately, since the engine is busy."""
        lately = self._ends
        apart = (self._clock() - lately[0]) / len(lately) if lately else 1.0
        return max(1, min(math.ceil(apart), 600))

    @property
    def busy(self) -> int:
        """Requests that run or wait."""
        with self._changed:
            return len(self._waiting) + len(self._running)

    def stats(self) -> Stats:
        """How busy the engine is; counted by its own thread after each step."""
        with self._changed:
            used = sum(len(job.request.ids) + job.count for job in self._running)
            return Stats(len(self._running), len(self._waiting), self.steps.rows, used, self.steps.rows * self.max_context)

    def cancel_all(self) -> None:
        """End every answer with what it has so far."""
        with self._changed:
            jobs = [*self._waiting, *self._running]
        for job in jobs:
            job.answer.cancel()

    def close(self) -> None:
        """Cancel everything and end the thread; returns when the running step is done."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.cancel_all()
        self._thread.join()

    def _cancelled(self, answer: Answer) -> None:
        """A request that still waits ends at once; a running one before the next step."""
        with self._changed:
            job = next((job for job in self._waiting if job.answer is answer), None)
            if job is None:
                return
            self._waiting.remove(job)
        answer.put(Piece("", "cancelled", Usage(len(job.request.ids), 0)), now=True)

    # --- the engine's thread ----------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while self._wait():
                self._step()
        except BaseException as error:  # noqa: BLE001 - whoever watches the engine must learn of it
            self.failed = error
            self._lose([*self._schedule.running], error)
            self._turn_away(error)

    def _wait(self) -> bool:
        """Until there is something to do. False: the engine was closed, and nothing runs any more."""
        with self._changed:
            self._running = tuple(one.tag for one in self._schedule.running if not one.ended)
            if not self._waiting and not self._running:
                self._ends.clear()
                self._changed.wait_for(lambda: self._waiting or self._closed)
                self._ends.append(self._clock())
            return bool(self._waiting or self._running)

    def _step(self) -> None:
        for one in self._schedule.running:
            if one.tag.answer.cancelled:
                self._end(one, "cancelled")
        self._schedule.free()
        self._judge(self._schedule.decode, self._schedule.decoding)
        self._judge(lambda: self._schedule.read(self._admit), self._schedule.reading)
        self._bell.flush()

    def _judge(self, compute: Callable[[], list[Running]], at_risk: list[Running]) -> None:
        """Compute, and hand on what came; a failure belongs to those that were computed together."""
        try:
            told = compute()
        except Exception as error:
            self._lose(list(at_risk), error)
            if device_lost(error):
                raise
            return
        for one in told:
            job: Job = one.tag
            try:
                if not one.ended and job.take(one.tokens[-1], self._stop_ids):
                    self._end(one, job.reason or "stop")
            except Exception as error:  # noqa: BLE001 - one answer's failure; the others go on
                self._lose([one], error)

    def _admit(self) -> Running | None:
        """The next that waits, first come, first served."""
        with self._changed:
            if not self._waiting:
                return None
            job = self._waiting.popleft()
            self._running = (*self._running, job)
        running = Running(job.request.ids, job, solids=job.solids)
        job.begin(running.tokens)
        return running

    def _choose(self, logits: torch.Tensor, rows: Sequence[Running]) -> list[int]:
        for one in rows:
            self._hold(one)
        chosen = self._sampler(logits, [one.tag.row for one in rows])
        for one, scored in zip(rows, chosen.scored, strict=True):
            one.tag.scored = scored
        return chosen.tokens

    def _hold(self, one: Running) -> None:
        """What a schema allows is computed while a GPU still computes logits; one that can't go on ends that answer alone."""
        row: Row = one.tag.row
        if row.grammar is not None:
            try:
                row.grammar.mask()
            except Refused as error:
                self._lose([one], error)
                row.grammar = None

    def _end(self, one: Running, reason: str) -> None:
        one.ended = True
        one.tag.end(reason)
        self._ends.append(self._clock())

    def _lose(self, lost: Sequence[Running], error: BaseException) -> None:
        for one in lost:
            one.ended = True
            one.tag.answer.put(bearable(error))
        self._bell.flush()

    def _turn_away(self, error: BaseException) -> None:
        with self._changed:
            jobs, self._running = [*self._waiting], ()
            self._waiting.clear()
        for job in jobs:
            job.answer.put(bearable(error))
        self._bell.flush()


def bearable(error: BaseException) -> Exception:
    """What a reader may be told: the panic of a library or an exit, which are no Exception, would end its event loop as well."""
    return error if isinstance(error, Exception) else RuntimeError("the engine's thread has ended")


def device_lost(error: BaseException) -> bool:
    """Does a failure leave the GPU unusable for this process? Memory that ran out does not."""
    return type(error).__name__ == "AcceleratorError" or ("CUDA error" in str(error) and "out of memory" not in str(error))
