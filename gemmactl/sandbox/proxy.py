"""The ports of services: which revision answers, bytes passed through as they come. Knows neither rollout nor who may call."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from gemmactl.sandbox.container_rules import seconds
from gemmactl.sandbox.containers import Busy, Containers
from gemmactl.sandbox.front_door import NOT_FOUND, refusal_of
from gemmactl.sandbox.rollout import SERVICES, disabled, revision_of
from gemmactl.sandbox.wire import ApiError

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

Json = dict[str, Any]
_HOP: Final = frozenset(
    [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailers",
        "transfer-encoding",
        "upgrade",
        "expect",
    ]
)
_BROKEN: Final = "The request failed because either the HTTP response was malformed or connection to the instance had an error."
_log = logging.getLogger(__name__)


class Fronts:
    """One listening port for each service and each of its tags; the number stays the same as long as the service lives."""

    def __init__(self, world: World, containers: Containers) -> None:
        self._world = world
        self._containers = containers
        self._open: dict[str, _Front] = {}
        self._lock = threading.Lock()
        world.closers.append(self.close)

    def uri(self, name: str, tag: str = "") -> str:
        """http://127.0.0.1:PORT of a service (full name) or of its tag; opens the port."""
        key = f"{name}#{tag}" if tag else name
        with self._lock:
            front = self._open.get(key)
            if front is None:
                front = self._open[key] = self._bind(key, name, tag)
        return f"http://127.0.0.1:{front.server_port}"

    def open(self, name: str, service: Json) -> None:
        """The service's port and those of its present tags; ports of tags that are gone are closed."""
        tags = {t["tag"] for t in service.get("traffic", []) if t.get("tag")}
        for tag in ("", *tags):
            self.uri(name, tag)
        gone = [k for k in self._open if k.startswith(f"{name}#") and k.partition("#")[2] not in tags]
        for key in gone:
            self._close(key)

    def drop(self, name: str) -> None:
        """Close all ports of a deleted service and forget their numbers."""
        for key in [k for k in self._open if k == name or k.startswith(f"{name}#")]:
            self._close(key)
            self._world.store.delete("ports", key)

    def close(self) -> None:
        for key in list(self._open):
            self._close(key)

    def _close(self, key: str) -> None:
        with self._lock:
            front = self._open.pop(key, None)
        if front:
            front.shutdown()
            front.server_close()

    def _bind(self, key: str, name: str, tag: str) -> _Front:
        kept = self._world.store.get("ports", key) or {"port": 0}
        try:
            front = _Front(kept["port"], self._world, self._containers, name, tag)
        except OSError:  # somebody else took the number while the daemon was away
            front = _Front(0, self._world, self._containers, name, tag)
        self._world.store.put("ports", key, {"port": front.server_port})
        threading.Thread(target=front.serve_forever, args=(0.1,), name=f"front {key}", daemon=True).start()
        return front


