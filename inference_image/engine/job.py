"""Owns one request on its way from tokens to pieces: text, stops, logprobs, times. Knows no model and no thread."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from inference_image.engine.answer import Answer
from inference_image.engine.request import Piece, Request, Timing, Token, Usage
from inference_image.engine.schedule import Solid
from inference_image.engine.text import Decoder, StopScan


@dataclass(eq=False)
class Job:
    """`began` is set when it gets a row, `reason` when its answer has ended."""

    request: Request
    answer: Answer
    decoder: Decoder
    scan: StopScan
    clock: Callable[[], float]
    came: float
    """When it was submitted, by the clock."""
    began: float | None = None
    first: float | None = None
    count: int = 0
    reason: str | None = None
    pending: list[Token] = field(default_factory=list)
    seed: int = field(default=0)
    solids: Sequence[Solid] = ()
    """Where the images of its prompt are."""

    def __post_init__(self) -> None:
        own = self.request.sampling.seed
        self.seed = secrets.randbits(63) if own is None else own

    def take(self, token: int, stop_ids: frozenset[int], scored: Token | None = None) -> bool:
        """One more token. True when the answer has ended with it, and its last piece is on its way."""
        self.count += 1
        if self.first is None:
            self.first = self.clock()
        if token in stop_ids:
            self.end("stop")
            return True
        if scored is not None:
            self.pending.append(scored)
        certain = self.scan.feed(self.decoder.step(token))
        if self.scan.stopped or self.count >= self.request.max_tokens:
            self.end("stop" if self.scan.stopped else "length", certain)
            return True
        if certain:
            self.answer.put(Piece(certain, tokens=self._scored()))
        return False

    def end(self, reason: str, text: str = "") -> None:
        """The last piece, once."""
        if self.reason is not None:
            return
        self.reason = reason
        usage = Usage(len(self.request.ids), self.count)
        self.answer.put(Piece(text + self.scan.finish(), reason, usage, self._scored(), self._timing()))

    def _scored(self) -> tuple[Token, ...]:
        told, self.pending = tuple(self.pending), []
        return told

    def _timing(self) -> Timing:
        now = self.clock()
        began = now if self.began is None else self.began
        first = now if self.first is None else self.first
        return Timing(queued=began - self.came, first=first - began, rest=now - first)
