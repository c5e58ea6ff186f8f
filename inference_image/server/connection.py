"""Owns how long a client may hold a connection that says nothing: slow headers, and a body that nobody reads any more.

uvicorn has a limit for neither: a connection that sends a byte now and then stays for ever. Owns also how a part of a stream is
put on the wire.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11
from h11._writers import ChunkedWriter
from uvicorn.protocols.http.h11_impl import H11Protocol

from inference_image import contract

LINGER_SECONDS: Final = 2.0
"""How long the rest of a refused body is thrown away: a close at once would reset the client before it reads the refusal."""


class Wire(h11.Connection):
    """h11's own, but for the parts of a stream: h11 asks four state tables for each, and the states stay as they are."""

    def send(self, event: Any) -> Any:
        if type(event) is h11.Data and self.our_state is h11.SEND_BODY and type(self._writer) is ChunkedWriter:
            data = event.data
            return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return super().send(event)


class OneWrite:
    """A transport that sends what is written in one turn of its loop as one piece.

    uvicorn writes an answer's head, its parts and its end one by one: each would be a call into the kernel, which gives Python's
    lock to the engine and has to wait until it is free again.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Sent before the loop's next turn."""
        if data:
            if not self._parts:
                self._loop.call_soon(self._flush)
            self._parts.append(data)

    def close(self) -> None:
        """Once all is sent."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._parts.clear()
        self._transport.abort()

    def _flush(self) -> None:
        if self._parts:
            parts, self._parts = self._parts, []
            self._transport.write(b"".join(parts))


class Connection(H11Protocol):
    """uvicorn's own protocol with two timers. `header_seconds` and `linger_seconds` are settings of the class."""

    header_seconds: float = contract.HEADER_SECONDS
    linger_seconds: float = LINGER_SECONDS
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        super().connection_made(OneWrite(transport, self.loop))  # type: ignore[arg-type]  # it is one in all but name
        self.conn = Wire(h11.SERVER)
        self._within(self.header_seconds)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        idle = self.cycle is None or self.cycle.response_complete
        if not idle:
            self._within(None)
        elif self._timer is None:
            # A next request of the same connection has begun and is not whole.
            self._within(self.header_seconds)

    def on_response_complete(self) -> None:
        unread = self.conn.their_state is h11.SEND_BODY
        super().on_response_complete()
        if unread:
            self._within(self.linger_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._within(None)
        super().connection_lost(exc)

    def _within(self, seconds: float | None) -> None:
        """Close the connection in so many seconds, or not."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._close)

    def _close(self) -> None:
        self.transport.abort()
