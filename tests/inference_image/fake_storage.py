"""A pretended Cloud Storage on loopback with faults by request number. Knows lists, ranges, generations; no IAM."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import crc32c

Fault = Callable[["Handler", bytes, int, int], bool]
"""Answers a media request (handler, whole object, first, beyond) in its own way; False leaves it to the server."""


@dataclass
class Bucket:
    """Objects of one bucket, what was asked of it, and the faults to come."""

    objects: dict[str, bytes] = field(default_factory=dict)
    generations: dict[str, int] = field(default_factory=dict)
    versioned: bool = False
    composed: bool = False
    """Whether its objects were composed of parts: the store has no MD5 of them."""
    older: dict[tuple[str, int], bytes] = field(default_factory=dict)
    faults: list[Fault | None] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    list_status: int = 200
    page: int = 1000
    tokens: set[str] | None = None

    def put(self, name: str, data: bytes) -> None:
        if self.versioned and name in self.objects:
            self.older[name, self.generations[name]] = self.objects[name]
        self.objects[name] = data
        self.generations[name] = self.generations.get(name, 1000) + 1


def checksum_of(data: bytes) -> str:
    """As the store writes it."""
    return base64.b64encode(crc32c.crc32c(data).to_bytes(4, "big")).decode()


def md5_of(data: bytes) -> str:
    """As the store writes it."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def bucket_of(folder: Path) -> Bucket:
    """The files of a folder, below m/."""
    made = Bucket()
    for path in folder.iterdir():
        made.put(f"m/{path.name}", path.read_bytes())
    return made


class Handler(BaseHTTPRequestHandler):
    """One connection; `bucket` is the server's."""

    protocol_version = "HTTP/1.1"
    bucket: Bucket
    about: Mapping[str, str] = {}

    def do_GET(self) -> None:
        self.bucket.asked.append((self.path, dict(self.headers)))
        self.bucket.hold.wait(30)
        if self.bucket.tokens is not None and self.headers.get("Authorization", "") not in self.bucket.tokens:
            self.answer(401, b'{"error": {"message": "Invalid Credentials"}}')
            return
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        media = re.fullmatch(r"/download/storage/v1/b/[^/]+/o/([^/]+)", parts.path)
        single = re.fullmatch(r"/storage/v1/b/[^/]+/o/([^/]+)", parts.path)
        if media:
            self.media(unquote(media[1]), query)
        elif single:
            self.single(unquote(single[1]))
        else:
            self.listing(query)

    def listing(self, query: dict[str, str]) -> None:
        if self.bucket.list_status != 200:
            self.answer(self.bucket.list_status, b'{"error": {"message": "what the store says"}}')
            return
        prefix, cut = query.get("prefix", ""), query.get("delimiter")
        names = sorted(name for name in self.bucket.objects if name.startswith(prefix))
        names = [name for name in names if not cut or cut not in name.removeprefix(prefix)]
        start = int(query.get("pageToken", 0))
        items = [self.row(name) for name in names[start : start + self.bucket.page]]
        body: dict[str, Any] = {"items": items} if items else {}
        if start + self.bucket.page < len(names):
            body["nextPageToken"] = str(start + self.bucket.page)
        self.answer(200, json.dumps(body).encode())

    def single(self, name: str) -> None:
        found = name in self.bucket.objects
        self.answer(200, json.dumps(self.row(name)).encode()) if found else self.answer(404, b"No such object")

    def row(self, name: str) -> dict[str, str]:
        data = self.bucket.objects[name]
        generation = str(self.bucket.generations[name])
        sums = {"crc32c": checksum_of(data), **({} if self.bucket.composed else {"md5Hash": md5_of(data)})}
        return {"name": name, "size": str(len(data)), "generation": generation, **sums}

    def media(self, name: str, query: dict[str, str]) -> None:
        data, generation = self.bucket.objects.get(name), self.bucket.generations.get(name)
        if (asked := query.get("generation")) not in {None, str(generation)}:
            data, generation = self.bucket.older.get((name, int(asked or 0))), int(asked or 0)
        if data is None:
            self.answer(404, b"No such object")
            return
        if query.get("ifGenerationMatch") not in {None, str(generation)}:
            self.answer(412, b"conditionNotMet")
            return
        self.about = {"x-goog-generation": str(generation), "x-goog-hash": f"crc32c={checksum_of(data)},md5=x"}
        if "Range" not in self.headers:
            self.answer(200, data, **self.about)
            return
        first, last = (int(number) for number in re.findall(r"\d+", self.headers["Range"]))
        fault = self.bucket.faults.pop(0) if self.bucket.faults else None
        if fault is not None and fault(self, data, first, last + 1):
            return
        self.part(data[first : last + 1], first, last + 1, len(data))

    def part(self, body: bytes, first: int, beyond: int, size: int, promised: int | None = None) -> None:
        self.send_response(206)
        for key, value in self.about.items():
            self.send_header(key, value)
        self.send_header("Content-Range", f"bytes {first}-{beyond - 1}/{size}")
        self.send_header("Content-Length", str(beyond - first if promised is None else promised))
        self.end_headers()
        self.wfile.write(body)

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""


