"""Owns what happens around every request: a record, an answer to what nobody foresaw, one line and counts at the end."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from fastapi.responses import JSONResponse

from inference_image.contract import RequestCode
from inference_image.engine.request import Refused
from inference_image.server import log
from inference_image.server.errors import refusal
from inference_image.server.record import Record, line_of, silent
from inference_image.server.service import Service
from inference_image.server.trace import trace_of

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_AGENT = 120


class Write(Protocol):
    """log.write, or a test's list."""

    def __call__(self, severity: str, message: str, **fields: Any) -> None: ...


class Watch:
    """A pure ASGI middleware: Starlette's own kind costs a task and a queue for each request."""

    def __init__(self, app: App, service: Service, write: Write = log.write, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._service, self._write, self._clock = app, service, write, clock

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = Record(
            scope["method"],
            self._clock(),
            trace_of(scope["headers"]),
            _agent(scope["headers"]),
            keeps=self._service.settings.log_prompts,
            clock=self._clock,
        )
        scope.setdefault("state", {})["record"] = record
        done = False

        async def hear() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" and not done:
                record.left = True
            return message

        async def tell(message: Message) -> None:
            nonlocal done
            if message["type"] == "http.response.start":
                record.status = message["status"]
            elif message["type"] == "http.response.body":
                record.sent += len(message.get("body", b""))
                done = not message.get("more_body", False)
            await send(message)

        works = scope["method"] == "POST"
        self._service.in_flight += works
        try:
            await self._app(scope, hear, tell)
        except Exception as error:  # noqa: BLE001 - whatever a route didn't foresee ends here, and its text goes nowhere
            if not record.left:
                record.error, record.code = error, str(RequestCode.INTERNAL_ERROR)
                if record.status is None:
                    await _internal_error(scope["path"])(scope, receive, tell)
        finally:
            self._service.in_flight -= works
            if record.left:
                record.status = 499
            self._end(scope, record)

    def _end(self, scope: Message, record: Record) -> None:
        # The router puts it there; what it doesn't know is no label and no text of a line.
        record.route = getattr(scope.get("route"), "path", record.route)
        seconds = self._clock() - record.began
        self._service.metrics.count(record, seconds)
        if not silent(record):
            severity, message, fields = line_of(record, seconds, self._service.settings.project)
            self._write(severity, message, **fields)


def _internal_error(path: str) -> JSONResponse:
    status, body, headers = refusal(Refused(RequestCode.INTERNAL_ERROR, "the server failed on this request"), path)
    return JSONResponse(body, status, dict(headers))


def _agent(headers: list[tuple[bytes, bytes]]) -> str:
    """The caller's name for itself: printable ASCII alone, and not much of it."""
    said = next((value for name, value in headers if name == b"user-agent"), b"")
    return "".join(chr(byte) for byte in said[:_AGENT] if 32 <= byte < 127)
