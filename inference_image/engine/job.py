"""Owns one request on its way from tokens to pieces: text, stops, logprobs, times. Knows no model and no thread."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from inference_image.engine.answer import Answer
from inference_image.engine.grammar import Grammar
from inference_image.engine.request import Piece, Request, Timing, Token, Usage
from inference_image.engine.sample import Row
from inference_image.engine.schedule import Solid
from inference_image.engine.text import Decoder, StopScan


@dataclass(eq=False)
class Job:
    """`began` and `row` are set when it gets a row, `reason` when its answer has ended."""

    request: Request
    answer: Answer
    decoder: Decoder
    scan: StopScan
    clock: Callable[[], float]
    came: float
    """When it was submitted, by the clock."""
    grammar: Grammar | None = None
    began: float | None = None
    first: float | None = None
    count: int = 0
    reason: str | None = None
    pending: list[Token] = field(default_factory=list)
    row: Row | None = None
    scored: Token | None = None
    """The logprobs of the newest token, until take() has it."""
    solids: Sequence[Solid] = ()
    """Where the images of its prompt are."""

    def begin(self, tokens: Sequence[int]) -> None:
        """It has a row of the model from now on; its answer will be in `tokens`."""
        self.began = self.clock()
        own = self.request.sampling.seed
        seed = secrets.randbits(63) if own is None else own
        self.row = Row(self.request.sampling, seed, self.request.ids, tokens, self.grammar, self.request.logprobs)

    def take(self, token: int, stop_ids: frozenset[int]) -> bool:
        """One more token. True when the answer has ended with it, and its last piece is on its way. Raises Refused(schema)."""
        self.count += 1
        if self.first is None:
            self.first = self.clock()
        if token in stop_ids:
            self.end("stop")
            return True
        if self.scored is not None:
            self.pending.append(self.scored)
        if self.grammar is not None:
            self.grammar.accept(token)
        certain = self.scan.feed(self.decoder.step(token))
        stopped = self.scan.stopped or (self.grammar is not None and self.grammar.finished)
        if stopped or self.count >= self.request.max_tokens:
            self.end("stop" if stopped else "length", certain)
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
