"""Owns TLS by the system's OpenSSL itself, called through ctypes. Knows no HTTP, and nothing of who picks it.

Python's ssl module hands out one record of 16 KB a call and takes its lock for each. Here one call receives, decrypts and lands
what is there, half a MiB as a rule, and holds no lock of Python's meanwhile (docs/loader.md).

https://docs.openssl.org/3.0/man3/: SSL_read, SSL_get_error, SSL_set1_host, SSL_CTX_set_default_read_buffer_len, BIO_f_buffer.
"""

from __future__ import annotations

import ctypes
import ipaddress
import os
import select
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from ctypes import c_char
from functools import partial
from pathlib import Path
from typing import Any, Final

from inference_image.chunks.openssl_library import last_words, library
from inference_image.chunks.silence import Waiting
from inference_image.chunks.tls import Secured

_READ_AHEAD: Final = 24 << 10
"""Bytes that OpenSSL asks of the kernel at once: a record and a half. They are decrypted where they lie, in the fastest cache."""
_SMALL: Final = 4096
"""OpenSSL's own buffer in front of a read: what is not larger would stay in there, so it goes past it."""

_SUITES: Final = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
"""OpenSSL's own three in another order: a server that leaves the choice to us spends a quarter less on AES-128, as we do."""
_SUITES_1_2: Final = b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:DEFAULT"

