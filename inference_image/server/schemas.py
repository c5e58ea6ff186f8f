"""Owns the form of /generate, and what a request's words of chance mean. Knows no engine and no HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from inference_image.engine.request import Sampling

STRICT = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)
"""Of every form. "7" is no number, and a field that nobody knows is a mistake."""

Stop = Annotated[str, Field(min_length=1, max_length=200)]
STOPS_MOST = 8
_LEAST = 1e-5


class Chance(BaseModel):
    """How the next token is chosen, in any request's words."""

    model_config = STRICT

    temperature: float | None = Field(
        default=None, ge=0, le=2, allow_inf_nan=False, description="0: the likeliest token each time"
    )
    top_p: float | None = Field(
        default=None, gt=0, le=1, allow_inf_nan=False, description="only the likeliest tokens that share this mass"
    )
    min_p: float | None = Field(
        default=None, ge=0, le=1, allow_inf_nan=False, description="no token less likely than this share of the likeliest"
    )
    repetition_penalty: float | None = Field(
        default=None, ge=0.01, le=10, allow_inf_nan=False, description="transformers': of what prompt and answer hold; 1 is none"
    )


class GenerateRequest(Chance):
    """The body of POST /generate."""

    prompt: str = Field(min_length=1, description="what the preset puts in its place; never read as control tokens")
    type: str | None = Field(default=None, max_length=100, description="the preset; without it the codelab's form is recognised")
    max_tokens: int | None = Field(default=None, ge=1, description="longest answer; without it the preset's")
    format: Literal["string", "full"] | None = Field(default=None, description="of an answer that is not streamed")
    stream: bool | None = Field(default=None, description="events instead of one answer")
    adapter: str | None = Field(default=None, max_length=400, description="a fine-tune that was given at the start")
    top_k: int | None = Field(default=None, ge=0, le=1000, description="only so many of the likeliest tokens; 0: all")
    seed: int | None = Field(default=None, ge=0, lt=1 << 63, description="the same seed gives the same answer")
    stop: list[Stop] | None = Field(default=None, max_length=STOPS_MOST, description="ends of an answer, beside the preset's")


def sampling_of(wish: Chance, given: Sampling) -> Sampling:
    """What is given without a request, changed by its words; a greedy default gives way to any word of chance."""
    names = given.__dataclass_fields__.keys()
    words: dict[str, Any] = {name: value for name, value in wish.model_dump(exclude_none=True).items() if name in names}
    if given.temperature == 0 and "temperature" not in words and words.keys() & {"top_p", "top_k", "min_p", "seed"}:
        words["temperature"] = 1.0
    made = replace(given, **words)
    # What float32 can't divide by, or has no share for, means the likeliest token.
    return replace(made, temperature=made.temperature if made.temperature >= _LEAST else 0.0, top_p=max(made.top_p, _LEAST))
