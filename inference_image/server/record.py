"""Owns what is known of one HTTP request: filled while it runs, told once as a log line. Knows no route and no engine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastapi import Request

from inference_image.engine.request import Piece
from inference_image.server import log


@dataclass
class Record:
    """One request. Written by its own task alone."""

    route: str
    began: float = field(default_factory=time.monotonic)
    code: str = ""
    error: BaseException | None = None
    type: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    stop_reason: str | None = None
    first: float | None = None

    def asked(self, type_name: str, prompt_tokens: int, prompt: str = "") -> None:
        """What was taken in."""
        self.type, self.prompt_tokens = type_name, prompt_tokens

    def heard(self, pieces: Sequence[Piece], first: float | None) -> None:
        """Pieces of an answer, and when its first one came."""
        self.first = first if self.first is None else self.first
        if pieces[-1].stop_reason is not None:
            self.stop_reason = pieces[-1].stop_reason
            if pieces[-1].usage is not None:
                self.completion_tokens += pieces[-1].usage.completion_tokens

    def tell(self, status: int) -> None:
        """The one line."""
        now = time.monotonic()
        seconds = {"seconds": round(now - self.began, 4)}
        if status == 499:
            log.write("INFO", f"{self.route} 499 client left", request={"status": 499, **seconds})
        elif self.code:
            told = {"status": status, "code": self.code, **seconds}
            log.write("ERROR" if status == 500 else "WARNING", f"{self.route} {status} {self.code}", request=told)
        else:
            counts = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
            ttft = {"ttft": round((self.first or now) - self.began, 4)}
            told = {"status": status, "type": self.type, **counts, "stop_reason": self.stop_reason, **ttft, **seconds}
            log.write("INFO", f"{self.route} {status}", request=told)


def record_of(request: Request) -> Record:
    """The record of this request, opened when it is first asked for."""
    state = request.scope.setdefault("state", {})
    found = state.get("record")
    if not isinstance(found, Record):
        found = state["record"] = Record(request.url.path.strip("/"))
    return found
