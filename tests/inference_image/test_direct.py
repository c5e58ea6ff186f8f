"""The short way of requests that compute: its handlers, what they refuse, and what still goes through FastAPI."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from httpx import ASGITransport, AsyncClient

from inference_image.contract import RequestCode
from inference_image.engine.request import Refused
from inference_image.server.app import create_app
from inference_image.server.direct import Handlers, Shortcut
from inference_image.server.record import Record, record_of
from inference_image.server.service import Service
from inference_image.settings import Settings
from inference_image.timeline import Timeline


def asked(app: Any, *requests: tuple[str, str]) -> list[tuple[int, str]]:
    async def ask() -> list[tuple[int, str]]:
        async with AsyncClient(transport=ASGITransport(app), base_url="http://x") as client:
            return [(answer.status_code, answer.text) for one in requests if (answer := await client.request(*one))]

    return asyncio.run(ask())


def test_post_requests_for_its_paths_pass_fastapi_by() -> None:
    """Another method and another path are FastAPI's; the record of each knows its route."""
    routes: list[str] = []

    async def short(request: Request) -> Response:
        routes.append(record_of(request).route)
        return PlainTextResponse("short")

    def refused(_request: Request, error: Refused) -> Response:
        return JSONResponse(str(error), 400)

    async def short_app(scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("state", {})["record"] = Record("POST")
        await Handlers({"/work": short}, refused)(scope, receive, send)
        routes.append(scope["state"]["record"].route)

    app = Shortcut()
    app.short, app.paths = short_app, frozenset({"/work"})

    @app.api_route("/{any:path}", methods=["GET", "POST"])
    async def whole() -> str:
        return "whole"

    found = asked(app, ("POST", "/work"), ("GET", "/work"), ("POST", "/work/"), ("POST", "/other"))
    assert found == [(200, "short"), (200, '"whole"'), (200, '"whole"'), (200, '"whole"')]
    assert routes == ["/work", "/work"]


def test_what_a_handler_refuses_is_its_response() -> None:
    """Before it answers and in the middle of its response, as long as nothing was sent."""

    class Late(Response):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            raise Refused(RequestCode.QUEUE_FULL, "late")

    async def early(_: Request) -> Response:
        raise Refused(RequestCode.QUEUE_FULL, "early")

    async def late(_: Request) -> Response:
        return Late()

    handlers = Handlers({"/early": early, "/late": late}, lambda _, error: PlainTextResponse(error.message, 429))
    assert asked(handlers, ("POST", "/early"), ("POST", "/late")) == [(429, "early"), (429, "late")]


def test_the_short_way_has_every_route_that_computes() -> None:
    """All POST routes of the document, and each has its record and its line: a service that loads refuses them."""
    service = Service(Settings(model="m"), Timeline())
    app = create_app(service)
    posts = {path for path, told in app.openapi()["paths"].items() if "post" in told}
    assert posts == app.paths  # type: ignore[attr-defined]  # it is a Shortcut
    for status, text in asked(app, *(("POST", path) for path in sorted(posts))):
        assert (status, "not_ready" in text) == (503, True)
    assert service.metrics.requests == {(path, "503"): 1 for path in posts}
