"""Owns the values that go into and come out of the engine. Knows no model and no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inference_image.contract import RequestCode


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen: greedy at temperature 0, else from the `top_k` best within `top_p` of the mass."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None


@dataclass(frozen=True)
class Request:
    """One prompt as token ids, and when its answer ends at the latest."""

    ids: tuple[int, ...]
    max_tokens: int
    stops: tuple[str, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True)
class Usage:
    """Tokens of one request; the token that ended the answer counts as completed."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Piece:
    """A part of an answer. Only the last one has a stop_reason (see contract.STOP_REASONS) and usage."""

    text: str
    stop_reason: str | None = None
    usage: Usage | None = None


class Refused(Exception):  # noqa: N818 - the engine's answer, not an error of it
    """A request that is not taken in. `facts` go beside code and message; `retry_after` is in seconds."""

    def __init__(
        self, code: RequestCode, message: str, *, retry_after: int | None = None, facts: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.facts = dict(facts or {})
