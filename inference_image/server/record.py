"""Owns what is known of one HTTP request: filled while it runs, told once at its end as a log line. Knows no route."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import Request

from inference_image.engine.request import Piece
from inference_image.server.trace import Trace

KEPT_CHARACTERS: Final = 32_768
"""Of a prompt and of an answer, when they are asked for: a line of Cloud Logging has 256 KiB."""
PROBES: Final = frozenset({"/health", "/ready", "/metrics"})
"""Asked every few seconds by machines: counted, and written down only when they fail in a way that nobody expects."""


@dataclass(frozen=True)
class End:
    """How one answer ended. A request may have several: choices, or a list of prompts."""

    reason: str
    tokens: int
    queued: float | None = None
    pace: float | None = None
    """Mean seconds of a token after the first."""


@dataclass(eq=False, repr=False)
class Record:
    """One request. Written by its own task alone."""

    method: str
    began: float = field(default_factory=time.monotonic)
    trace: Trace | None = None
    agent: str = ""
    route: str = "other"
    status: int | None = None
    sent: int = 0
    left: bool = False
    code: str = ""
    error: BaseException | None = None
    key: str = ""
    """Id of the API key that it came with."""
    type: str = ""
    prompt_tokens: int | None = None
    ends: list[End] = field(default_factory=list)
    first: float | None = None
    keeps: bool = False
    prompt: str = ""
    answer: str = ""
    clock: Callable[[], float] = time.monotonic

    def asked(self, type_name: str, prompt_tokens: int, prompt: str = "") -> None:
        """What was taken in. The prompt itself is kept only where the settings ask for it."""
        self.type = type_name
        self.prompt_tokens = (self.prompt_tokens or 0) + prompt_tokens
        if self.keeps:
            self.prompt = prompt[:KEPT_CHARACTERS]

    def heard(self, pieces: Sequence[Piece], first: float | None = None) -> None:
        """Pieces of an answer as they come; `first`: when its first one came, of the same clock, where that was before now."""
        now = self.clock()
        if self.first is None:
            self.first = now if first is None else first
        for piece in pieces:
            if self.keeps:
                self.answer = (self.answer + piece.text)[:KEPT_CHARACTERS]
            if piece.stop_reason is not None:
                self.ends.append(_end(piece, now - (self.first if first is None else first)))

    @property
    def ttft(self) -> float | None:
        """Seconds from the request's arrival to its first piece."""
        return None if self.first is None else self.first - self.began

    @property
    def completion_tokens(self) -> int | None:
        return sum(end.tokens for end in self.ends) if self.ends else None

    @property
    def stop_reason(self) -> str | None:
        """The last answer's; of a client that left before there was one, `cancelled`."""
        if self.ends:
            return self.ends[-1].reason
        return "cancelled" if self.left and self.prompt_tokens is not None else None

    @property
    def rate(self) -> float | None:
        """Tokens a second of one answer, the mean over those that had two."""
        paces = [end.pace for end in self.ends if end.pace]
        return len(paces) / sum(paces) if paces else None


def _end(piece: Piece, seconds: float) -> End:
    """The engine's own times where it tells them, else those from the first piece to the last."""
    tokens = piece.usage.completion_tokens if piece.usage is not None else 0
    rest = piece.timing.rest if piece.timing is not None else seconds
    queued = piece.timing.queued if piece.timing is not None else None
    return End(piece.stop_reason or "", tokens, queued, rest / (tokens - 1) if tokens > 1 else None)


def record_of(request: Request) -> Record:
    """The record that the middleware opened for this request; one that nobody reads where there is no middleware."""
    found = request.scope.get("state", {}).get("record")
    return found if isinstance(found, Record) else Record(request.method)


def line_of(record: Record, seconds: float, project: str) -> tuple[str, str, dict[str, Any]]:
    """Severity, message and fields of the request's one line. Nothing of it is text that a client chose, but its agent's name."""
    status = record.status or 500
    rate, queued = record.rate, [end.queued for end in record.ends if end.queued is not None]
    told = {
        "route": record.route,
        "status": status,
        "seconds": round(seconds, 4),
        "type": record.type or None,
        "code": record.code or None,
        "key": record.key or None,
        "prompt_tokens": record.prompt_tokens,
        "completion_tokens": record.completion_tokens,
        "stop_reason": record.stop_reason,
        "ttft": _rounded(record.ttft),
        "queued": _rounded(max(queued, default=None)),
        "tok_per_s": _rounded(rate, 1),
        "exception": anatomy(record.error) if record.error is not None else None,
        "prompt": record.prompt or None,
        "answer": record.answer or None,
    }
    http = {
        "requestMethod": record.method,
        "requestUrl": record.route if record.route != "other" else None,
        "status": status,
        "responseSize": str(record.sent),
        "userAgent": record.agent or None,
        "latency": f"{seconds:.6f}s",
    }
    fields = {"request": _known(told), "httpRequest": _known(http)}
    if record.trace is not None:
        fields |= record.trace.fields(project)
    return _severity(status), _sentence(record, status, seconds, rate), fields


def silent(record: Record) -> bool:
    """A probe that got what it asked for."""
    return record.route in PROBES and record.error is None and record.status in (200, 503)


def _severity(status: int) -> str:
    if status >= 500 and status != 503:
        return "ERROR"
    return "WARNING" if status >= 400 and status != 499 else "INFO"


def _sentence(record: Record, status: int, seconds: float, rate: float | None) -> str:
    parts = [f"{record.method} {record.route} {status} in {seconds:.3f} s"]
    if record.completion_tokens is not None:
        parts.append(f"{record.prompt_tokens or 0} + {record.completion_tokens} tokens")
    if rate is not None:
        parts.append(f"{rate:.1f} tok/s")
    parts += [part for part in (record.stop_reason, record.code, "client left" if record.left else None) if part]
    return ", ".join(parts)


def _known(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)


def anatomy(error: BaseException, depth: int = 3) -> dict[str, Any]:
    """An exception without its text, which may hold a part of a prompt: its kind, where it passed, and what caused it."""
    steps: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        steps.append(f"{'/'.join(code.co_filename.split('/')[-2:])}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    told: dict[str, Any] = {"type": type(error).__name__, "at": steps[-12:]}
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and depth:
        told["cause"] = anatomy(cause, depth - 1)
    if isinstance(error, BaseExceptionGroup) and depth:
        told["of"] = [anatomy(one, depth - 1) for one in error.exceptions[:5]]
    return told
