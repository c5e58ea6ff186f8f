"""Owns POST /tokenize: what a text or a conversation is as token ids. Knows no model."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from inference_image import contract
from inference_image.engine.generate import Engine
from inference_image.server.body import read_body
from inference_image.server.forms import json_object, validated, wrong_fields
from inference_image.server.openai_schemas import Message, without_nulls
from inference_image.server.prompts import chat_ids, raw_ids
from inference_image.server.schemas import STRICT
from inference_image.server.service import Service


def _one(wanted: str, other: str, kind: str) -> dict[str, JsonValue]:
    return {"required": [wanted], "properties": {wanted: {"type": kind}, other: {"type": "null"}}}


class TokenizeRequest(BaseModel):
    """The body of POST /tokenize: a text or a conversation."""

    model_config = ConfigDict(
        **STRICT, json_schema_extra={"oneOf": [_one("text", "messages", "string"), _one("messages", "text", "array")]}
    )

    text: str | None = Field(default=None, description="as /v1/completions would take it")
    messages: list[Annotated[Message, BeforeValidator(without_nulls)]] | None = Field(
        default=None, min_length=1, description="as /v1/chat/completions would take them, through the chat template"
    )


async def tokenize(service: Service, request: Request) -> Response:
    """Raises Refused."""
    engine = service.admit()
    limit = contract.IMAGE_BODY_LIMIT if engine.images else contract.BODY_LIMIT
    return JSONResponse(await asyncio.to_thread(_tokens, engine, await read_body(request, limit)))


def _tokens(engine: Engine, body: bytes) -> dict[str, Any]:
    form = validated(TokenizeRequest, json_object(body))
    if (form.text is None) == (form.messages is None):
        wrong_fields([("text", "one of text and messages is needed"), ("messages", "one of text and messages is needed")])
    ids = raw_ids(engine.text, form.text) if form.text is not None else chat_ids(engine, form.messages or [])
    return {"tokens": ids, "count": len(ids), "max_model_len": engine.max_context}
