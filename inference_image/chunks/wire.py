"""Owns HTTP connections kept per thread, and bodies received straight into memory. Knows no store's API."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar, cast
from urllib.parse import SplitResult, urljoin, urlsplit

from inference_image.chunks import openssl
from inference_image.chunks.openssl_library import tls_in_python
from inference_image.chunks.response import Response
from inference_image.chunks.silence import Silence, Waiting
from inference_image.chunks.source import Patience
from inference_image.chunks.tls import MemoryTls, Secured
from inference_image.contract import Code, LoadFailed

RETRYABLE: Final = frozenset({408, 429, 500, 502, 503, 504})
_BODY_LIMIT: Final = 64 << 20
_MOST_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
STEP: Final = 1 << 20
"""Bytes that are received between two looks at the checksum: still in the processor's cache, and Python is asked seldom."""
Made = TypeVar("Made")
Context = ssl.SSLContext | openssl.Trust


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


def _dial(address: tuple[str, int], *more: Any) -> socket.socket:
    """socket.create_connection; a name that is ASCII already goes without the codec of names, which takes 5 ms to load."""
    host: Any = address[0].encode() if address[0].isascii() else address[0]
    return socket.create_connection((host, address[1]), *more)


class TlsConnection(http.client.HTTPConnection):
    """A connection whose TLS is ours."""

    default_port = http.client.HTTPS_PORT

    def __init__(self, host: str, port: int | None, context: Context, name: str, **more: Any) -> None:
        super().__init__(host, port or http.client.HTTPS_PORT, **more)
        self._context, self._name = context, name
        self._create_connection = _dial

    def connect(self) -> None:
        try:
            self._secure()
        except ssl.SSLCertVerificationError:
            if isinstance(self._context, ssl.SSLContext) or not self._context.widen():
                raise
            self._secure()

    def _secure(self) -> None:
        super().connect()
        plain = self.sock
        try:
            if isinstance(self._context, ssl.SSLContext):
                self.sock = MemoryTls(plain, self._context, self._name)
            else:
                self.sock = openssl.OpenSslSocket(plain, self._context, self._name)
        except BaseException:
            plain.close()
            raise


class Wire:
    """Connections by (scheme, host), one per thread, through HTTPS_PROXY when it is set, trusting REQUESTS_CA_BUNDLE."""

    def __init__(self, environ: Mapping[str, str], stall: float) -> None:
        self._environ = environ
        self._stall = stall
        self._local = threading.local()
        self._context: Context | None = None
        self._lock = threading.Lock()

    @contextmanager
    def get(self, url: str, headers: Mapping[str, str], silence: Silence | None = None) -> Iterator[Response]:
        """A GET. The connection is kept when the response was read to its end, closed otherwise.

        `silence`: how long the answer may let wait for itself; default: the longest there is.
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
            connection.request("GET", f"{path}?{parts.query}" if parts.query else path, headers=dict(headers))
            _listen(connection.sock, silence)
            response = cast(Response, connection.getresponse())
            yield response
        finally:
            if response is not None and response.isclosed() and not response.will_close:
                kept[key] = connection
            else:
                connection.close()

    @contextmanager
    def follow(
        self,
        url: str,
        headers: Callable[[str], Mapping[str, str]],
        silence: Silence | None = None,
        *,
        seen: Callable[[Response, str], None] | None = None,
        left: int = _MOST_REDIRECTS,
    ) -> Iterator[tuple[Response, str]]:
        """A GET that follows redirects, to hosts with TLS alone when it began with TLS; the answer and whose it is.

        `headers` are those for an address: a token is for one host. `seen` looks at every answer on the way. Raises LoadFailed.
        """
        with self.get(url, headers(url), silence) as response:
            if seen is not None:
                seen(response, url)
            if response.status not in _REDIRECTS:
                yield response, url
                return
            response.read()
            target = urljoin(url, response.getheader("Location", ""))
        if not left or urlsplit(target).scheme not in {"https", urlsplit(url).scheme}:
            raise LoadFailed(Code.NETWORK_FAILED, urlsplit(url).netloc, "it redirects in a loop or to an unsafe address")
        with self.follow(target, headers, silence, seen=seen, left=left - 1) as found:
            yield found

    def _connect(self, parts: SplitResult) -> http.client.HTTPConnection:
        connection = self._connection(parts)
        connection.response_class = Response
        return connection

    def _connection(self, parts: SplitResult) -> http.client.HTTPConnection:
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._stall)
        proxy = self._environ.get("HTTPS_PROXY") or self._environ.get("https_proxy")
        if not proxy or self._bypassed(host):
            return TlsConnection(host, port, self._trust(), host, timeout=self._stall)
        through = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        connection = TlsConnection(through.hostname or "", through.port or 3128, self._trust(), host, timeout=self._stall)
        connection.set_tunnel(host, port or 443)
        return connection

    def _bypassed(self, host: str) -> bool:
        # a fiftieth of a second, where there is a proxy at all
        from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # there, but not in typeshed

        no_proxy = self._environ.get("NO_PROXY") or self._environ.get("no_proxy") or ""
        return bool(proxy_bypass_environment(host, {"no": no_proxy}))

    def _trust(self) -> Context:
        with self._lock:
            if self._context is None:
                bundle = self._environ.get("REQUESTS_CA_BUNDLE") or self._environ.get("SSL_CERT_FILE") or None
                in_python = tls_in_python(self._environ)
                self._context = ssl.create_default_context(cafile=bundle) if in_python else openssl.Trust(bundle)
            return self._context


def _listen(sock: Any, silence: Silence | None) -> None:
    """Have the wait for an answer end after that silence. Raises TimeoutError, where there is no TLS that waits by itself."""
    if isinstance(sock, Secured):
        sock.silence = silence
    elif silence is not None:
        Waiting(sock).until(silence)
        sock.settimeout(silence())


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
