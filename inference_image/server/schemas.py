"""Owns the form of a /generate request and of a refusal. Knows no engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference_image.contract import REQUEST_STATUS, RequestCode
from inference_image.engine.request import Refused

Stop = Annotated[str, Field(min_length=1, max_length=200)]


class GenerateRequest(BaseModel):
    """The body of POST /generate. Strict: "7" is no number, and a field that nobody knows is a mistake."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    prompt: str = Field(min_length=1)
    type: str | None = Field(default=None, max_length=100)
    max_tokens: int | None = Field(default=None, ge=1)
    format: Literal["string", "full"] | None = None
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    top_k: int | None = Field(default=None, ge=0, le=1000)
    seed: int | None = Field(default=None, ge=0, lt=1 << 63)
    stop: list[Stop] | None = Field(default=None, max_length=8)


def parse(body: bytes) -> GenerateRequest:
    """Raises Refused: invalid_json, or invalid_request that names each wrong field and repeats none of its content."""
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Refused(RequestCode.INVALID_JSON, "the body is not JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise Refused(RequestCode.INVALID_JSON, "the body is not a JSON object")
    try:
        return GenerateRequest.model_validate(value)
    except ValidationError as error:
        rows = error.errors(include_url=False, include_context=False, include_input=False)
    fields = [{"field": ".".join(str(part)[:60] for part in row["loc"]), "problem": row["msg"]} for row in rows[:20]]
    names = ", ".join(dict.fromkeys(row["field"] for row in fields))
    raise Refused(RequestCode.INVALID_REQUEST, f"wrong fields: {names}", facts={"fields": fields})


def refusal(refused: Refused) -> tuple[int, dict[str, Any], Mapping[str, str]]:
    """Status, body and headers of a refused request."""
    headers = {"Retry-After": str(refused.retry_after)} if refused.retry_after is not None else {}
    body = {"error": {"code": str(refused.code), "message": refused.message, **refused.facts}}
    return REQUEST_STATUS[refused.code], body, headers
