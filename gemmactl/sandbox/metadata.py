"""The metadata server of one instance: tokens of its runtime service account. Knows no process."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, urlsplit

ROOT: Final = "/computeMetadata/v1/"
FLAVOR: Final = "Metadata-Flavor"
SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(frozen=True)
class Identity:
    """What an instance may learn about itself."""

    project: str
    number: str
    region: str
    email: str
    instance_id: str
    access_token: Callable[[], str]
    identity_token: Callable[[str], str]


class MetadataServer:
    """A port on loopback; `address` is what GCE_METADATA_HOST gets."""

    def __init__(self, identity: Identity) -> None:
        handler = type("Handler", (_Handler,), {"identity": identity})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metadata", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    identity: Identity
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if url.path in ("", "/"):
            self._send(200, "computeMetadata/\n")
            return
        if self.headers.get(FLAVOR) != "Google":
            self._send(403, "Missing Metadata-Flavor:Google header.\n")
            return
        text = self._value(url.path.removeprefix(ROOT).strip("/"), query)
        self._send(404 if text is None else 200, "Not Found\n" if text is None else text)

    def _value(self, path: str, query: dict[str, list[str]]) -> str | None:
        me = self.identity
        account, _, rest = path.removeprefix("instance/service-accounts/").partition("/")
        if path.startswith("instance/service-accounts/") and account in ("default", me.email):
            if rest == "" and query.get("recursive") == ["true"]:
                return json.dumps({"aliases": ["default"], "email": me.email, "scopes": [SCOPE]})
            if rest == "identity":
                return me.identity_token(query["audience"][0]) if "audience" in query else None
            simple: dict[str, Callable[[], str]] = {
                "email": lambda: me.email,
                "aliases": lambda: "default\n",
                "scopes": lambda: SCOPE + "\n",
                "token": lambda: json.dumps({"access_token": me.access_token(), "expires_in": 3599, "token_type": "Bearer"}),
            }
            return simple[rest]() if rest in simple else None
        return {
            "project/project-id": me.project,
            "project/numeric-project-id": me.number,
            "instance/id": me.instance_id,
            "instance/region": f"projects/{me.number}/regions/{me.region}",
            "instance/zone": f"projects/{me.number}/zones/{me.region}-1",
            "universe/universe-domain": "googleapis.com",
        }.get(path)

    def _send(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header(FLAVOR, "Google")
        self.send_header("Content-Type", "application/json" if text.startswith("{") else "application/text")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Silent: the daemon's log is not the place of tokens."""
