"""A real uvicorn over a service, and one request to it. Knows no route."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from inference_image.engine import Engine
from inference_image.server.app import create_app
from inference_image.server.connection import Connection
from inference_image.server.service import Service
from inference_image.settings import Settings
from inference_image.timeline import Timeline


@contextmanager
def serving(service: Service) -> Iterator[int]:
    """The port of a server over the service."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    config = uvicorn.Config(create_app(service), http=Connection, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(5)


def service_of(engine: Engine | None) -> Service:
    return Service(Settings(model="m"), Timeline(), engine)


def call(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any, dict[str, str]]:
    """Status, JSON and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection.request(method, path, data, {"Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response.status, json.loads(text), {key.lower(): value for key, value in response.getheaders()}


def sent(port: int, path: str, body: Any) -> socket.socket:
    """A request whose answer nobody has read yet."""
    data = json.dumps(body).encode()
    connection = socket.create_connection(("127.0.0.1", port))
    connection.settimeout(20)
    connection.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(data), data))
    return connection


def events(body: bytes) -> list[Any]:
    """What the `data:` lines of a stream hold; the last one must be [DONE]."""
    blocks = body.decode().split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    return [json.loads(block.removeprefix("data: ")) for block in blocks[:-2]]


def streamed(port: int, path: str, body: Any) -> list[Any]:
    """The events of a whole stream."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", path, json.dumps(body).encode())
    response = connection.getresponse()
    assert response.status == 200
    assert (response.getheader("content-type") or "").startswith("text/event-stream")
    found = events(response.read())
    connection.close()
    return found
