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
from inference_image.server.direct import Handler, Handlers
from inference_image.server.errors import of_http, refusal
from inference_image.server.guard import Guard
from inference_image.server.keyring import Keyring
from inference_image.server.page import add_page
from inference_image.server.probes import add_probes
from inference_image.server.record import record_of
from inference_image.server.service import Service
from inference_image.server.watch import App, Watch


def create_app(service: Service) -> FastAPI:
    """The ASGI app over a service that may still be loading."""
    app = openapi.App(title="gemmactl", version=inference_image.__version__, docs_url=None, redoc_url=None)
    _refusals(app)
    add_probes(app, service)
    if service.settings.page:
        add_page(app)
    short: App = Handlers(_add_work(app, service), _refused)
    if service.settings.keys:
        keyring = Keyring(Path(service.settings.keys))
        app.add_middleware(Guard, keyring=keyring)
        short = Guard(short, keyring)
    app.add_middleware(Watch, service=service)  # the outermost: what the guard refuses has its line too
    app.short = Watch(short, service)

    @app.get(contract.ROUTE_MODELS, **openapi.MODELS)
    async def models() -> Response:
        return openai.models(service)

    @app.get(contract.ROUTE_MODELS + "/{model:path}", **openapi.MODEL)
    async def model(model: str) -> Response:
        return openai.model(service, model)

    return app


def _add_work(app: openapi.App, service: Service) -> dict[str, Handler]:
    """The routes that compute, by their paths; the app has them for its document."""

    async def answer(request: Request) -> Response:
        return await generate.generate(service, request)

    async def tokens(request: Request) -> Response:
        return await tokenize.tokenize(service, request)

    async def chat(request: Request) -> Response:
        return await openai.chat(service, request)

    async def completion(request: Request) -> Response:
        return await openai.completion(service, request)

    handlers: dict[str, Handler] = {}
    for path, handler, described in (
        (contract.ROUTE_GENERATE, answer, openapi.GENERATE),
        (contract.ROUTE_TOKENIZE, tokens, openapi.TOKENIZE),
        (contract.ROUTE_CHAT, chat, openapi.CHAT),
        (contract.ROUTE_COMPLETIONS, completion, openapi.COMPLETIONS),
    ):
        app.add_api_route(path, handler, methods=["POST"], **described)
        handlers[path] = handler
    app.paths = frozenset(handlers)
    return handlers


def _refused(request: Request, error: Refused) -> Response:
    status, body, headers = refusal(error, request.url.path)
    record = record_of(request)
    record.code, record.error = str(error.code), error.__cause__
    return JSONResponse(body, status, dict(headers))


def _refusals(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return _refused(request, error)

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> Response:
        status, body, headers = refusal(of_http(error.status_code), request.url.path)
        return JSONResponse(body, status, {**headers, **(error.headers or {})})
