"""Owns what a reader needs of a TLS connection, and the way to it that Python's ssl module alone gives. Knows no HTTP.

Python's own SSLSocket asks the kernel twice for every record of 16 KB. Here half a MiB is received at once and decrypted from
memory. Where OpenSSL itself can be called (openssl.py) that is faster still, and this is what is left elsewhere (docs/loader.md).
"""

from __future__ import annotations

import io
import socket
import ssl
from abc import ABC, abstractmethod
from typing import Any, Final

from inference_image.chunks.silence import Silence, Waiting

RECEIVE: Final = 512 << 10
"""Bytes that are asked of the kernel at once."""


class Secured(ABC):
    """As much of a socket as http.client and the reader of bodies use. Raises OSError like one; ssl's errors are some."""

    in_python = True
    """Does reading take Python's lock for every record? Then one thread of a process at a time does best."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._dry = True
        self._users = 1
        self.silence: Silence | None = None
        """What ends a wait to receive, beside the socket's timeout."""
        self.settimeout, self.setsockopt, self.fileno = sock.settimeout, sock.setsockopt, sock.fileno

    @abstractmethod
    def sendall(self, data: Any) -> None:
        """All of it."""

    @abstractmethod
    def recv_into(self, into: memoryview) -> int:
        """1 to len(into) bytes, or 0 at the end. Waits as the socket does."""

    @abstractmethod
    def take(self, into: memoryview) -> int:
        """What is here now, at most len(into) bytes: 0 when it is nothing. Raises SSLError at the end."""

    @property
    def holds(self) -> bool:
        """Are there bytes that came and were not looked at? No poll of the socket shows them."""
        return not self._dry

    def makefile(self, mode: str) -> io.BufferedReader:
        self._users += 1
        return io.BufferedReader(_Raw(self))

    def close(self) -> None:
        """As a socket does: it lives on until the files made of it are closed too."""
        self._users -= 1
        if not self._users:
            self._end()

    def _end(self) -> None:
        self._socket.close()


class MemoryTls(Secured):
    """TLS by Python's ssl module, decrypted from memory."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        """Shake hands; the socket's timeout holds for each receive of that."""
        super().__init__(sock)
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._came, self._goes, server_hostname=host)
        # With a buffer it returns how many bytes it read. What SSLObject wraps, where it has it: one Python call less per record.
        self._read: Any = getattr(self._tls, "_sslobj", self._tls).read
        self._buffer = memoryview(bytearray(RECEIVE))
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                if not self._fill():
                    raise ssl.SSLEOFError("the connection ended during the handshake") from None
        self._flush()

    def sendall(self, data: Any) -> None:
        self._tls.write(data)
        self._flush()

    def recv_into(self, into: memoryview) -> int:
        while True:
            try:
                return int(self._read(len(into), into))
            except ssl.SSLWantReadError:
                self._dry = True
                if self.silence is not None and self._socket.gettimeout() != 0:
                    Waiting(self._socket).until(self.silence)
                self._fill()

    def take(self, into: memoryview) -> int:
        count, size, read = 0, len(into), self._read
        while count < size:
            try:
                got = read(size - count, into[count:])
            except ssl.SSLWantReadError:
                self._dry = True
                try:
                    self._fill()
                except BlockingIOError:
                    break
                continue
            if not got:
                raise ssl.SSLEOFError("the connection ended")
            count += got
        return count

    def _fill(self) -> int:
        """Take what the kernel has. Raises what the socket raises."""
        count = self._socket.recv_into(self._buffer)
        if count:
            self._came.write(self._buffer[:count])
        else:
            self._came.write_eof()
        self._dry = False
        return count

    def _flush(self) -> None:
        if self._goes.pending:
            self._socket.sendall(self._goes.read())


class _Raw(io.RawIOBase):
    """The socket as what a BufferedReader reads from."""

    def __init__(self, tls: Secured) -> None:
        super().__init__()
        self._tls = tls

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._tls.recv_into(memoryview(buffer))

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._tls.close()
