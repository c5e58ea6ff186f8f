"""Owns the list of routes and who answers each. Knows no form of a request or an answer."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

import inference_image
from inference_image import contract
from inference_image.engine.request import Refused
from inference_image.server import generate, openai, openapi, tokenize
from inference_image.server.errors import of_http, refusal
from inference_image.server.guard import Guard
from inference_image.server.keyring import Keyring
from inference_image.server.page import add_page
from inference_image.server.probes import add_probes
from inference_image.server.record import record_of
from inference_image.server.service import Service
from inference_image.server.watch import Watch


def create_app(service: Service) -> FastAPI:
    """The ASGI app over a service that may still be loading."""
    app = openapi.App(title="gemmactl", version=inference_image.__version__, docs_url=None, redoc_url=None)

    if service.settings.keys:
        app.add_middleware(Guard, keyring=Keyring(Path(service.settings.keys)))
    app.add_middleware(Watch, service=service)  # the outermost: what the guard refuses has its line too
    _refusals(app)
    add_probes(app, service)
    if service.settings.page:
        add_page(app)

    @app.post(contract.ROUTE_GENERATE, **openapi.GENERATE)
    async def answer(request: Request) -> Response:
        return await generate.generate(service, request)

    @app.post(contract.ROUTE_TOKENIZE, **openapi.TOKENIZE)
    async def tokens(request: Request) -> Response:
        return await tokenize.tokenize(service, request)

    @app.post(contract.ROUTE_CHAT, **openapi.CHAT)
    async def chat(request: Request) -> Response:
        return await openai.chat(service, request)

    @app.post(contract.ROUTE_COMPLETIONS, **openapi.COMPLETIONS)
    async def completion(request: Request) -> Response:
        return await openai.completion(service, request)

    @app.get(contract.ROUTE_MODELS, **openapi.MODELS)
    async def models() -> Response:
        return openai.models(service)

    @app.get(contract.ROUTE_MODELS + "/{model:path}", **openapi.MODEL)
    async def model(model: str) -> Response:
        return openai.model(service, model)

    return app


def _refusals(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        status, body, headers = refusal(error, request.url.path)
        record = record_of(request)
        record.code, record.error = str(error.code), error.__cause__
        return JSONResponse(body, status, dict(headers))

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> Response:
        status, body, headers = refusal(of_http(error.status_code), request.url.path)
        return JSONResponse(body, status, {**headers, **(error.headers or {})})
