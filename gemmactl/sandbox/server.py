"""The HTTP server on loopback: sockets, bodies, the token wall. Knows no API."""

from __future__ import annotations

import logging
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import parse_qs, urlsplit

from gemmactl.sandbox.gate import answer
from gemmactl.sandbox.wire import SPOOL_ABOVE, ApiError, CutConnection, Request, Response, error_response, failed
from gemmactl.sandbox.world import World

HOST: Final = "127.0.0.1"
BLOCK: Final = 1 << 18
BODY_LIMIT: Final = 64 << 20
"""No request but an upload is larger."""

_log = logging.getLogger(__name__)


class Server(ThreadingHTTPServer):
    """One world behind one port."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, world: World, port: int = 0, admin: Callable[[World, Request], Response] | None = None) -> None:
        self.world = world
        self.admin = admin
        super().__init__((HOST, port), Handler)
        world.base_url = f"http://{HOST}:{self.server_port}"

    def start(self) -> threading.Thread:
        """Serve in a thread of its own."""
        thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="sandbox-http", daemon=True)
        thread.start()
        return thread

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.info("connection from %s ended", client_address, exc_info=True)


class Handler(BaseHTTPRequestHandler):
    """One connection, kept alive."""

    protocol_version = "HTTP/1.1"
    server_version = "gemmactl-sandbox"
    server: Server
    timeout = 300

    def setup(self) -> None:
        super().setup()
        # without it the kernel waits 40 ms between the head and the body of an answer
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle_one(self) -> None:
        world = self.server.world
        try:
            caller = self._caller(world)
            if caller is None:
                self._drain()
                self._send(error_response(failed("UNAUTHENTICATED", _UNAUTHENTICATED)))
                return
            self._send(self._answer(world, self._request(world, caller)))
        except CutConnection:
            self._reset()
        except ApiError as error:
            self.close_connection = True
            self._send(error_response(error))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Exception:  # noqa: BLE001 - the wall between a bug and the other connections; it is logged
            _log.exception("%s %s", self.command, urlsplit(self.path).path)
            self.close_connection = True
            self._send(error_response(failed("INTERNAL", "Internal error encountered.")))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_one  # noqa: N815 - http.server's own names

    def _answer(self, world: World, request: Request) -> Response:
        try:
            if request.path.startswith("/-/") and self.server.admin:
                return self.server.admin(world, request)
            world.touch()
            return answer(world, request)
        finally:
            if request.spool:
                request.spool.unlink(missing_ok=True)

    def _caller(self, world: World) -> str | None:
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        return world.tokens.verify(token.strip()) if kind.lower() == "bearer" else None

    def _drain(self) -> None:
        """Read a little of a body that nobody wants: an answer to a client that still sends would be lost in a reset."""
        self.close_connection = True
        left = min(int(self.headers.get("content-length") or 0), 1 << 20)
        while left and (block := self.rfile.read(min(BLOCK, left))):
            left -= len(block)

    def _request(self, world: World, caller: str) -> Request:
        url = urlsplit(self.path)
        body, spool = self._body(world, large="/upload/" in url.path[:18])
        return Request(
            self.command,
            self.headers.get("host", ""),
            url.path,
            parse_qs(url.query, keep_blank_values=True),
            {name.lower(): value for name, value in self.headers.items()},
            body,
            caller,
            spool,
        )

    def _body(self, world: World, *, large: bool) -> tuple[bytes, Path | None]:
        """The body in memory, or a large upload's in a file."""
        if not large and int(self.headers.get("content-length") or 0) > BODY_LIMIT:
            raise _too_large()
        blocks = self._blocks()
        held = bytearray()
        for block in blocks:
            held += block
            if len(held) > (SPOOL_ABOVE if large else BODY_LIMIT):
                if not large:
                    raise _too_large()
                return b"", _spool(world.home, bytes(held), blocks)
        return bytes(held), None

    def _blocks(self) -> Iterator[bytes]:
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            yield from _chunks(self.rfile)
            return
        left = int(self.headers.get("content-length") or 0)
        while left:
            block = self.rfile.read(min(BLOCK, left))
            if not block:
                raise CutConnection
            left -= len(block)
            yield block

    def _send(self, response: Response) -> None:
        """Head and body; an iterator goes out chunked unless it has a length."""
        fixed = isinstance(response.body, bytes)
        self.send_response(response.status)
        names = {name.lower() for name in response.headers}
        for name, value in response.headers.items():
            self.send_header(name, value)
        if isinstance(response.body, bytes) and "content-length" not in names and response.status not in (204, 304):
            self.send_header("content-length", str(len(response.body)))
        chunked = not fixed and "content-length" not in names
        if chunked:
            self.send_header("transfer-encoding", "chunked")
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        if isinstance(response.body, bytes):
            self.wfile.write(response.body)
            return
        self._stream(response.body, chunked=chunked)

    def _stream(self, body: Iterator[bytes], *, chunked: bool) -> None:
        try:
            for block in body:
                if block:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)
            if chunked:
                self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Exception as broken:  # noqa: BLE001 - same
            # the head is out: an error can only be told by a connection that ends too early
            if not isinstance(broken, CutConnection):
                _log.exception("the body of %s broke", self.path)
            raise CutConnection from None
        finally:
            close = getattr(body, "close", None)
            if close:
                close()

    def _reset(self) -> None:
        """RST instead of FIN: what a client sees when a load balancer drops it."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:
            return  # the connection was cut on purpose

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's own name
        _log.debug(format, *args)


# source: the text that Google's front ends give for a missing or bad credential
_UNAUTHENTICATED: Final = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication "
    "credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)


def _too_large() -> ApiError:
    return ApiError(413, "INVALID_ARGUMENT", f"Request payload size exceeds the limit: {BODY_LIMIT} bytes.")


def _chunks(file: BinaryIO | Any) -> Iterator[bytes]:
    """The blocks of a chunked body."""
    while True:
        size = int(file.readline(1024).split(b";")[0].strip() or b"0", 16)
        left = size
        while left:
            block = file.read(min(BLOCK, left))
            if not block:
                raise CutConnection
            left -= len(block)
            yield block
        line = file.readline(1024)
        if size == 0:
            while line not in (b"\r\n", b"\n", b""):
                line = file.readline(1024)
            return


def _spool(home: Path, begun: bytes, rest: Iterator[bytes]) -> Path:
    folder = home / "spool"
    folder.mkdir(exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        file.write(begun)
        for block in rest:
            file.write(block)
    return Path(file.name)
