"""The three ways to upload an object: media, multipart, resumable. An object appears whole, checked, or not at all."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote

from gemmactl.sandbox.blobs import Blobs, Digest, copy_digesting
from gemmactl.sandbox.storage_errors import StorageError
from gemmactl.sandbox.storage_objects import check, writer
from gemmactl.sandbox.wire import Request, Response, json_response

Json = dict[str, Any]
Need = Callable[[str, str, str], None]
_KEPT: Final = {
    "contentType",
    "contentEncoding",
    "contentLanguage",
    "contentDisposition",
    "cacheControl",
    "metadata",
    "customTime",
}
_RANGE: Final = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_QUANTUM: Final = 256 << 10


@dataclass(frozen=True)
class Part:
    """Where the bytes of a multipart upload lie in the body."""

    meta: Json
    content_type: str
    start: int
    length: int


class Uploads:
    """Answers /upload/... Unfinished resumable sessions are files, so that they outlive the daemon."""

    def __init__(self, blobs: Blobs, need: Need, folder: Path, base_url: Callable[[], str]) -> None:
        self._blobs = blobs
        self._need = need
        self._folder = folder
        self._base_url = base_url
        self._lock = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def handle(self, request: Request, bucket: Json) -> Response:
        kind, session = request.first("uploadType"), request.first("upload_id")
        if request.first("predefinedAcl") and bucket["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"]:
            # guess
            raise StorageError(400, "Cannot insert legacy ACL for an object when uniform bucket-level access is enabled.")
        if session:
            return self._continue(request, bucket["name"], session)
        if kind == "resumable":
            return self._begin(request, bucket["name"])
        with request.open() as body:
            if kind == "multipart":
                part = multipart(body, request.headers.get("content-type", ""), request.size)
                name = str(part.meta.get("name") or request.first("name"))
                meta = {"contentType": part.content_type, **part.meta}
                body.seek(part.start)
                return self._store(request, bucket["name"], name, meta, body, part.length)
            if kind == "media":
                meta = {"contentType": request.headers.get("content-type", "application/octet-stream")}
                return self._store(request, bucket["name"], request.first("name"), meta, body, request.size)
        raise StorageError(400, f"Invalid upload type: '{kind}'")

    def _store(self, request: Request, bucket: str, name: str, meta: Json, body: BinaryIO, length: int) -> Response:
        legal(name)
        guard = writer(self._need, request, bucket)
        guard(self._blobs.meta(bucket, name))
        scratch = self._blobs.scratch(bucket)
        try:
            with scratch.open("wb") as target:
                digest = copy_digesting(body, target, length)
            verify(meta, request.headers.get("x-goog-hash", ""), digest)
            return json_response(self._blobs.commit(bucket, name, scratch, fields(meta, digest), guard))
        finally:
            scratch.unlink(missing_ok=True)

    # --- resumable
    def _begin(self, request: Request, bucket: str) -> Response:
        meta = json.loads(request.body or b"{}")
        name = str(meta.get("name") or request.first("name"))
        legal(name)
        writer(self._need, request, bucket)(self._blobs.meta(bucket, name))
        meta.setdefault("contentType", request.headers.get("x-upload-content-type", "application/octet-stream"))
        session = os.urandom(16).hex()
        conditions = {k: list(v) for k, v in request.query.items() if k.startswith("if")}
        record = {"bucket": bucket, "name": name, "meta": meta, "query": conditions, "caller": request.caller}
        (self._folder / f"{session}.bytes").touch(mode=0o600)
        (self._folder / f"{session}.json").write_text(json.dumps(record))
        place = f"{self._base_url()}/upload/storage/v1/b/{quote(bucket)}/o?uploadType=resumable&upload_id={session}"
        return Response(200, {"location": place, "x-guploader-uploadid": session})

    def _continue(self, request: Request, bucket: str, session: str) -> Response:
        file = self._folder / f"{session}.json"
        if not re.fullmatch(r"[0-9a-f]{32}", session) or not file.exists():
            raise StorageError(404, "Not Found")
        record = json.loads(file.read_text())
        if record["bucket"] != bucket:
            raise StorageError(404, "Not Found")
        data = file.with_suffix(".bytes")
        if request.method == "DELETE":
            file.unlink()
            data.unlink(missing_ok=True)
            return Response(499)
        with self._lock:
            return self._append(request, record, file, data)

    def _append(self, request: Request, record: Json, file: Path, data: Path) -> Response:
        have = data.stat().st_size
        header = request.headers.get("content-range", "") or f"bytes 0-{max(request.size - 1, 0)}/{request.size}"
        found = _RANGE.fullmatch(header)
        if not found:
            raise StorageError(400, f"Failed to parse Content-Range header: {header}")
        total = None if found[3] == "*" else int(found[3])
        if found[1] is not None and request.size:
            start, end = int(found[1]), int(found[2])
            if end - start + 1 != request.size:
                raise StorageError(400, "Content-Range doesn't match the size of the body.")
            if start > have:
                raise StorageError(400, f"Invalid request. The bytes from {have} to {start - 1} are missing.")
            if (total is None or end + 1 < total) and (end + 1) % _QUANTUM:
                # guess
                raise StorageError(400, f"Invalid request. All chunks but the last must be a multiple of {_QUANTUM} bytes.")
            with request.open() as body, data.open("ab") as target:
                body.seek(have - start)  # bytes that a lost answer had already brought are skipped
                copy_digesting(body, target)
            have = data.stat().st_size
        if total is None or have < total:
            return Response(308, {"range": f"bytes=0-{have - 1}"} if have else {})
        return self._finish(request, record, file, data)

    def _finish(self, request: Request, record: Json, file: Path, data: Path) -> Response:
        bucket, name = record["bucket"], record["name"]
        again = Request("POST", request.host, request.path, record["query"], request.headers, b"", record["caller"])
        guard = writer(self._need, again, bucket)
        check(again, self._blobs.meta(bucket, name))
        scratch = self._blobs.scratch(bucket)
        try:
            with data.open("rb") as source, scratch.open("wb") as target:
                digest = copy_digesting(source, target)
            verify(record["meta"], request.headers.get("x-goog-hash", ""), digest)
            meta = self._blobs.commit(bucket, name, scratch, fields(record["meta"], digest), guard)
        finally:
            scratch.unlink(missing_ok=True)
            file.unlink(missing_ok=True)
            data.unlink(missing_ok=True)
        return json_response(meta)


def legal(name: str) -> None:
    """400 unless `name` can be an object's."""
    if not name:
        raise StorageError(400, "Required", "required")
    if len(name.encode()) > 1024 or "\n" in name or "\r" in name or name in (".", ".."):
        raise StorageError(400, "Invalid object name")


