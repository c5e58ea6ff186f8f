"""Owns an answer over HTTP: its head, and a body that is received straight into memory. Knows no requests and no store's API."""

from __future__ import annotations

import http.client
import socket
import time
from http import HTTPStatus
from typing import Any, Final

from inference_image.chunks.silence import Silence, Waiting
from inference_image.chunks.tls import Secured

_GATHER: Final = 0.001
"""Seconds in which bytes come together after all that was there was taken: half a MiB at a time then, not a record of 16 KB.

Not SO_RCVLOWAT, which does the same in the kernel: it holds the window at the mark, and now and then one that nobody opens again.
"""
_LONGEST_LINE: Final = 1 << 16
_MOST_LINES: Final = 100
"""http.client's own limits."""


class Head(dict[str, str]):
    """The fields of an answer by their names in lower case. http.client parses them as an e-mail: ten times as long."""

    def get_all(self, name: str, failobj: list[str] | None = None) -> list[str] | None:
        """What http.client asks: the field, where it is there."""
        found = self.get(name.lower())
        return failobj if found is None else [found]


def read_head(lines: Any) -> Head:
    """The fields up to the empty line; one that is there twice has both values. Raises HTTPException for what are none."""
    head = Head()
    for _ in range(_MOST_LINES + 1):
        line = lines.readline(_LONGEST_LINE + 1)
        if len(line) > _LONGEST_LINE:
            raise http.client.LineTooLong("header line")
        if line in {b"\r\n", b"\n", b""}:
            return head
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            name, value = name.lower(), value.strip()
            head[name] = f"{head[name]}, {value}" if name in head else value
    raise http.client.HTTPException(f"got more than {_MOST_LINES} headers")


class Response(http.client.HTTPResponse):
    """An answer whose body can be received straight from its socket, many TLS records at once."""

    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None) -> None:
        super().__init__(sock, debuglevel, method, url)
        self._plain = sock
        self._secured = sock if isinstance(sock, Secured) else None
        self._buffered = 0
        self._direct = False
        self.in_python = self._secured is not None and self._secured.in_python
        """See Secured."""
        self._waiting: Waiting | None = None

    def begin(self) -> None:
        """Read status and fields, and what they say of the body. Raises HTTPException."""
        it: Any = self  # typeshed doesn't tell of the parts of http.client that are used here
        if it.headers is not None:
            return
        version, status, reason = it._read_status()  # noqa: SLF001 - the same
        while status == HTTPStatus.CONTINUE:
            read_head(it.fp)
            version, status, reason = it._read_status()  # noqa: SLF001 - the same
        if not version.startswith("HTTP/1."):
            raise http.client.UnknownProtocol(version)
        it.version = 10 if version == "HTTP/1.0" else 11
        it.code = it.status = status
        it.reason = reason.strip()
        it.headers = it.msg = head = read_head(it.fp)
        it.chunked = head.get("transfer-encoding", "").lower() == "chunked"
        it.chunk_left = None
        length = head.get("content-length", "")
        it.length = int(length) if length.isascii() and length.isdigit() and not it.chunked else None
        if status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED} or status < HTTPStatus.OK:
            it.length = 0
        # without a length only the connection's end is the body's
        it.will_close = it._check_close() or (not it.chunked and it.length is None)  # noqa: SLF001 - the same

    def begin_body(self) -> None:
        """Call it before wait() and receive(). Raises OSError; TimeoutError when nothing comes."""
        if self.length is None or self.chunked:
            return
        self._buffered = len(self.fp.peek(1))  # what came together with the headers
        self._plain.settimeout(0)
        self._waiting = Waiting(self._plain)
        self._direct = True

    def wait(self, silence: Silence) -> float:
        """Return when there is something to receive, and best a lot of it; how many seconds it took. Raises TimeoutError."""
        if self._waiting is None or self._buffered or (self._secured is not None and self._secured.holds):
            return 0.0
        time.sleep(_GATHER)
        return self._waiting.until(silence)

    def receive(self, into: memoryview) -> int:
        """What is here of the body, len(into) bytes at most; 0 for nothing. Raises OSError, and EOFError at an early end."""
        if not self._direct:
            count = self.readinto(into)
            if not count:
                raise EOFError
            return count
        count = self._take(into[: self.length])
        self.length = (self.length or 0) - count
        if not self.length:
            self.close()
        return count

    def _take(self, into: memoryview) -> int:
        if self._buffered:
            count = self.fp.readinto1(into[: self._buffered])
            self._buffered -= count
            return count
        if self._secured is not None:
            return self._secured.take(into)
        try:
            count = self._plain.recv_into(into)
        except BlockingIOError:
            return 0
        if not count:
            raise EOFError
        return count
