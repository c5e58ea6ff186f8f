"""A recording HTTPS proxy on loopback: real host names, a certificate authority of its own, an upstream that answers.

What stands behind it is a plain HTTP server (the sandbox): so an unmodified process, told only HTTPS_PROXY,
REQUESTS_CA_BUNDLE and a credentials file, is recorded at the wire.
"""

from __future__ import annotations

import datetime as dt
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ONE_DAY = dt.timedelta(days=1)
OAUTH = "oauth2.googleapis.com"
STS = "sts.googleapis.com"
HUB = "huggingface.co"


@dataclass(frozen=True)
class Exchange:
    """One request as it left the process."""

    method: str
    host: str
    path: str
    body: bytes
    status: int


class Authority:
    """A certificate authority that lives as long as the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "recorder of this test")])
        self.certificate = self._build(self.name, self.key.public_key(), ca=True).sign(self.key, hashes.SHA256())
        self.bundle = folder / "ca.pem"
        self.bundle.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def context(self, host: str) -> ssl.SSLContext:
        """A server's TLS context with a certificate for `host`."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        leaf = (
            self._build(name, key.public_key(), ca=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        path = self.folder / f"{host}.pem"
        path.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            + leaf.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _build(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - ONE_DAY)
            .not_valid_after(now + ONE_DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )


@dataclass
class Recorder:
    """`upstream` is host:port of the plain server; `token`, `id_token` and `email` answer the OAuth host."""

    folder: Path
    upstream: str
    token: Callable[[], str]
    id_token: Callable[[], str] = str
    email: str = ""
    federated: Callable[[bytes], str] = lambda _body: ""
    """Token for what was sent to Google's token exchange; `` refuses it."""
    exchanges: list[Exchange] = field(default_factory=list)
    tunnels: set[str] = field(default_factory=set)
    """Hosts that a tunnel was asked for, whatever came of it."""
    beside: dict[str, str] = field(default_factory=dict)
    """Hosts that another server answers -> its host:port."""
    answered: Callable[[str, str], None] = lambda _method, _path: None
    """Called with each request that the upstream has carried out, before the process hears of it."""

    def __post_init__(self) -> None:
        self.authority = Authority(self.folder)
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        self._open = 0
        self._closed = threading.Condition()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def hosts(self) -> set[str]:
        return {e.host for e in self.exchanges}

    def environment(self) -> dict[str, str]:
        """All that a process is told: the proxy, the authority and credentials whose token the proxy answers."""
        adc = self.folder / "adc.json"
        adc.write_text(json.dumps({"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}))
        return {
            "HTTPS_PROXY": self.url,
            "REQUESTS_CA_BUNDLE": str(self.authority.bundle),
            "GOOGLE_APPLICATION_CREDENTIALS": str(adc),
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def wait_until_closed(self, timeout: float = 60) -> bool:
        """Wait until each connection is closed: whatever a process sent before it ended has been carried out by then."""
        with self._closed:
            return self._closed.wait_for(lambda: not self._open, timeout)

    def _count(self, change: int) -> None:
        with self._closed:
            self._open += change
            self._closed.notify_all()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def context(self, host: str) -> ssl.SSLContext:
        with self._lock:
            if host not in self._contexts:
                self._contexts[host] = self.authority.context(host)
            return self._contexts[host]

    def answer(
        self, method: str, host: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Forward one request, or mint a token for the OAuth host; record it either way."""
        if host == OAUTH:
            login = {"access_token": self.token(), "id_token": self.id_token(), "expires_in": 3600, "token_type": "Bearer"}
            document = json.dumps({"email": self.email} if path.startswith("/tokeninfo") else login).encode()
            status, out, data = 200, [("Content-Type", "application/json")], document
        elif host == HUB and path == "/api/whoami-v2":
            known = headers.get("Authorization", "").startswith("Bearer hf_")
            status, out = 200 if known else 401, [("Content-Type", "application/json")]
            data = json.dumps({"type": "user", "name": "ada"} if known else {"error": "Invalid credentials"}).encode()
        elif host == STS:
            token = self.federated(body)
            refused = {
                "error": "invalid_grant",
                "error_description": "The audience in ID Token does not match the expected audience.",
            }
            kind = "urn:ietf:params:oauth:token-type:access_token"
            fine = {"access_token": token, "issued_token_type": kind, "token_type": "Bearer", "expires_in": 3600}
            status, out = 200 if token else 400, [("Content-Type", "application/json")]
            data = json.dumps(fine if token else refused).encode()
        else:
            upstream = http.client.HTTPConnection(self.beside.get(host, self.upstream), timeout=120)
            upstream.request(method, path, body=body or None, headers=headers)
            reply = upstream.getresponse()
            data, status = reply.read(), reply.status
            hop = {"transfer-encoding", "connection", "content-length"}
            out = [(k, v) for k, v in reply.getheaders() if k.lower() not in hop]
            upstream.close()
        self.answered(method, path)
        with self._lock:
            self.exchanges.append(Exchange(method, host, path, body, status))
        return status, out, data

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        recorder = self

        class Tunnel(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            host = ""

            def log_message(self, *_args: object) -> None: ...

            def setup(self) -> None:
                recorder._count(1)
                super().setup()

            def finish(self) -> None:
                try:
                    super().finish()
                finally:
                    recorder._count(-1)

            def do_CONNECT(self) -> None:
                self.host = self.path.partition(":")[0]
                recorder.tunnels.add(self.host)
                self.send_response(200, "Connection established")
                self.end_headers()
                try:
                    self.connection = recorder.context(self.host).wrap_socket(self.connection, server_side=True)
                except (ssl.SSLError, OSError):
                    self.close_connection = True
                    return
                self.connection.settimeout(60)
                self.rfile = self.connection.makefile("rb")
                self.wfile = self.connection.makefile("wb", buffering=0)
                self.close_connection = False

            def _any(self) -> None:
                body = self._body()
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("connection", "transfer-encoding")}
                headers["Content-Length"] = str(len(body))
                status, out, data = recorder.answer(self.command, self.host, self.path, headers, body)
                self.send_response(status)
                for key, value in out:
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _any

        return Tunnel


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