def fields(meta: Json, digest: Digest) -> Json:
    """The metadata that an upload gives and that its bytes imply."""
    kept = {k: v for k, v in meta.items() if k in _KEPT and v is not None}
    return {**kept, "size": str(digest.size), "crc32c": digest.crc32c, "md5Hash": digest.md5}


def verify(meta: Json, header: str, digest: Digest) -> None:
    """400 when a checksum that came with the upload is not that of its bytes."""
    given = dict(pair.strip().split("=", 1) for pair in header.split(",") if "=" in pair)
    for name, said, real in (
        ("CRC32C", meta.get("crc32c") or given.get("crc32c"), digest.crc32c),
        ("MD5 hash", meta.get("md5Hash") or given.get("md5"), digest.md5),
    ):
        if said and said != real:
            raise StorageError(400, f'Provided {name} "{said}" doesn\'t match calculated {name} "{real}".')


def multipart(body: BinaryIO, content_type: str, size: int) -> Part:
    """Find both parts of a multipart/related body without reading the second one.

    Raises:
        StorageError: 400, it is not such a body.
    """
    boundary = re.search(r"boundary=(?:\"([^\"]+)\"|'([^']+)'|([^;\s]+))", content_type)
    if not boundary:
        raise StorageError(400, "Missing multipart boundary")
    # gcloud puts apostrophes around its boundary, which belong to it: source: golden 02
    mark = b"--" + next(g for g in (boundary[1], boundary[2] and f"'{boundary[2]}'", boundary[3]) if g).encode()
    head = body.read(min(size, 1 << 20))
    if boundary[2] and not head.startswith(mark):
        mark = b"--" + boundary[2].encode()
    blocks = head.split(mark, 2)
    if len(blocks) < 3 or blocks[0].strip():
        raise StorageError(400, "Malformed multipart body.")
    _, _, text = blocks[1].partition(b"\r\n\r\n") if b"\r\n\r\n" in blocks[1] else blocks[1].partition(b"\n\n")
    try:
        meta = json.loads(text or b"{}")
    except ValueError as error:
        raise StorageError(400, "Malformed multipart body.") from error
    second = head.index(mark, len(blocks[0]) + len(mark)) + len(mark)
    end, gap = min(((p, g) for g in (b"\r\n\r\n", b"\n\n") if (p := head.find(g, second)) >= 0), default=(-1, b""))
    if end < 0:
        raise StorageError(400, "Malformed multipart body.")
    named = re.search(rb"(?i)content-type:\s*([^\r\n]+)", head[second:end])
    start = end + len(gap)
    # the closing mark follows the bytes after one line break, which is not theirs
    body.seek(max(start, size - len(mark) - 16))
    tail = body.read()
    close = tail.rfind(mark)
    if close < 0:
        raise StorageError(400, "Malformed multipart body.")
    before = tail[:close]
    stop = size - len(tail) + close - (2 if before.endswith(b"\r\n") else 1 if before.endswith(b"\n") else 0)
    return Part(meta, named[1].decode() if named else "application/octet-stream", start, max(stop - start, 0))
