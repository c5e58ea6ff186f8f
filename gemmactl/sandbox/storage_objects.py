"""Objects over the JSON API: list, read with ranges, patch, rewrite, delete, preconditions. Knows no upload."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import quote, unquote

from gemmactl.sandbox.blobs import Blobs, pieces
from gemmactl.sandbox.storage_errors import PRECONDITION, StorageError, denied, missing_object
from gemmactl.sandbox.stream_faults import StreamFaults, spoiled
from gemmactl.sandbox.wire import CutConnection, Request, Response, json_response

Json = dict[str, Any]
Need = Callable[[str, str, str], None]
_PATCHABLE: Final = {
    "contentType",
    "contentEncoding",
    "contentLanguage",
    "contentDisposition",
    "cacheControl",
    "metadata",
    "customTime",
}
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")


def linked(meta: Json, host: str) -> Json:
    """An object's resource with its links, which gcloud follows to download it. They lead to where the request came."""
    base = f"{'http' if host.startswith('127.0.0.1') else 'https'}://{host}"
    path = f"storage/v1/b/{meta['bucket']}/o/{quote(meta['name'], safe='')}"
    media = f"{base}/download/{path}?generation={meta['generation']}&alt=media"
    return {**meta, "selfLink": f"{base}/{path}", "mediaLink": media}


class Objects:
    """Answers /b/BUCKET/o..."""

    def __init__(self, blobs: Blobs, need: Need, faults: StreamFaults) -> None:
        self._blobs = blobs
        self._need = need
        self._faults = faults

    def handle(self, request: Request, bucket: Json, rest: str) -> Response:
        if not rest:
            if request.method != "GET":
                raise StorageError(405, "Method Not Allowed")
            return self._list(request, bucket["name"])
        copy = re.fullmatch(r"(.+)/(rewriteTo|copyTo)/b/([^/]+)/o/(.+)", rest)
        if copy:
            return self._copy(request, bucket["name"], *(unquote(copy[i]) for i in (1, 3, 4)), whole=copy[2] == "copyTo")
        if request.method == "POST" and rest.endswith("/restore"):
            return self._restore(request, bucket["name"], unquote(rest.removesuffix("/restore")))
        name = unquote(rest)
        if request.method == "GET":
            return self._get(request, bucket["name"], name)
        if request.method == "PATCH":
            return self._patch(request, bucket["name"], name)
        if request.method == "DELETE":
            return self._delete(request, bucket["name"], name)
        raise StorageError(405, "Method Not Allowed")

    # --- list
    def _list(self, request: Request, bucket: str) -> Response:
        self._need(request.caller, "storage.objects.list", bucket)
        if "true" in (request.first("versions").lower(), request.first("softDeleted").lower()):
            return self._list_older(request, bucket)
        prefix, delimiter = request.first("prefix"), request.first("delimiter")
        size = min(int(request.first("maxResults", "1000") or 1000), 1000)
        token = request.first("pageToken")
        after = base64.urlsafe_b64decode(token).decode() if token else ""
        start, end = request.first("startOffset"), request.first("endOffset")
        items: list[Json] = []
        folders: list[str] = []
        last = ""
        for name in self._blobs.names(bucket):
            if not name.startswith(prefix) or name.encode() <= after.encode() or name < start or (end and name >= end):
                continue
            cut = name.find(delimiter, len(prefix)) if delimiter else -1
            folder = name[: cut + len(delimiter)] if cut >= 0 else ""
            if folder and (folder in folders or after.startswith(folder)):
                last = name
                continue
            if len(items) + len(folders) == size:
                break
            last = name
            if folder:
                folders.append(folder)
            elif meta := self._blobs.meta(bucket, name):
                items.append(linked(meta, request.host))
        else:
            last = ""
        page: Json = {"kind": "storage#objects"}
        if items:
            page["items"] = items
        if folders:
            page["prefixes"] = folders
        if last:
            page["nextPageToken"] = base64.urlsafe_b64encode(last.encode()).decode()
        return json_response(page)

    def _list_older(self, request: Request, bucket: str) -> Response:
        """All in one answer. The client writes Python's True; both at once are refused."""
        soft = request.first("softDeleted").lower() == "true"
        if soft and request.first("versions").lower() == "true":
            raise StorageError(400, "Only one of versions and softDeleted can be set.")  # guess
        found = self._blobs.older(bucket, soft_deleted=soft)
        if not soft:
            found += [meta for name in self._blobs.names(bucket) if (meta := self._blobs.meta(bucket, name))]
        prefix, delimiter = request.first("prefix"), request.first("delimiter")
        below = [m for m in found if m["name"].startswith(prefix)]
        items = [linked(m, request.host) for m in below if not delimiter or delimiter not in m["name"].removeprefix(prefix)]
        items.sort(key=lambda m: (m["name"].encode(), int(m["generation"])))
        return json_response({"kind": "storage#objects", **({"items": items} if items else {})})

    # --- read
    def _found(self, request: Request, bucket: str, name: str, permission: str, which: str = "generation") -> Json:
        """`which`: the parameter that may name an older generation."""
        self._need(request.caller, permission, bucket)
        meta = self._blobs.generation(bucket, name, request.first(which))
        if meta is None:
            try:  # who may not list doesn't learn what is missing
                self._need(request.caller, "storage.objects.list", bucket)
            except StorageError:
                raise denied(request.caller, permission) from None
            raise missing_object(bucket, name)
        return meta

    def _get(self, request: Request, bucket: str, name: str) -> Response:
        meta = self._found(request, bucket, name, "storage.objects.get")
        check(request, meta)
        if request.first("alt") != "media":
            return json_response(linked(meta, request.host), headers={"etag": meta["etag"]})
        fault = self._faults.take(name)
        if fault and fault.kind == "status":
            raise StorageError(fault.status, "We encountered an internal error. Please try again.")
        if fault and fault.kind == "reset" and not fault.after:
            raise CutConnection("reset before the first byte")
        size = int(meta["size"])
        start, length = asked_range(request.headers.get("range", ""), size)
        try:
            file = self._blobs.open(bucket, meta)
        except FileNotFoundError:  # overwritten between look-up and open: the next look-up sees the new generation
            return self._get(request, bucket, name)
        body: Iterator[bytes] = pieces(file, start, length)
        headers = media_headers(meta)
        headers["content-length"] = str(length)
        if "range" in request.headers and _RANGE.fullmatch(request.headers["range"]):
            headers["content-range"] = f"bytes {start}-{start + length - 1}/{size}"
            return Response(206, headers, spoiled(body, fault) if fault else body)
        return Response(200, headers, spoiled(body, fault) if fault else body)

    # --- write
    def _patch(self, request: Request, bucket: str, name: str) -> Response:
        self._found(request, bucket, name, "storage.objects.update")
        body = json.loads(request.body or b"{}")

        def change(meta: Json) -> Json:
            check(request, meta)
            for key, value in body.items():
                if key not in _PATCHABLE:
                    continue
                if value is None:
                    meta.pop(key, None)
                elif key == "metadata":
                    kept = {**meta.get("metadata", {}), **value}
                    meta["metadata"] = {k: v for k, v in kept.items() if v is not None}
                else:
                    meta[key] = value
            return meta

        return json_response(self._blobs.patch(bucket, name, change))

    def _delete(self, request: Request, bucket: str, name: str) -> Response:
        self._found(request, bucket, name, "storage.objects.delete")

        def guard(meta: Json | None) -> None:
            if meta is None:
                raise missing_object(bucket, name)
            check(request, meta)

        self._blobs.delete(bucket, name, guard, request.first("generation"))
        return Response(204)

    def _restore(self, request: Request, bucket: str, name: str) -> Response:
        self._need(request.caller, "storage.objects.restore", bucket)
        meta = self._blobs.restore(bucket, name, request.first("generation"), writer(self._need, request, bucket))
        if meta is None:
            raise missing_object(bucket, name)
        return json_response(linked(meta, request.host))

    def _copy(self, request: Request, bucket: str, name: str, to: str, as_: str, *, whole: bool) -> Response:
        source = self._found(request, bucket, name, "storage.objects.get", "sourceGeneration")
        if request.first("ifSourceGenerationMatch") not in ("", source["generation"]):
            raise StorageError(412, PRECONDITION)
        if self._blobs.bucket(to) is None:
            raise StorageError(404, "The specified bucket does not exist.")
        guard = writer(self._need, request, to)
        scratch = self._blobs.scratch(to)
        with self._blobs.open(bucket, source) as file, scratch.open("wb") as target:
            for piece in pieces(file, 0, int(source["size"])):
                target.write(piece)
        fields = {k: source[k] for k in (*_PATCHABLE, "size", "crc32c", "md5Hash") if k in source}
        try:
            meta = self._blobs.commit(to, as_, scratch, fields, guard)
        finally:
            scratch.unlink(missing_ok=True)
        if whole:
            return json_response(meta)
        sizes = {"totalBytesRewritten": meta["size"], "objectSize": meta["size"]}
        return json_response({"kind": "storage#rewriteResponse", **sizes, "done": True, "resource": meta})