class _Front(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, world: World, containers: Containers, name: str, tag: str) -> None:
        self.world, self.containers, self.name, self.tag = world, containers, name, tag
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.info("connection of a client ended", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Front

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle_any(self) -> None:
        front, begun = self.server, time.monotonic()
        front.world.touch()
        service = front.world.store.get(SERVICES, front.name)
        refusal = refusal_of(front.world, service, self.headers, self.path, f"http://127.0.0.1:{front.server_port}")
        revision = revision_of(service, front.tag) if service and not refusal else ""
        if refusal or service is None or not revision:
            self._plain(*(refusal or NOT_FOUND))
            return
        if disabled(service) and not front.tag:
            self._plain(503, "Service Unavailable")  # guess: the page says "an error" only
            return
        template = front.world.store.get("revisions", revision) or service["template"]
        limit = int(template.get("maxInstanceRequestConcurrency", 80))
        try:
            with front.containers.place(revision, limit) as instance:
                self._pass(instance.port, begun + seconds(template.get("timeout", "300s")))
        except Busy:
            self._plain(429, "Rate exceeded.")
        except ApiError as error:
            _log.warning("%s can't start: %s", revision, error.message)
            self._plain(503, "Service Unavailable")
        finally:
            front.world.touch()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_any  # noqa: N815 - http.server's own names

    # --- to the instance and back
    def _pass(self, port: int, deadline: float) -> None:
        upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=max(deadline - time.monotonic(), 0.1))
        with contextlib.closing(upstream):
            try:
                upstream.request(
                    self.command, self.path, body=self._body(), headers=self._forwarded(), encode_chunked=self._chunked()
                )
                answer = upstream.getresponse()
            except TimeoutError:
                self._plain(504, "upstream request timeout")
                return
            except (OSError, http.client.HTTPException):
                # guess
                self._plain(503, _BROKEN)
                return
            self._answer(answer, deadline, upstream)

    def _answer(self, answer: http.client.HTTPResponse, deadline: float, upstream: http.client.HTTPConnection) -> None:
        self.send_response_only(answer.status, answer.reason)
        sized = answer.getheader("content-length") is not None or answer.status in (204, 304) or self.command == "HEAD"
        for name, value in answer.getheaders():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        if not sized:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            while self.command != "HEAD" and (piece := answer.read1(1 << 16)):
                self.wfile.write(piece if sized else b"%x\r\n%s\r\n" % (len(piece), piece))
                if time.monotonic() > deadline:
                    raise TimeoutError
                if upstream.sock:
                    upstream.sock.settimeout(max(deadline - time.monotonic(), 0.1))
            if not sized:
                self.wfile.write(b"0\r\n\r\n")
        except (OSError, http.client.HTTPException):
            self.close_connection = True  # the head is out: an early end is all that can be told

    def _chunked(self) -> bool:
        return "chunked" in self.headers.get("transfer-encoding", "").lower()

    def _body(self) -> Iterator[bytes] | None:
        if self._chunked():
            return self._chunks()
        length = int(self.headers.get("content-length") or 0)
        return self._counted(length) if length else None

    def _counted(self, left: int) -> Iterator[bytes]:
        while left and (block := self.rfile.read1(min(left, 1 << 16))):
            left -= len(block)
            yield block

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(1024).split(b";")[0].strip() or b"0", 16):
            yield self.rfile.read(size)
            self.rfile.readline(8)
        while self.rfile.readline(1024) not in (b"\r\n", b"\n", b""):
            pass

    def _forwarded(self) -> dict[str, str]:
        out = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
        bearer = out.get("Authorization", "")
        if bearer.count(".") == 2:  # the container learns the claims, not a token it could use
            out["Authorization"] = bearer.rpartition(".")[0] + ".SIGNATURE_REMOVED_BY_GOOGLE"
        if self._chunked():
            out["Transfer-Encoding"] = "chunked"
        trace, step = os.urandom(16).hex(), os.urandom(8).hex()
        given = re.fullmatch(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", self.headers.get("traceparent", ""))
        trace = given[1] if given else trace
        client = self.client_address[0]
        for name in ("traceparent", "Traceparent", "TraceParent"):
            out.pop(name, None)
        return {**out, "X-Forwarded-For": client, "X-Forwarded-Proto": "http", "Forwarded": f'for="{client}";proto=http',
                "traceparent": f"00-{trace}-{step}-01", "X-Cloud-Trace-Context": f"{trace}/{int(step, 16)};o=1"}  # fmt: skip

    def _plain(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        body = text.encode()
        self.close_connection = True  # the request's body may still be on its way
        self.send_response_only(status)
        self.send_header("Content-Type", "text/html; charset=UTF-8" if text.startswith("<") else "text/plain")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body if self.command != "HEAD" else b"")

    def log_message(self, *_args: object) -> None:
        """Silent: requests are the container's to log."""
