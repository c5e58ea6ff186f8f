"""Owns the values that go into and come out of the engine. Knows no model and no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inference_image.contract import RequestCode


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen: greedy at temperature 0, else from the `top_k` best within `top_p` of the mass.

    `min_p` drops tokens less likely than that share of the likeliest. `repetition_penalty` is transformers', of prompt and
    answer; `presence_penalty` and `frequency_penalty` are OpenAI's, of the answer alone. 0, 1, 0 and 0 change nothing.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None


@dataclass(frozen=True)
class Request:
    """One prompt as token ids, and when its answer ends at the latest.

    `logprobs`: None, or how many alternatives of each token are told beside its own logarithm. `adapter`: one that was given at
    the start. `schema`: a JSON schema, as JSON text, that the answer must follow. `images`: what Engine.see() made of each
    that the ids have a place for, in order. `trim`: white space at both ends of the answer is left out.
    """

    ids: tuple[int, ...]
    max_tokens: int
    stops: tuple[str, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    logprobs: int | None = None
    adapter: str | None = None
    schema: str | None = None
    images: tuple[bytes, ...] = ()
    trim: bool = True


@dataclass(frozen=True)
class Usage:
    """Tokens of one request; the token that ended the answer counts as completed."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Timing:
    """Seconds of one request: in the queue, from there to its first token, and from that to its last."""

    queued: float
    first: float
    rest: float


@dataclass(frozen=True)
class Token:
    """A token of an answer, of which the request wanted the logprob: natural logarithms, of the model's own distribution.

    `top` has (id, logprob) of the likeliest, best first.
    """

    id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Piece:
    """A part of an answer. Only the last one has a stop_reason (see contract.STOP_REASONS), usage and timing.

    `tokens`: those computed since the piece before, when the request wants logprobs; the one that ended the answer isn't there.
    """

    text: str
    stop_reason: str | None = None
    usage: Usage | None = None
    tokens: tuple[Token, ...] = ()
    timing: Timing | None = None


@dataclass(frozen=True)
class Stats:
    """How busy an engine is at this moment. `rows` is how many requests it computes at once."""

    running: int
    waiting: int
    rows: int
    kv_tokens_used: int
    kv_tokens: int


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
