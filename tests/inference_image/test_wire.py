"""Proxies and certificates, as the environment names them."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from inference_image.chunks import open_source
from inference_image.chunks.source import Patience
from inference_image.contract import Code, LoadFailed


@pytest.fixture
def hub(certificate: Path) -> Iterator[str]:
    """A hub over TLS."""

    class Tree(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps([{"type": "file", "path": "config.json", "size": 2, "oid": "x"}]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silence."""

    server = HTTPServer(("127.0.0.1", 0), Tree)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a refused handshake is what a test provokes
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_the_bundle_of_the_environment_is_trusted(hub: str, certificate: Path, patience: Patience) -> None:
    """REQUESTS_CA_BUNDLE makes a private authority known; without it its certificate is refused."""
    environ = {"HF_ENDPOINT": hub, "REQUESTS_CA_BUNDLE": str(certificate)}
    assert open_source("hf:owner/name", environ, patience=patience).list()[0].name == "config.json"
    with pytest.raises(LoadFailed, match="certificate verify failed") as failed:
        open_source("hf:owner/name", {"HF_ENDPOINT": hub}, patience=patience).list()
    assert failed.value.failure.code is Code.NETWORK_FAILED


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that notes what it is asked for and refuses."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked: list[str] = []

    def refuse() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            asked.append(connection.recv(4096).decode().split("\r\n", 1)[0])
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            connection.close()

    threading.Thread(target=refuse, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


class Token:
    """Credentials that always work."""

    def header(self) -> str:
        return "Bearer t"

    def renew(self, refused: str) -> None:
        """Never needed."""


def test_https_goes_through_the_proxy(proxy: tuple[str, list[str]], patience: Patience) -> None:
    """HTTPS_PROXY is asked for a tunnel to the store; its refusal is told."""
    address, asked = proxy
    source = open_source("gs://bucket/m", {"HTTPS_PROXY": address}, patience=patience, credentials=Token())
    with pytest.raises(LoadFailed, match="403") as failed:
        source.list()
    assert failed.value.failure.code is Code.NETWORK_FAILED
    assert asked[0].startswith("CONNECT storage.googleapis.com:443")


def test_no_proxy_goes_straight(proxy: tuple[str, list[str]], hub: str, certificate: Path, patience: Patience) -> None:
    """Hosts of NO_PROXY are not asked for at the proxy."""
    address, asked = proxy
    environ = {"HTTPS_PROXY": address, "NO_PROXY": "127.0.0.1", "HF_ENDPOINT": hub, "REQUESTS_CA_BUNDLE": str(certificate)}
    assert open_source("hf:owner/name", environ, patience=patience).list()
    assert asked == []
