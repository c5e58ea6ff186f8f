"""Owns HTTP connections kept per thread, and bodies received straight into memory. Knows no store's API."""

from __future__ import annotations

import http.client
import json
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar, cast
from urllib.parse import SplitResult, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # there, but not in typeshed

from inference_image.chunks.source import Patience
from inference_image.contract import Code, LoadFailed

RETRYABLE: Final = frozenset({408, 429, 500, 502, 503, 504})
_BODY_LIMIT: Final = 64 << 20
STEP: Final = 512 << 10
"""Bytes that are received between two looks at the checksum: they are still in the processor's cache."""
_LOW_WATER: Final = 512 << 10
"""Bytes that are let come together in the kernel before a reader is woken, rather than for each TLS record of 16 KB."""
_OPEN_RECORD: Final = 64 << 10
"""More than a TLS record that was read in part: so much of the body may be here already and never come again."""

Made = TypeVar("Made")


class Credentials(Protocol):
    """Where a request's Authorization comes from."""

    def header(self) -> str | None:
        """The value of the Authorization header, or None for none. Raises LoadFailed(access_denied)."""

    def renew(self, refused: str) -> None:
        """The store refused this header: get a new one before the next request.

        Many readers are refused at once when a token ends; only the first of them makes a new one.
        """


class Transient(Exception):  # noqa: N818 - a passing state of the network, and never seen outside this package
    """What may well be over at the next try."""

    def __init__(self, why: str, retry_after: float = 0.0) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class Response(http.client.HTTPResponse):
    """An answer whose body can be received straight from its socket: two layers of buffering less for every TLS record."""

    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None) -> None:
        super().__init__(sock, debuglevel, method, url)
        self._socket = sock
        self._buffered = 0
        self._direct = False
        self._limit = 0.0
        self._low_water = 1
        self._plenty = True

    def begin_body(self, seconds: float) -> None:
        """Call it before wait() and receive(). Raises OSError; TimeoutError when nothing comes for so long."""
        if self.length is None or self.chunked:
            return
        self._limit = seconds
        self._socket.settimeout(seconds)
        self._buffered = len(self.fp.peek(1))  # what came together with the headers
        self._socket.settimeout(0)
        self._direct = True

    def wait(self) -> None:
        """Return when there is something to receive, and best a lot of it. Raises TimeoutError."""
        if not self._direct or self._buffered or self._pending():
            return
        self._wake_at(_LOW_WATER if self._plenty and (self.length or 0) > _LOW_WATER + _OPEN_RECORD else 1)
        if _readable(self._socket, self._limit):
            return
        if self._low_water > 1:
            # Bytes may come, too slowly to wait for many of them.
            self._plenty = False
            self._wake_at(1)
            if _readable(self._socket, 0):
                return
        raise TimeoutError(f"nothing came for {self._limit:.1f} s")

    def receive(self, into: memoryview) -> int | None:
        """1 to len(into) bytes of the body, 0 at its early end, None when there is nothing now. Raises OSError."""
        if not self._direct:
            return self.readinto(into)
        into = into[: self.length]
        if self._buffered:
            count = self.fp.readinto1(into[: self._buffered])
            self._buffered -= count
        else:
            try:
                count = self._socket.recv_into(into)
            except (ssl.SSLWantReadError, BlockingIOError):
                return None
        self.length = (self.length or 0) - count
        if not self.length:
            self.close()
        return count

    def _pending(self) -> bool:
        """Has TLS decrypted bytes that no poll of the socket shows?"""
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def _wake_at(self, count: int) -> None:
        if count != self._low_water and hasattr(socket, "SO_RCVLOWAT"):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
            self._low_water = count


def _readable(sock: socket.socket, seconds: float) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


class Wire:
    """Connections by (scheme, host), one per thread, through HTTPS_PROXY when it is set, trusting REQUESTS_CA_BUNDLE."""

    def __init__(self, environ: Mapping[str, str], stall: float) -> None:
        self._environ = environ
        self._stall = stall
        self._local = threading.local()
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()

    @contextmanager
    def get(
        self, url: str, headers: Mapping[str, str], first_byte: float | None = None, method: str = "GET"
    ) -> Iterator[Response]:
        """A GET. The connection is kept when the response was read to its end, closed otherwise.

        `first_byte`: seconds that the answer may let wait for itself; default: the longest silence.
        """
        parts = urlsplit(url)
        key = (parts.scheme, parts.netloc)
        if not hasattr(self._local, "kept"):
            self._local.kept = {}
        kept: dict[tuple[str, str], http.client.HTTPConnection] = self._local.kept
        connection = kept.pop(key, None) or self._connect(parts)
        path = parts.path or "/"
        response: Response | None = None
        try:
            if connection.sock is not None:
                connection.sock.settimeout(self._stall)
            connection.request(method, f"{path}?{parts.query}" if parts.query else path, headers=dict(headers))
            if connection.sock is not None and first_byte is not None:
                connection.sock.settimeout(first_byte)
            response = cast(Response, connection.getresponse())
            yield response
        finally:
            if response is not None and response.isclosed() and not response.will_close:
                kept[key] = connection
            else:
                connection.close()

    def _connect(self, parts: SplitResult) -> http.client.HTTPConnection:
        connection = self._connection(parts)
        connection.response_class = Response
        return connection

    def _connection(self, parts: SplitResult) -> http.client.HTTPConnection:
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._stall)
        proxy = self._environ.get("HTTPS_PROXY") or self._environ.get("https_proxy")
        no_proxy = self._environ.get("NO_PROXY") or self._environ.get("no_proxy") or ""
        if not proxy or proxy_bypass_environment(host, {"no": no_proxy}):
            return http.client.HTTPSConnection(host, port, timeout=self._stall, context=self._trust())
        through = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        connection = http.client.HTTPSConnection(
            through.hostname or "", through.port or 3128, timeout=self._stall, context=self._trust()
        )
        connection.set_tunnel(host, port or 443)
        return connection

    def _trust(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                bundle = self._environ.get("REQUESTS_CA_BUNDLE") or self._environ.get("SSL_CERT_FILE")
                self._context = ssl.create_default_context(cafile=bundle or None)
            return self._context


def retry_after(response: http.client.HTTPResponse) -> float:
    value = response.getheader("Retry-After", "")
    return float(value) if value.isdigit() else 0.0


def persist(attempt: Callable[[], Made], what: str, patience: Patience) -> Made:
    """Call `attempt` until it returns. Raises LoadFailed(network_failed) when patience is exhausted."""
    failures = 0
    while True:
        try:
            return attempt()
        except (Transient, OSError, http.client.HTTPException) as error:
            failures += 1
            if failures >= patience.attempts:
                why = str(error) if isinstance(error, Transient) else f"{type(error).__name__}: {error}"
                detail = f"{failures} tries in a row failed, the last with {why}"
                raise LoadFailed(Code.NETWORK_FAILED, what, detail[:300]) from None
            patience.wait(failures, getattr(error, "retry_after", 0.0))


def read_json(response: http.client.HTTPResponse) -> Any:
    """The body of a small answer as JSON. Raises Transient when it is none: a proxy's page, or cut."""
    try:
        return json.loads(response.read(_BODY_LIMIT))
    except ValueError:
        raise Transient(f"status {response.status} with a body that is not JSON") from None
