"""Owns the routes: HTTP in, engine's pieces out. Knows the engine's interface, no model."""

from __future__ import annotations

import asyncio
import platform
import time
from importlib import metadata
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

import inference_image
from inference_image import contract
from inference_image.contract import RequestCode
from inference_image.engine.answer import Answer
from inference_image.engine.request import Piece, Refused, Sampling, Usage
from inference_image.presets import UnknownTypeError, choose
from inference_image.server import log
from inference_image.server.schemas import GenerateRequest, parse, refusal
from inference_image.server.service import Service


class _Left(Exception):  # noqa: N818 - not an error: the client went away
    """Nobody waits for this answer any more."""


def create_app(service: Service) -> FastAPI:
    """The ASGI app over a service that may still be loading."""
    app = FastAPI(title="gemmactl", version=inference_image.__version__, docs_url=None, redoc_url=None)

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        status, body, headers = refusal(error)
        log.write("WARNING", f"generate {status} {error.code}", request={"status": status, "code": str(error.code)})
        return JSONResponse(body, status, dict(headers))

    @app.get(contract.ROUTE_HEALTH)
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get(contract.ROUTE_READY)
    async def ready() -> Response:
        stage = {"stage": "draining"} if service.draining else {}
        body = {**service.timeline.progress(), **stage}
        return JSONResponse(body, 200 if service.ready else 503, {} if service.ready else {"Retry-After": "1"})

    @app.get(contract.ROUTE_TIMELINE)
    async def timeline() -> Response:
        if service.engine is None:
            return JSONResponse(service.timeline.progress(), 503, {"Retry-After": "1"})
        return JSONResponse(service.timeline.record())

    @app.get(contract.ROUTE_VERSION)
    async def version() -> dict[str, str]:
        packages = {name: metadata.version(name) for name in ("torch", "transformers", "tokenizers")}
        return {"gemmactl": inference_image.__version__, "python": platform.python_version(), **packages}

    @app.post(contract.ROUTE_GENERATE, openapi_extra=_openapi())
    async def generate(request: Request) -> Response:
        return await _generate(service, request)

    return app


async def _generate(service: Service, request: Request) -> Response:
    began = time.monotonic()
    engine = service.admit()
    wish = parse(await _body(request))
    try:
        preset = choose(wish.type, wish.prompt)
    except UnknownTypeError as error:
        raise Refused(RequestCode.UNKNOWN_TYPE, str(error), facts={"types": list(error.known)}) from None
    # A prompt may have a megabyte: its tokens are counted off the event loop.
    asked = await asyncio.to_thread(
        engine.request, preset, wish.prompt, max_tokens=wish.max_tokens, stops=wish.stop or (), sampling=_sampling(wish)
    )
    answer = engine.submit(asked)
    try:
        text, last, first_token = await _collect(request, answer)
    except _Left:
        log.write("INFO", "generate 499 client left", request={"status": 499, "seconds": round(time.monotonic() - began, 3)})
        return Response(status_code=499)
    except Exception as error:
        # The exception's text may hold parts of a prompt: only its type is told.
        raise Refused(RequestCode.ENGINE_FAILED, f"the engine failed on this request: {type(error).__name__}") from error
    if last.stop_reason == "cancelled":
        raise Refused(RequestCode.DRAINING, "this instance stopped before the answer was complete", retry_after=1)
    usage = last.usage or Usage(len(asked.ids), 0)
    log.write(
        "INFO",
        "generate 200",
        request={
            "status": 200,
            "type": preset.type,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "stop_reason": last.stop_reason,
            "ttft": round((first_token or time.monotonic()) - began, 4),
            "seconds": round(time.monotonic() - began, 4),
        },
    )
    return JSONResponse(_shape(wish, preset.type, engine.name, text, last.stop_reason, usage))


async def _body(request: Request) -> bytes:
    """The body, read no further than the limit."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > contract.BODY_LIMIT:
            raise Refused(RequestCode.BODY_TOO_LARGE, f"the body is larger than {contract.BODY_LIMIT} bytes")
    return bytes(body)


async def _collect(request: Request, answer: Answer) -> tuple[str, Piece, float | None]:
    """The whole text, its last piece and when its first token came. Raises _Left when the client went away meanwhile."""
    left = False

    async def watch() -> None:
        nonlocal left
        while (await request.receive())["type"] != "http.disconnect":
            continue
        left = True
        answer.cancel()

    watcher = asyncio.create_task(watch())
    first: float | None = None
    text: list[str] = []
    try:
        async for piece in answer:
            first = first or time.monotonic()
            text.append(piece.text)
            last = piece
    finally:
        # Also when this task is cancelled: an answer that nobody reads must not be computed on.
        answer.cancel()
        watcher.cancel()
    if left:
        raise _Left
    return "".join(text), last, first


def _sampling(wish: GenerateRequest) -> Sampling:
    """Greedy unless the request asks for chance by any of its words."""
    if wish.temperature is None and wish.top_p is None and wish.top_k is None and wish.seed is None:
        return Sampling()
    return Sampling(
        temperature=1.0 if wish.temperature is None else wish.temperature,
        top_p=1.0 if wish.top_p is None else wish.top_p,
        top_k=wish.top_k or 0,
        seed=wish.seed,
    )


def _shape(wish: GenerateRequest, type_name: str, model: str, text: str, reason: str | None, usage: Usage) -> Any:
    """The three shapes of an answer: full, the codelab's predictions when no type was given, else one JSON string."""
    if wish.format == "full":
        total = usage.prompt_tokens + usage.completion_tokens
        counts = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens, "total_tokens": total}
        return {"text": text, "stop_reason": reason, "usage": counts, "model": model, "type": type_name}
    if wish.type is None and wish.format is None:
        return {"predictions": [text]}
    return text


def _openapi() -> dict[str, Any]:
    """The body is read by hand, because of its limit; the document still shows its schema."""
    schema = GenerateRequest.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
