"""Owns the queue of requests and the thread that answers them one after another. Knows a Runner, no HTTP.

The first version of the schedule: first come, first served, one at a time.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from inference_image.contract import RequestCode
from inference_image.engine.answer import Answer
from inference_image.engine.request import Piece, Refused, Request, Sampling, Usage
from inference_image.engine.text import StopScan, Text
from inference_image.presets import PRESETS, Preset, put


class Runner(Protocol):
    """A model that continues a prompt."""

    def run(self, ids: Sequence[int], max_tokens: int, sampling: Sampling, on_token: Callable[[int], bool]) -> None:
        """Tells each new token to `on_token`, until that says True or `max_tokens` are out."""


@dataclass
class _Job:
    request: Request
    answer: Answer
    tokens: int = 0
    reason: str | None = field(default=None)


class Engine:
    """A loaded model that answers. Safe to call from any thread; close() ends its thread."""

    def __init__(
        self,
        runner: Runner,
        text: Text,
        *,
        name: str,
        stop_ids: frozenset[int],
        max_context: int,
        max_queue: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.text = text
        self.name = name
        self.max_context = max_context
        self._runner = runner
        self._stop_ids = stop_ids
        self._max_queue = max_queue
        self._clock = clock
        self._seconds = 1.0
        self._waiting: deque[_Job] = deque()
        self._running: _Job | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    def request(
        self,
        preset: Preset,
        prompt: str,
        *,
        max_tokens: int | None = None,
        stops: Sequence[str] = (),
        sampling: Sampling | None = None,
    ) -> Request:
        """A prompt in the form of its preset. Without `max_tokens` the preset's own, as far as the context allows.

        Raises Refused(unknown_type) for a chat type on a checkpoint without a chat template.
        """
        if preset.mode == "chat" and not self.text.chats:
            raw = [one.type for one in PRESETS.values() if one.mode == "raw"]
            message = f"this model has no chat template, which {preset.type} needs; its types: {', '.join(raw)}"
            raise Refused(RequestCode.UNKNOWN_TYPE, message, facts={"types": raw})
        ids = self.text.encode(put(preset, prompt))
        room = max(1, self.max_context - len(ids))
        return Request(
            ids=tuple(ids),
            max_tokens=min(preset.max_tokens, room) if max_tokens is None else max_tokens,
            stops=(*preset.stops, *(stop for stop in stops if stop)),
            sampling=sampling or Sampling(),
        )

    def submit(self, request: Request) -> Answer:
        """Take a request in. Raises Refused: context_length_exceeded, queue_full or draining."""
        if len(request.ids) + request.max_tokens > self.max_context:
            raise Refused(
                RequestCode.CONTEXT_LENGTH_EXCEEDED,
                f"a prompt of {len(request.ids)} tokens and max_tokens {request.max_tokens} are more than the"
                f" {self.max_context} tokens of this service",
                facts={"prompt_tokens": len(request.ids), "max_context": self.max_context},
            )
        answer = Answer(self._cancelled)
        with self._changed:
            if self._closed:
                raise Refused(RequestCode.DRAINING, "the engine is closing", retry_after=1)
            if self._running is not None and len(self._waiting) >= self._max_queue:
                wait = math.ceil(self._seconds * (len(self._waiting) + 1))
                message = f"{len(self._waiting)} requests are waiting already"
                raise Refused(RequestCode.QUEUE_FULL, message, retry_after=max(1, min(wait, 600)))
            self._waiting.append(_Job(request, answer))
            self._changed.notify_all()
        return answer

    @property
    def busy(self) -> int:
        """Requests that run or wait."""
        with self._changed:
            return len(self._waiting) + (self._running is not None)

    def cancel_all(self) -> None:
        """End every answer with what it has so far."""
        with self._changed:
            jobs = [*self._waiting, *([self._running] if self._running else [])]
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
        """A request that still waits ends at once; the running one at its next token."""
        with self._changed:
            job = next((job for job in self._waiting if job.answer is answer), None)
            if job is None:
                return
            self._waiting.remove(job)
        answer.put(Piece("", "cancelled", Usage(len(job.request.ids), 0)))

    def _work(self) -> None:
        while True:
            with self._changed:
                self._running = None
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                job = self._running = self._waiting.popleft()
            began = self._clock()
            try:
                self._answer(job)
            except Exception as error:  # noqa: BLE001 - one request's failure, told to its reader; the engine goes on
                job.answer.put(error)
            self._seconds += 0.3 * (self._clock() - began - self._seconds)

    def _answer(self, job: _Job) -> None:
        decoder, scan = self.text.decoder(), StopScan(job.request.stops)

        def on_token(token: int) -> bool:
            job.tokens += 1
            if job.answer.cancelled:
                job.reason = "cancelled"
            elif token in self._stop_ids:
                job.reason = "stop"
            else:
                certain = scan.feed(decoder.step(token))
                if certain:
                    job.answer.put(Piece(certain))
                if scan.stopped:
                    job.reason = "stop"
            return job.reason is not None

        if not job.answer.cancelled:
            self._runner.run(job.request.ids, job.request.max_tokens, job.request.sampling, on_token)
        reason = job.reason or ("cancelled" if job.answer.cancelled else "length")
        job.answer.put(Piece(scan.finish(), reason, Usage(len(job.request.ids), job.tokens)))