# --- faults -----------------------------------------------------------------------------------------


def status(number: int, **headers: str) -> Fault:
    """The whole request fails with a status."""

    def fault(handler: Handler, data: bytes, first: int, beyond: int) -> bool:
        handler.answer(number, b"the store is busy", **headers)
        return True

    return fault


def cut(after: int, *, reset: bool = False) -> Fault:
    """`after` bytes come, then the connection ends, with an RST when `reset`."""

    def fault(handler: Handler, data: bytes, first: int, beyond: int) -> bool:
        handler.part(data[first : first + after], first, beyond, len(data))
        handler.wfile.flush()
        if reset:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True
        handler.connection.close() if reset else handler.connection.shutdown(socket.SHUT_RDWR)
        return True

    return fault


def closing() -> Fault:
    """All bytes come, and the connection ends after them, as the answer says."""

    def fault(handler: Handler, data: bytes, first: int, beyond: int) -> bool:
        handler.about = {**handler.about, "Connection": "close"}
        return False

    return fault


def stall(after: int, until: threading.Event) -> Fault:
    """`after` bytes come, then nothing until the event."""

    def fault(handler: Handler, data: bytes, first: int, beyond: int) -> bool:
        handler.part(data[first : first + after], first, beyond, len(data))
        handler.wfile.flush()
        until.wait(30)
        handler.close_connection = True
        return True

    return fault


def mute(until: threading.Event) -> Fault:
    """Not even an answer begins until the event."""

    def fault(handler: Handler, data: bytes, first: int, beyond: int) -> bool:
        until.wait(30)
        handler.close_connection = True
        return True

    return fault


def dribble(step: int, pause: threading.Event, seconds: float) -> Fault:
    """All bytes come, `step` at a time with a pause of `seconds` between them."""

    def fault(handler: Handler, data: bytes, first: int, beyond: int) -> bool:
        handler.part(b"", first, beyond, len(data), promised=beyond - first)
        for at in range(first, beyond, step):
            handler.wfile.write(data[at : min(beyond, at + step)])
            handler.wfile.flush()
            pause.wait(seconds)
        return True

    return fault


def wrong_byte() -> Fault:
    """All bytes come, one of them wrong."""

    def fault(handler: Handler, data: bytes, first: int, beyond: int) -> bool:
        part = bytearray(data[first:beyond])
        part[-1] ^= 1
        handler.part(bytes(part), first, beyond, len(data))
        return True

    return fault


def wrong_range() -> Fault:
    """A range that nobody asked for."""

    def fault(handler: Handler, data: bytes, first: int, beyond: int) -> bool:
        handler.part(data[: beyond - first], 0, beyond - first, len(data))
        return first > 0

    return fault


@contextmanager
def running(bucket: Bucket, handler: type[Handler] = Handler, certificate: Path | None = None) -> Iterator[str]:
    """The address of a server over the bucket; over TLS with a certificate."""
    bucket.hold.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (handler,), {"bucket": bucket}))
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # broken pipes are what the tests provoke
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        bucket.hold.set()
        server.shutdown()
        server.server_close()
