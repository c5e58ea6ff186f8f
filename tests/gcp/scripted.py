"""A loopback server whose answers a test scripts, seen by the gateways as an endpoint. Knows no API."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[str, str, Any], tuple[int, Any]]


@dataclass
class Scripted:
    """`answer(method, path, body)` gives status and document; every request is written down."""

    answer: Answer
    asked: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    base_url: str = ""
    caller: str = "you@sandbox.invalid"
    tokens: int = 0

    def token(self) -> str:
        self.tokens += 1
        return f"token-{self.tokens}"

    def id_token(self, audience: str) -> str:
        return f"id-{audience}"


@contextmanager
def scripted(answer: Answer) -> Iterator[Scripted]:
    """The server, running."""
    script = Scripted(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: object) -> None: ...

        def _any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            script.asked.append((self.command, path))
            script.headers.append({k.lower(): v for k, v in self.headers.items()})
            status, document = script.answer(self.command, path, json.loads(raw) if raw else None)
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    script.base_url = f"http://127.0.0.1:{server.server_port}"
    yield script
    server.shutdown()
    server.server_close()


def refusal(code: int, status: str, message: str, **info: Any) -> tuple[int, Any]:
    """Google's JSON for an error; `info` becomes its ErrorInfo (reason=..., everything else is metadata)."""
    details = []
    if info:
        reason = info.pop("reason")
        details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "x", "metadata": info}]
    return code, {"error": {"code": code, "status": status, "message": message, "details": details}}
