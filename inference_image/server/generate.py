"""Owns POST /generate: presets, three forms of an answer, and the same as events. Knows the engine's interface, no model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from inference_image import contract
from inference_image.contract import RequestCode
from inference_image.engine import request as engine_request
from inference_image.engine.generate import Engine
from inference_image.engine.request import Piece, Refused, Sampling
from inference_image.presets import UnknownTypeError
from inference_image.server.answered import usage
from inference_image.server.attend import collected, submitted
from inference_image.server.body import read_body
from inference_image.server.errors import refusal
from inference_image.server.forms import json_object, validated
from inference_image.server.record import record_of
from inference_image.server.schemas import GenerateRequest, sampling_of
from inference_image.server.service import Service
from inference_image.server.sse import EventStream, event, quoted


async def generate(service: Service, request: Request) -> Response:
    """Raises Refused."""
    record = record_of(request)
    engine = service.admit()
    body = await read_body(request)
    # A prompt may have a megabyte: it is read and its tokens are counted off the event loop.
    form, asked, type_name = await asyncio.to_thread(_asked, engine, body)
    record.asked(type_name, len(asked.ids), form.prompt)
    answers = submitted(engine, [asked])
    model = form.adapter or engine.name
    if form.stream:
        return EventStream(answers, _Events(type_name, model, len(asked.ids)), _error, record)
    pieces = await collected(request.receive, answers, record)
    if pieces is None:
        return Response(status_code=499)
    return JSONResponse(_shape(form, _full(type_name, model, len(asked.ids), pieces[0])))


def _asked(engine: Engine, body: bytes) -> tuple[GenerateRequest, engine_request.Request, str]:
    form = validated(GenerateRequest, json_object(body))
    try:
        preset = engine.presets.choose(form.type, form.prompt)
    except UnknownTypeError as error:
        raise Refused(RequestCode.UNKNOWN_TYPE, str(error), facts={"types": list(error.known)}) from None
    if form.adapter is not None and form.adapter not in engine.adapters:
        message = f"unknown adapter; this service has: {', '.join(engine.adapters) or 'none'}"
        raise Refused(RequestCode.UNKNOWN_ADAPTER, message, facts={"adapters": list(engine.adapters)})
    sampling = sampling_of(form, Sampling(**preset.chances()))
    asked = engine.request(preset, form.prompt, max_tokens=form.max_tokens, stops=form.stop or (), sampling=sampling)
    return form, replace(asked, adapter=form.adapter), preset.type


def _full(type_name: str, model: str, prompt_tokens: int, pieces: Sequence[Piece]) -> dict[str, Any]:
    last = pieces[-1]
    counts = usage(prompt_tokens, last.usage.completion_tokens if last.usage is not None else 0)
    text = "".join(piece.text for piece in pieces)
    return {"text": text, "stop_reason": last.stop_reason, "usage": counts, "model": model, "type": type_name}


def _shape(form: GenerateRequest, full: Mapping[str, Any]) -> Any:
    """The three shapes of an answer: full, the codelab's predictions when no type was given, else one JSON string."""
    if form.format == "full":
        return full
    if form.type is None and form.format is None:
        return {"predictions": [full["text"]]}
    return full["text"]


def _error(refused: Refused) -> Mapping[str, Any]:
    return refusal(refused, contract.ROUTE_GENERATE)[1]


@dataclass
class _Events:
    """`{"text"}` for each part; the last one is what format full answers, with the last part's text."""

    type: str
    model: str
    prompt_tokens: int

    def opening(self) -> bytes:
        return b""

    def of(self, _: int, pieces: Sequence[Piece]) -> bytes:
        if pieces[-1].stop_reason is not None:
            return event(json.dumps(_full(self.type, self.model, self.prompt_tokens, pieces), ensure_ascii=False))
        text = "".join([piece.text for piece in pieces])
        return f'data: {{"text": {quoted(text)}}}\n\n'.encode() if text else b""

    def closing(self) -> bytes:
        return b""