_VERIFY_PEER: Final = 1
_CTRL_MODE: Final = 33
_CTRL_READ_AHEAD: Final = 41
_CTRL_SERVER_NAME: Final = 55
_CTRL_LEAST_VERSION: Final = 123
_TLS_1_2: Final = 0x0303
_MODE_PARTIAL_WRITE: Final = 1
_MODE_MOVING_WRITE_BUFFER: Final = 2
_WANT_READ, _WANT_WRITE, _SYSCALL, _CLOSED = 2, 3, 5, 6
_SHOULD_RETRY: Final = 8
_CTRL_SET_SSL: Final = 109
_OTHER_NAMES: Final = frozenset({62, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""


class Trust:
    """Whose certificates count: those of a bundle, else the system's. Raises ssl.SSLError for a bundle that is none."""

    def __init__(self, bundle: str | None) -> None:
        self._open = lib = library()
        self.pointer = lib.SSL_CTX_new(lib.TLS_client_method())
        if not self.pointer:
            raise ssl.SSLError("no TLS context: out of memory")
        lib.SSL_CTX_ctrl(self.pointer, _CTRL_LEAST_VERSION, _TLS_1_2, None)
        lib.SSL_CTX_ctrl(self.pointer, _CTRL_MODE, _MODE_PARTIAL_WRITE | _MODE_MOVING_WRITE_BUFFER, None)
        lib.SSL_CTX_ctrl(self.pointer, _CTRL_READ_AHEAD, 1, None)
        lib.SSL_CTX_set_default_read_buffer_len(self.pointer, _READ_AHEAD)
        # A build that lacks one of them refuses the list, and its own order holds.
        lib.SSL_CTX_set_ciphersuites(self.pointer, _SUITES)
        lib.SSL_CTX_set_cipher_list(self.pointer, _SUITES_1_2)
        lib.SSL_CTX_set_verify(self.pointer, _VERIFY_PEER, None)
        self._all = bundle is not None
        if bundle is None:
            folder = ssl.get_default_verify_paths().capath
            if folder is None or not any(Path(folder).glob("????????.0")):
                self.widen()
            else:
                # By the hash of their names the one authority that is needed is found; to read all of them takes 0.05 s.
                self._load(lib.SSL_CTX_load_verify_locations, None, os.fsencode(folder))
            return
        Path(bundle).stat()  # a file that is not there is an OSError with its name
        self._load(lib.SSL_CTX_load_verify_locations, os.fsencode(bundle), None)

    def widen(self) -> bool:
        """Believe all of the system's authorities, those too that are in no folder by hash. False: nothing new in that."""
        if self._all:
            return False
        self._all = True
        self._load(self._open.SSL_CTX_set_default_verify_paths)
        return True

    def _load(self, load: Any, *what: bytes | None) -> None:
        self._open.ERR_clear_error()
        if load(self.pointer, *what) != 1:
            named = next((one for one in what if one), b"the system").decode("utf-8", "replace")
            raise ssl.SSLError(f"no certificates in {named}: {last_words(self._open)}")

    def __del__(self) -> None:
        if getattr(self, "pointer", None):
            self._open.SSL_CTX_free(self.pointer)


class OpenSslSocket(Secured):
    """See Secured. One thread at a time."""

    in_python = False

    def __init__(self, sock: socket.socket, trust: Trust, host: str) -> None:
        """Shake hands; the socket's timeout holds for each wait of that. Raises ssl.SSLCertVerificationError, OSError."""
        super().__init__(sock)
        self._open = lib = library()
        self._trust = trust  # lives as long as this does
        self._host = host
        self._ssl = lib.SSL_new(trust.pointer)
        self._bulk = lib.BIO_push(lib.BIO_new(lib.BIO_f_buffer()), lib.BIO_new(lib.BIO_f_ssl())) if self._ssl else None
        if not self._bulk:
            raise ssl.SSLError("no TLS connection: out of memory")
        # The chain of buffer and TLS owns the connection: it is freed with it.
        lib.BIO_ctrl(self._bulk, _CTRL_SET_SSL, 1, self._ssl)
        self._name(host)
        lib.SSL_set_fd(self._ssl, sock.fileno())
        try:
            self._until(partial(lib.SSL_connect, self._ssl), sock.gettimeout())
        except BaseException:
            self._free()
            raise

    def sendall(self, data: Any) -> None:
        left = bytes(data)
        while left:
            left = left[self._until(partial(self._open.SSL_write, self._ssl, left, len(left)), self._socket.gettimeout()) :]

    def recv_into(self, into: memoryview) -> int:
        place = c_char.from_buffer(into)
        address, size = ctypes.addressof(place), len(into)
        try:
            return self._until(partial(self._open.SSL_read, self._ssl, address, size), self._socket.gettimeout())
        except ssl.SSLZeroReturnError:
            return 0

    def take(self, into: memoryview) -> int:
        if len(into) <= _SMALL:
            return self._take_small(into)
        if not self._ssl:
            raise OSError("the connection is closed")
        lib = self._open
        lib.ERR_clear_error()
        # BIO_f_buffer goes on until it has all that was asked for or the kernel has no more.
        got = int(lib.BIO_read(self._bulk, ctypes.addressof(c_char.from_buffer(into)), len(into)))
        self._dry = got < len(into)
        if got > 0:
            return got
        if lib.BIO_test_flags(self._bulk, _SHOULD_RETRY):
            return 0
        raise self._failure(got)

    def _take_small(self, into: memoryview) -> int:
        count = 0
        while count < len(into):
            try:
                got = self.recv_into(into[count:])
            except BlockingIOError:
                break
            if not got:
                raise ssl.SSLEOFError("the connection ended")
            count += got
        return count

    def _name(self, host: str) -> None:
        """The certificate must be for this host; and the host's name is told to the server, for it may have many."""
        lib = self._open
        with suppress(ValueError):
            ipaddress.ip_address(host)
            if lib.X509_VERIFY_PARAM_set1_ip_asc(lib.SSL_get0_param(self._ssl), host.encode()) != 1:
                raise ssl.SSLError(f"{host[:80]} can't be held to a certificate")  # one with a zone: nothing would be checked
            return
        name = host.encode("ascii" if host.isascii() else "idna")  # the codec of names takes 5 ms to load
        if lib.SSL_set1_host(self._ssl, name) != 1 or lib.SSL_ctrl(self._ssl, _CTRL_SERVER_NAME, 0, name) != 1:
            raise ssl.SSLError(f"{host[:80]} is no name of a host")

    def _until(self, call: Callable[[], int], timeout: float | None) -> int:
        """The call's result once it is more than 0. Raises what a socket raises, BlockingIOError for a timeout of 0."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            if not self._ssl:
                raise OSError("the connection is closed")
            self._open.ERR_clear_error()
            result = call()
            self._dry = False
            if result > 0:
                return result
            wanted = self._open.SSL_get_error(self._ssl, result)
            if wanted not in {_WANT_READ, _WANT_WRITE}:
                raise self._failure(result)
            self._dry = True
            if timeout == 0:
                raise BlockingIOError
            if self.silence is not None and wanted == _WANT_READ:
                Waiting(self._socket).until(self.silence)
                continue
            poll = select.poll()
            poll.register(self._socket, select.POLLIN if wanted == _WANT_READ else select.POLLOUT)
            if not poll.poll(None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError("timed out")

    def _failure(self, result: int) -> OSError:
        lib, number = self._open, ctypes.get_errno()
        kind, verified = lib.SSL_get_error(self._ssl, result), lib.SSL_get_verify_result(self._ssl)
        if verified:
            words = lib.X509_verify_cert_error_string(verified).decode("utf-8", "replace")
            whom = f", certificate is not valid for '{self._host}'" if verified in _OTHER_NAMES else ""
            return ssl.SSLCertVerificationError(1, f"certificate verify failed: {words}{whom}")
        said = last_words(lib)
        if kind == _CLOSED:
            return ssl.SSLZeroReturnError(kind, "the connection was closed")
        if kind == _SYSCALL and number:
            return OSError(number, os.strerror(number))
        if kind == _SYSCALL or "unexpected eof" in said:
            return ssl.SSLEOFError(kind, "the connection ended")
        return ssl.SSLError(kind, said)

    def _free(self) -> None:
        if self._ssl:
            self._ssl = None
            self._open.BIO_free_all(self._bulk)

    def _end(self) -> None:
        self._free()
        super()._end()

    def __del__(self) -> None:
        if getattr(self, "_ssl", None):
            self._free()
