"""Owns a bucket as a Store: Cloud Storage's JSON API, whole, checksummed objects. Knows no credentials and no run."""

from __future__ import annotations

import base64
import copy
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import crc32c

from finetune_image.contract import Code, TuneFailed
from finetune_image.gcs_wire import RETRYABLE, Answer, Wire
from finetune_image.store import Bytes, Clash, Held, Store
from inference_image.chunks.source import Patience

PATIENCE: Final = Patience(attempts=10, longest=32.0, stall=60.0)
"""About a minute and a half: a run of hours must not end for a minute of somebody else's trouble."""
PIECE: Final = 16 << 20
"""Bytes of one request of a resumable upload, a multiple of 256 KiB: what a broken connection costs."""
_FIELDS: Final = "name,size,generation,crc32c"


class Bucket:
    """`gs://bucket/prefix` as a Store. Safe from many threads.

    `credentials` replace the environment's (google.auth's), for tests.
    """

    def __init__(
        self, uri: str, environ: Mapping[str, str], *, patience: Patience = PATIENCE, credentials: Any = None, piece: int = PIECE
    ) -> None:
        self._bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        if not self._bucket:
            raise TuneFailed(Code.RUN_INVALID, uri[:80], "there is no bucket in it", "write gs://BUCKET/FOLDER")
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self._wire = Wire(environ, patience, credentials)
        self._piece = piece

    @property
    def uri(self) -> str:
        return f"gs://{self._bucket}/{self._prefix}".rstrip("/")

    def at(self, prefix: str) -> Bucket:
        there = copy.copy(self)
        there._prefix = f"{self._prefix}{prefix.strip('/')}/"  # noqa: SLF001 - its own kind
        return there

    def stat(self, name: str) -> Held | None:
        answer = self._wire.ask("GET", self._object(name), self._told(name), query={"fields": _FIELDS}, also=(404,))
        return None if answer.status == 404 else self._held(answer.json())

    def list(self, prefix: str = "") -> tuple[Held, ...]:
        found: list[Held] = []
        page: str | None = ""
        while page is not None:
            query = {"prefix": self._prefix + prefix, "fields": f"items({_FIELDS}),nextPageToken", "pageToken": page}
            answer = self._wire.ask(
                "GET", f"/storage/v1/b/{quote(self._bucket, safe='')}/o", self._told(prefix), query=query
            ).json()
            found += (self._held(item) for item in answer.get("items", ()))
            page = answer.get("nextPageToken")
        return tuple(sorted(found, key=lambda h: h.name))

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes | None:
        whole = start == 0 and end is None
        if end is not None and end <= start:
            return b"" if self.stat(name) else None
        headers = {} if whole else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        path, told = "/download" + self._object(name), self._told(name)
        for _ in range(2):
            answer = self._wire.ask("GET", path, told, query={"alt": "media"}, headers=headers, also=(404, 416))
            if answer.status == 404:
                return None
            if answer.status == 416:
                return b""
            said = answer.headers.get("x-goog-hash", "") if whole else ""
            if "crc32c=" not in said or f"crc32c={_written(crc32c.crc32c(answer.body))}" in said:
                return answer.body
        raise TuneFailed(Code.NETWORK_FAILED, told, "the bytes that arrive are not those that the bucket has: CRC-32C differs")

    def write(self, name: str, data: bytes | Path, *, only_if: str | None = None) -> Held:
        if isinstance(data, Path):
            with data.open("rb") as file:
                return self.pour(name, data.stat().st_size, iter(lambda: file.read(1 << 20), b""), only_if=only_if)
        if len(data) > self._piece:
            return self.pour(name, len(data), (data,), only_if=only_if)
        crc = crc32c.crc32c(data)
        about = json.dumps({"name": self._prefix + name, "crc32c": _written(crc)}).encode()
        mark = b"gemmactl" + os.urandom(16).hex().encode()
        head = b"--%b\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n%b\r\n" % (mark, about)
        body = b"%b--%b\r\nContent-Type: application/octet-stream\r\n\r\n%b\r\n--%b--\r\n" % (head, mark, data, mark)
        headers = {"Content-Type": f"multipart/related; boundary={mark.decode()}"}
        query = {"uploadType": "multipart", "fields": _FIELDS, **_condition(only_if)}
        answer = self._wire.ask("POST", self._upload, self._told(name), query=query, headers=headers, data=body, also=(412,))
        if answer.status == 412:
            return self._mine(name, len(data), crc, answer.lost)
        return self._held(answer.json())

    def pour(self, name: str, size: int, chunks: Iterable[Bytes], *, only_if: str | None = None) -> Held:
        told = self._told(name)
        query = {"uploadType": "resumable", "name": self._prefix + name, "fields": _FIELDS, **_condition(only_if)}
        headers = {"X-Upload-Content-Type": "application/octet-stream", "X-Upload-Content-Length": str(size)}
        begun = self._wire.ask("POST", self._upload, told, query=query, headers=headers, data=b"{}", also=(412,))
        if begun.status == 412:
            raise Clash(name)
        session, crc, sent = begun.headers["location"], 0, 0
        try:
            for piece in _pieces(chunks, self._piece, size, name):
                crc, last = crc32c.crc32c(piece, crc), sent + len(piece) == size
                answer = self._send(session, piece, sent, size, told, {"X-Goog-Hash": f"crc32c={_written(crc)}"} if last else {})
                sent += len(piece)
                if answer.status in {404, 410, 412}:
                    break
        except BaseException:
            with suppress(Exception):  # it ends by itself after a week, too
                self._wire.once("DELETE", session)
            raise
        if answer.status == 412:
            return self._mine(name, size, crc, answer.lost)
        if answer.status in {404, 410}:  # a session that is over has made its object, or never will
            with suppress(Clash):
                return self._mine(name, size, crc, answer.lost)
            raise TuneFailed(Code.NETWORK_FAILED, told, f"the upload broke off at byte {sent}: {answer.status}")
        held = self._held(answer.json())
        if (held.size, held.crc32c) != (size, crc):
            self.delete(name)
            raise TuneFailed(Code.NETWORK_FAILED, told, "the bucket holds other bytes than were sent: CRC-32C differs")
        return held

    def copy(self, source: Store, name: str, to: str, *, only_if: str | None = None) -> Held | None:
        if not isinstance(source, Bucket):
            return None
        path = f"{source._object(name)}/rewriteTo/b/{quote(self._bucket, safe='')}/o/{quote(self._prefix + to, safe='')}"  # noqa: SLF001 - its own kind
        token: dict[str, str] = {}
        lost = 0
        while True:  # a large object between places moves in several answers, each with the token of the next
            answer = self._wire.ask(
                "POST", path, self._told(to), query={**_condition(only_if), **token}, data=b"", also=(404, 412)
            )
            lost += answer.lost
            if answer.status == 404:
                raise FileNotFoundError(source._told(name))  # noqa: SLF001 - its own kind
            if answer.status == 412:
                there = source.stat(name)
                return self._mine(to, there.size if there else -1, there.crc32c if there else 0, lost)
            said = answer.json()
            if said["done"]:
                return self._held(said["resource"])
            token = {"rewriteToken": said["rewriteToken"]}

    def delete(self, name: str) -> None:
        self._wire.ask("DELETE", self._object(name), self._told(name), also=(404,))

    def _send(self, session: str, piece: bytes, start: int, size: int, told: str, headers: Mapping[str, str]) -> Answer:
        """Put bytes [start, start+len(piece)) there, again from where the bucket has them, as often as it takes.

        An answer of 404, 410 or 412 is the caller's to judge.
        """
        end, have, failures, lost = start + len(piece), start, 0, 0
        while True:
            asking = bool(failures)  # after a lost answer an empty request says how far the bucket came
            body = b"" if asking else piece[have - start :]
            ranged = f"bytes {have}-{end - 1}/{size}" if body else f"bytes */{size}"
            answer = self._wire.once("PUT", session, headers={**headers, "Content-Range": ranged}, data=body)
            if isinstance(answer, str) or answer.status in RETRYABLE:
                failures, lost = failures + 1, lost + 1
                self._wire.wait(lost, told, answer)
                continue
            if answer.status in {200, 201, 412} or (lost and answer.status in {404, 410}):
                return answer._replace(lost=lost)
            if answer.status != 308:
                raise self._wire.refusal(answer, told)
            range_ = answer.headers.get("range", "")
            had, have, failures = have, int(range_.rpartition("-")[2]) + 1 if range_ else 0, 0
            if have < start:
                raise TuneFailed(Code.NETWORK_FAILED, told, f"the upload lost bytes that it had: {have} of {start}")
            if have >= end and end < size:
                return answer
            if have >= end or (body and have <= had):  # all there, and yet no object; or sent, and nothing of it there
                lost += 1
                self._wire.wait(lost, told, answer)

    def _mine(self, name: str, size: int, crc: int, lost: int) -> Held:
        """After a refused condition: what is there may be ours, when an answer was lost. Raises Clash."""
        there = self.stat(name) if lost else None
        if there is None or (there.size, there.crc32c) != (size, crc):
            raise Clash(name)
        return there

    @property
    def _upload(self) -> str:
        return f"/upload/storage/v1/b/{quote(self._bucket, safe='')}/o"

    def _object(self, name: str) -> str:
        return f"/storage/v1/b/{quote(self._bucket, safe='')}/o/{quote(self._prefix + name, safe='')}"

    def _told(self, name: str) -> str:
        return f"gs://{self._bucket}/{self._prefix}{name}"

    def _held(self, item: Mapping[str, Any]) -> Held:
        crc = int.from_bytes(base64.b64decode(item.get("crc32c", "")), "big")
        return Held(item["name"].removeprefix(self._prefix), int(item["size"]), crc, str(item["generation"]))


def _pieces(chunks: Iterable[Bytes], most: int, size: int, name: str) -> Iterator[bytes]:
    """Chunks of any length as pieces of `most` bytes, the last one shorter; an empty object is one empty piece.

    Raises ValueError unless they are `size` bytes together.
    """
    kept, came, gone = bytearray(), 0, 0
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        came += len(view)
        while came <= size and len(kept) + len(view) >= most and gone + most < size:
            taken = most - len(kept)
            yield bytes(kept) + bytes(view[:taken])
            kept.clear()
            view, gone = view[taken:], gone + most
        if came > size:
            break
        kept += view
    if came != size:
        raise ValueError(f"{name}: {came} bytes came, not {size}")
    yield bytes(kept)


def _written(crc: int) -> str:
    """As the store writes it."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def _condition(only_if: str | None) -> dict[str, str]:
    return {} if only_if is None else {"ifGenerationMatch": only_if}
