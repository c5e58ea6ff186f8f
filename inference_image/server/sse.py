"""Owns server-sent events: how one is written, and the response that is a stream of them. Knows no form of an answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from json.encoder import encode_basestring
from typing import Any, Final, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from inference_image.engine.answer import Answer
from inference_image.engine.request import Piece, Refused
from inference_image.server.attend import attended, engine_failed, merged, stopped
from inference_image.server.record import Record

DONE: Final = b"data: [DONE]\n\n"

PAUSE: Final = 0.02
"""Seconds between two events of one answer, less after the first: what comes meanwhile is one event. Fifty a second are more
than an eye follows, and a model that is slower waits for nothing. Without it, events take the core that computes the tokens."""

_HEADERS: Final = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}


def quoted(text: str) -> str:
    """A text in JSON, as it is but for what must be escaped, and for the three signs that some clients take for line ends."""
    made = encode_basestring(text)
    if not made.isascii():
        made = made.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x85", "\\u0085")
    return made


def event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


class Events(Protocol):
    """What a stream says, in bytes of whole events."""

    def opening(self) -> bytes:
        """Before the first piece."""

    def of(self, index: int, pieces: Sequence[Piece]) -> bytes:
        """Pieces of the answer with that index, the last ones among them."""

    def closing(self) -> bytes:
        """After all answers ended by themselves."""


class EventStream(Response):
    """Answers as they come. Nothing is sent before the first piece, so what fails until then is refused with its status.

    It ends with DONE, and before that with an error where an answer was cut: by the engine's failure, or by the service's end.
    """

    def __init__(
        self, answers: Sequence[Answer], events: Events, error: Callable[[Refused], Mapping[str, Any]], record: Record
    ) -> None:
        """`error`: the body of a refusal."""
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._answers, self._events, self._error, self._record = answers, events, error, record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cut: Refused | None = None
        started = False
        left, tail = len(self._answers), b""
        async with attended(receive, self._answers) as client, aclosing(merged(self._answers, PAUSE)) as batches:
            try:
                async for index, pieces in batches:
                    self._record.heard(pieces, self._answers[index].began)
                    if client.left:
                        break
                    cut = stopped() if pieces[-1].stop_reason == "cancelled" else cut
                    if not started and cut is not None:
                        break
                    body = self._events.of(index, pieces)
                    if not started:
                        started = True
                        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                        body = self._events.opening() + body
                    left -= pieces[-1].stop_reason is not None
                    if not left:
                        tail = body  # sent with the end: one write less for each answer
                    elif body:
                        await send({"type": "http.response.body", "body": body, "more_body": True})
            except Refused as refused:
                cut = refused
            except Exception as error:  # noqa: BLE001 - of the engine; told to the client, and its kind to the log
                cut = engine_failed(error)
                cut.__cause__ = error
        if client.left:
            return
        if cut is not None:
            if not started:
                raise cut
            self._record.code, self._record.error = str(cut.code), cut.__cause__
        last = event(json.dumps(self._error(cut))) if cut is not None else self._events.closing()
        await send({"type": "http.response.body", "body": tail + last + DONE})
