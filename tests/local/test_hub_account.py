"""Whose a token of the hub is: asked of a hub on loopback, with the token in its header and nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gemmactl.errors import Trouble
from gemmactl.local.hub_account import HubAccount, whoami

SECRET = "hf_notarealtoken"


@dataclass
class Hub:
    """What it answers next, and what it was asked."""

    status: int = 200
    body: bytes = b"{}"
    url: str = ""
    heard: list[tuple[str, str]] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        return {"HF_ENDPOINT": self.url}


@pytest.fixture
def hub() -> Iterator[Hub]:
    state = Hub()

    class Answer(BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None: ...

        def do_GET(self) -> None:
            state.heard.append((self.path, self.headers.get("Authorization", "")))
            self.send_response(state.status)
            self.send_header("Content-Length", str(len(state.body)))
            self.end_headers()
            self.wfile.write(state.body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()


def test_the_hub_names_the_account(hub: Hub) -> None:
    """Name and kind of the token are the hub's; the token goes in the header alone."""
    hub.body = b'{"type": "user", "name": "ada", "auth": {"type": "access_token", "accessToken": {"role": "fineGrained"}}}'
    assert whoami(SECRET, hub.environ) == HubAccount("ada", "fineGrained")
    assert hub.heard == [("/api/whoami-v2", f"Bearer {SECRET}")]


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_the_hub_does_not_know(hub: Hub, status: int) -> None:
    """Is nobody's: no exception, no account."""
    hub.status = status
    assert whoami(SECRET, hub.environ) is None


@pytest.mark.parametrize(("status", "body"), [(500, b"oops"), (200, b"<html>"), (200, b"[1]"), (302, b"")])
def test_any_other_answer_is_no_answer(hub: Hub, status: int, body: bytes) -> None:
    """A page of a proxy or an error of the hub proves nothing of the token, and the token stands in no message."""
    hub.status, hub.body = status, body
    with pytest.raises(Trouble) as caught:
        whoami(SECRET, hub.environ)
    assert caught.value.code == "network"
    assert SECRET not in str(caught.value) + caught.value.why


def test_a_hub_that_nobody_answers_at_is_no_answer() -> None:
    """A refused connection is told, not taken for a bad token."""
    with pytest.raises(Trouble, match="does not say"):
        whoami(SECRET, {"HF_ENDPOINT": "http://127.0.0.1:9"})
