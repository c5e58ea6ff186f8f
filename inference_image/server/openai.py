"""Owns OpenAI's routes: chat, completions, models. Knows the engine's interface, no model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from inference_image import contract
from inference_image.contract import RequestCode
from inference_image.engine.generate import Engine
from inference_image.engine.request import Refused
from inference_image.server.attend import collected, submitted
from inference_image.server.body import read_body
from inference_image.server.errors import openai_error
from inference_image.server.openai_answers import CHAT, COMPLETION, Events, Form, whole
from inference_image.server.openai_wishes import Wish, chat_wish, completion_wish
from inference_image.server.record import record_of
from inference_image.server.service import Service
from inference_image.server.sse import EventStream


async def chat(service: Service, request: Request) -> Response:
    """Raises Refused."""
    return await _answer(service, request, CHAT, partial(chat_wish, pictures=service.pictures))


async def completion(service: Service, request: Request) -> Response:
    """Raises Refused."""
    return await _answer(service, request, COMPLETION, completion_wish)


async def _answer(service: Service, request: Request, form: Form, wish_of: Callable[[Engine, bytes], Wish]) -> Response:
    record = record_of(request)
    engine = service.admit()
    # Images come inside the body.
    body = await read_body(request, contract.IMAGE_BODY_LIMIT if form.chat and engine.images else contract.BODY_LIMIT)
    # A prompt may have a megabyte: it is read and its tokens are counted off the event loop.
    wish = await asyncio.to_thread(wish_of, engine, body)
    record.asked(form.type, wish.prompt_tokens, wish.prompt)
    answers = submitted(engine, wish.requests)
    created = int(time.time())
    if wish.stream:
        path = request.url.path
        events = Events(form, wish, engine.text.spelled, created)
        return EventStream(answers, events, lambda refused: openai_error(refused, path), record)
    pieces = await collected(request.receive, answers, record)
    if pieces is None:
        return Response(status_code=499)
    return JSONResponse(whole(form, wish, pieces, engine.text.spelled, created))


def models(service: Service) -> Response:
    """Raises Refused."""
    engine = service.admit()
    return JSONResponse({"object": "list", "data": [_model(service, engine, name) for name in (engine.name, *engine.adapters)]})


def model(service: Service, name: str) -> Response:
    """Raises Refused(model_not_found)."""
    engine = service.admit()
    if name not in (engine.name, *engine.adapters):
        raise Refused(RequestCode.MODEL_NOT_FOUND, "this service has no such model", facts={"param": "model"})
    return JSONResponse(_model(service, engine, name))


def _model(service: Service, engine: Engine, name: str) -> Mapping[str, Any]:
    """OpenAI's fields, and vLLM's beside them."""
    parent = None if name == engine.name else engine.name
    return {
        "id": name,
        "object": "model",
        "created": service.began,
        "owned_by": "gemmactl",
        "parent": parent,
        "max_model_len": engine.max_context,
    }
