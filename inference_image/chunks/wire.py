"""Owns HTTP connections kept per thread, and ranged reads that go on where they broke off. Knows no store's API."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import SplitResult, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # there, but not in typeshed

from inference_image.chunks.source import Object, Patience, Sink
from inference_image.contract import Code, LoadFailed

RETRYABLE: Final = frozenset({408, 429, 500, 502, 503, 504})
# One receive: bounds what a broken connection costs again, and stays warm in the cache for the checksum.
_STEP: Final = 1 << 20
_BODY_LIMIT: Final = 64 << 20
_MOST_BREAKS: Final = 64
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


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


class Wire:
    """Connections by (scheme, host), one per thread, through HTTPS_PROXY when it is set, trusting REQUESTS_CA_BUNDLE."""

    def __init__(self, environ: Mapping[str, str], stall: float) -> None:
        self._environ = environ
        self._stall = stall
        self._local = threading.local()
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()

    @contextmanager
    def get(self, url: str, headers: Mapping[str, str]) -> Iterator[http.client.HTTPResponse]:
        """A GET. The connection is kept when the response was read to its end, closed otherwise."""
        parts = urlsplit(url)
        key = (parts.scheme, parts.netloc)
        if not hasattr(self._local, "kept"):
            self._local.kept = {}
        kept: dict[tuple[str, str], http.client.HTTPConnection] = self._local.kept
        connection = kept.pop(key, None) or self._connect(parts)
        path = parts.path or "/"
        response: http.client.HTTPResponse | None = None
        try:
            connection.request("GET", f"{path}?{parts.query}" if parts.query else path, headers=dict(headers))
            response = connection.getresponse()
            yield response
        finally:
            if response is not None and response.isclosed() and not response.will_close:
                kept[key] = connection
            else:
                connection.close()

    def _connect(self, parts: SplitResult) -> http.client.HTTPConnection:
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


def read_range(
    get: Callable[[int, int], AbstractContextManager[http.client.HTTPResponse]],
    object: Object,  # noqa: A002 - see Source
    begin: int,
    end: int,
    sink: Sink,
    patience: Patience,
) -> None:
    """Bytes [begin, end) into the sink; after a break the next request starts where the last byte arrived.

    `get(begin, end)` asks for that range. Only tries without any progress count as failures in a row.
    """
    at, breaks = begin, 0

    def go_on() -> None:
        nonlocal at, breaks
        while at < end:
            came = at
            try:
                with get(at, end) as response:
                    check_range(response, object, at, end)
                    while at < end:
                        count = response.readinto(sink.buffer(at, min(end - at, _STEP)))
                        if not count:
                            raise Transient(f"the connection ended at byte {at} of {end}")
                        sink.wrote(at, count)
                        at += count
                    response.read()  # the empty rest: lets the connection be used again
            except (Transient, OSError, http.client.HTTPException):
                breaks += 1
                if at == came or breaks > _MOST_BREAKS:
                    raise
                patience.wait(1)

    persist(go_on, object.name, patience)


def check_range(response: http.client.HTTPResponse, object: Object, begin: int, end: int) -> None:  # noqa: A002 - see Source
    """The answer must be exactly the range that was asked for, of an object of the size that was listed."""
    if response.status == 200 and begin == 0 and end == object.size:
        length = response.getheader("Content-Length")
        if length not in {None, str(end)}:
            raise LoadFailed(Code.OBJECT_CHANGED, object.name, f"it has {length} bytes, listed were {end}")
        return
    found = _CONTENT_RANGE.fullmatch(response.getheader("Content-Range", ""))
    if response.status != 206 or found is None:
        raise Transient(f"asked for bytes {begin}-{end - 1}, got status {response.status} without such a Content-Range")
    first, last, size = (int(number) for number in found.groups())
    if size != object.size:
        raise LoadFailed(Code.OBJECT_CHANGED, object.name, f"it has {size} bytes, listed were {object.size}")
    if (first, last) != (begin, end - 1):
        raise Transient(f"asked for bytes {begin}-{end - 1}, got {first}-{last}")


def read_json(response: http.client.HTTPResponse) -> Any:
    """The body of a small answer as JSON. Raises Transient when it is none: a proxy's page, or cut."""
    try:
        return json.loads(response.read(_BODY_LIMIT))
    except ValueError:
        raise Transient(f"status {response.status} with a body that is not JSON") from None
