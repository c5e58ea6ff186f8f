"""The head of an answer: read by hand as http.client reads it, and refused where it refuses."""

from __future__ import annotations

import http.client
import io
import socket
from typing import Any

import pytest

from inference_image.chunks.response import Response, read_head

ANSWERS = {
    "a part": b"HTTP/1.1 206 Part\r\nContent-Length: 3\r\nContent-Range: bytes 0-2/9\r\nX-Goog-Generation:  17\r\n\r\nabc",
    "the whole, then closed": b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 3\r\n\r\nabc",
    "of no length": b"HTTP/1.1 200 OK\r\n\r\nabc",
    "in chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 9\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "of an older server": b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "of an older server that stays": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
    "nothing": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not changed": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n",
    "after a hundred": b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: three\r\n\r\nabc",
    "a length below nothing": b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc",
    "without a reason": b"HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n",
    "twice": b"HTTP/1.1 200 OK\r\nx-goog-hash: crc32c=AA==\r\nx-goog-hash: md5=BB==\r\nContent-Length: 0\r\n\r\n",
}
NAMES = ("content-length", "Content-Range", "x-goog-generation", "X-Goog-Hash", "Retry-After")


def answered(kind: type[http.client.HTTPResponse], raw: bytes) -> dict[str, Any]:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(raw)
        there.shutdown(socket.SHUT_WR)
        response: Any = kind(here)
        response.begin()
        told = {name: getattr(response, name) for name in ("status", "reason", "version", "length", "chunked", "will_close")}
        return {**told, "fields": [response.getheader(name, "none") for name in NAMES], "body": response.read()}


@pytest.mark.parametrize("raw", ANSWERS.values(), ids=ANSWERS)
def test_it_is_read_as_http_client_reads_it(raw: bytes) -> None:
    """Status, fields, length and whether the connection can be used again: the library is the judge."""
    assert answered(Response, raw) == answered(http.client.HTTPResponse, raw)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", http.client.RemoteDisconnected),
        (b"SSH-2.0-OpenSSH\r\n\r\n", http.client.BadStatusLine),
        (b"HTTP/2.0 200 OK\r\n\r\n", http.client.UnknownProtocol),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 101 + b"\r\n", http.client.HTTPException),
        (b"HTTP/1.1 200 OK\r\na: " + b"b" * (1 << 16) + b"\r\n\r\n", http.client.LineTooLong),
    ],
    ids=["nothing", "another protocol", "another version", "too many fields", "too long a field"],
)
def test_what_is_no_answer_is_refused(raw: bytes, error: type[Exception]) -> None:
    """The same exceptions as the library's: the read is tried again, or told."""
    for kind in (Response, http.client.HTTPResponse):
        with pytest.raises(error):
            answered(kind, raw)


def test_a_line_without_a_colon_is_no_field() -> None:
    """Nothing of it is taken, and the fields behind it are."""
    assert read_head(io.BytesIO(b"A: 1\r\nnonsense\r\nB: 2\r\n\r\n")) == {"a": "1", "b": "2"}
