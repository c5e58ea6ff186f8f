"""A server that answers with a golden's responses and writes down what it was asked. Knows no API."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: Any


def golden(number: str) -> Any:
    """The golden whose file name starts with this number."""
    (path,) = HERE.glob(f"{number}-*.json")
    return json.loads(path.read_text())


def sent(number: str, method: str, ending: str) -> Asked:
    """What gcloud sent in the exchange with this method and end of path."""
    found = next(e for e in golden(number)["exchanges"] if e["method"] == method and e["path"].endswith(ending))
    return Asked(method, found["path"], found["query"], found["body"])


@dataclass
class Replay:
    """An `Endpoint`: every API at one address."""

    exchanges: list[Any]
    asked: list[Asked] = field(default_factory=list)
    base_url: str = ""
    caller: str = "you@sandbox.invalid"

    def token(self) -> str:
        return "token"

    def id_token(self, audience: str) -> str:
        return audience

    def one(self, method: str) -> Asked:
        """The only request with this method."""
        (found,) = [a for a in self.asked if a.method == method]
        return found

    def answer(self, method: str, path: str) -> tuple[int, Any]:
        for exchange in self.exchanges:
            if (exchange["method"], exchange["path"]) == (method, path):
                return exchange["status"], exchange["response"]
        return 404, {"error": {"code": 404, "message": f"no golden answers {method} {path}", "status": "NOT_FOUND"}}


@contextmanager
def replaying(number: str) -> Iterator[Replay]:
    """The golden as a running server."""
    replay = Replay(golden(number)["exchanges"])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: object) -> None: ...

        def _any(self) -> None:
            url = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(raw) if raw else None
            replay.asked.append(Asked(self.command, url.path, parse_qs(url.query), body))
            status, document = replay.answer(self.command, url.path)
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = _any

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    replay.base_url = f"http://127.0.0.1:{server.server_port}"
    yield replay
    server.shutdown()
    server.server_close()