def check(request: Request, meta: Json | None) -> None:
    """The four preconditions against the current metadata; generation 0 means "not there".

    Raises:
        StorageError: 412, or 304 for a read whose "not match" fails.
    """
    for field in ("generation", "metageneration"):
        have = meta[field] if meta else "0"
        title = field.capitalize()
        match, unlike = request.first(f"if{title}Match"), request.first(f"if{title}NotMatch")
        if match and match != have:
            raise StorageError(412, PRECONDITION)
        if unlike and unlike == have:
            raise StorageError(304 if request.method == "GET" else 412, PRECONDITION)


def writer(need: Need, request: Request, bucket: str) -> Callable[[Json | None], None]:
    """Checks that a new generation may be written: create, delete when one is replaced, and the preconditions."""
    need(request.caller, "storage.objects.create", bucket)

    def guard(old: Json | None) -> None:
        check(request, old)
        if old is not None:
            need(request.caller, "storage.objects.delete", bucket)

    return guard


def asked_range(header: str, size: int) -> tuple[int, int]:
    """(start, length) of a Range header; a header of another form asks for everything.

    Raises:
        StorageError: 416.
    """
    found = _RANGE.fullmatch(header)
    if not found or found[0] == "bytes=-":
        return 0, size
    first, last = found[1], found[2]
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start >= size or end < start or (not first and last == "0"):
        raise StorageError(416, "The requested range cannot be satisfied.")
    return start, end - start + 1


def media_headers(meta: Json) -> dict[str, str]:
    """What a download carries besides its bytes. The hashes are of the whole object also on a 206."""
    headers = {
        "content-type": meta["contentType"],
        "accept-ranges": "bytes",
        "etag": meta["etag"],
        "last-modified": format_datetime(datetime.fromisoformat(meta["updated"]), usegmt=True),
        "x-goog-generation": meta["generation"],
        "x-goog-metageneration": meta["metageneration"],
        "x-goog-storage-class": meta["storageClass"],
        "x-goog-stored-content-length": meta["size"],
        "x-goog-stored-content-encoding": meta.get("contentEncoding", "identity"),
        "x-goog-hash": f"crc32c={meta['crc32c']},md5={meta['md5Hash']}",
    }
    for key, header in (("contentEncoding", "content-encoding"), ("cacheControl", "cache-control")):
        if key in meta:
            headers[header] = meta[key]
    return headers
