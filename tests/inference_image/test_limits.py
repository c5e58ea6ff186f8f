"""Bodies and connections at their limits: too large, too slow, announced before they are sent. A real uvicorn on loopback."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import h11
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from inference_image.engine.request import Refused
from inference_image.server.body import read_body
from inference_image.server.connection import Connection, Wire
from inference_image.server.errors import refusal

LIMIT = 1000


class Impatient(Connection):
    """The server's connection with times for a test."""

    header_seconds = 0.2
    linger_seconds = 0.2


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server that tells how long a body was, or why it was refused."""
    app = FastAPI()

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        status, body, _ = refusal(error, "/")
        return JSONResponse(body, status)

    @app.post("/")
    async def length(request: Request) -> int:
        return len(await read_body(request, LIMIT, seconds=0.3))

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=Impatient, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(5)


@contextmanager
def connected(port: int, sent: str) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent.replace("\n", "\r\n").encode())
        yield connection


def answer(connection: socket.socket) -> tuple[int, object]:
    """Status and JSON of the next answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length"))
    while len(body) < length:
        body += connection.recv(65536)
    return int(lines[0].split()[1]), json.loads(body)


def closed(connection: socket.socket) -> bool:
    """Whether the server ends the connection."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


CHUNK = f"200\n{'x' * 512}\n"


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (f"Content-Length: {LIMIT}", "x" * LIMIT, 200),
        (f"Content-Length: {LIMIT + 1}", "x" * (LIMIT + 1), 413),
        ("Transfer-Encoding: chunked", CHUNK + "0\n\n", 200),
        ("Transfer-Encoding: chunked", CHUNK * 2 + "0\n\n", 413),
        ("Transfer-Encoding: chunked", CHUNK * 2, 413),
    ],
    ids=["fits", "one too many", "chunks fit", "chunks too many", "chunks without an end"],
)
def test_the_limit_is_exact_however_a_body_comes(port: int, headers: str, body: str, status: int) -> None:
    """A body of the limit passes, one more byte is 413."""
    with connected(port, f"POST / HTTP/1.1\nHost: x\n{headers}\n\n{body}") as connection:
        got, said = answer(connection)
    assert got == status
    assert status == 200 or said["error"]["code"] == "body_too_large"  # type: ignore[index]


def test_a_declared_length_is_judged_before_a_byte_is_read(port: int) -> None:
    """10 GB announced: 413 at once, while the client has sent nothing."""
    with connected(port, "POST / HTTP/1.1\nHost: x\nContent-Length: 10000000000\n\n") as connection:
        assert answer(connection)[0] == 413


def test_who_asks_before_sending_is_told(port: int) -> None:
    """`Expect: 100-continue`: go on when the length fits, 413 and no `100` when it doesn't."""
    head = "POST / HTTP/1.1\nHost: x\nExpect: 100-continue\nContent-Length: %d\n\n"
    with connected(port, head % 3) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"abc")
        assert answer(connection) == (200, 3)
    with connected(port, head % (LIMIT + 1)) as connection:
        assert answer(connection)[0] == 413


def test_a_refused_client_that_goes_on_sending_reads_its_refusal(port: int) -> None:
    """The rest is thrown away for a moment: the answer arrives instead of a reset. Then the connection ends."""
    with connected(port, f"POST / HTTP/1.1\nHost: x\nContent-Length: 9000000\n\n{'x' * 300_000}") as connection:
        connection.sendall(b"x" * 300_000)
        assert answer(connection)[0] == 413
        assert closed(connection)


def test_a_slow_body_is_408(port: int) -> None:
    """A body that isn't whole in its time is no longer waited for."""
    with connected(port, "POST / HTTP/1.1\nHost: x\nContent-Length: 10\n\nabc") as connection:
        status, said = answer(connection)
        assert (status, said["error"]["code"]) == (408, "body_timeout")  # type: ignore[index]
        assert closed(connection)


@pytest.mark.parametrize("sent", ["", "POST / HTTP/1.1\nHost: x\nX-Slow: a"], ids=["nothing", "half of the headers"])
def test_slow_headers_end_the_connection(port: int, sent: str) -> None:
    """A connection on which no whole request comes in time is closed, also after one that did."""
    with connected(port, sent) as connection:
        assert closed(connection)
    with connected(port, "POST / HTTP/1.1\nHost: x\nContent-Length: 0\n\n") as connection:
        assert answer(connection) == (200, 0)
        connection.sendall(b"POST / HTTP/1.1\r\nHos")
        assert closed(connection)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("headers", [[], [("content-length", "6")]])
def test_parts_are_written_as_h11_writes_them(version: bytes, headers: list[tuple[str, str]]) -> None:
    """Byte for byte, for chunks, a known length, and a client that knows no chunks; a part after the end is an error."""
    told: list[list[bytes]] = []
    for wire in (h11.Connection(h11.SERVER), Wire(h11.SERVER)):
        wire.receive_data(b"GET / HTTP/%b\r\nHost: x\r\n\r\n" % version)
        assert isinstance(wire.next_event(), h11.Request)
        parts = [h11.Response(status_code=200, headers=headers), *(h11.Data(data=one) for one in (b"a", b"", b"b\r\ncd"))]
        told.append([wire.send(one) for one in (*parts, h11.EndOfMessage())])
        with pytest.raises(h11.LocalProtocolError):
            wire.send(h11.Data(data=b"late"))
    assert told[0] == told[1]
    assert b"b\r\ncd" in told[1][3]
