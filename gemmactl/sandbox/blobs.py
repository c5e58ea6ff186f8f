"""Buckets and objects on disk: complete or absent, a file of bytes and one of metadata each. Knows no request."""

from __future__ import annotations

import base64
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any, BinaryIO, Final

import google_crc32c

Json = dict[str, Any]
PIECE: Final = 1 << 20


def stamp(now: datetime) -> str:
    """A time as the JSON API writes it."""
    return now.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def retired(meta: Json) -> bool:
    """Whether it is no longer the object of its name."""
    return "timeDeleted" in meta or "softDeleteTime" in meta


_RESTORED: Final = {
    "storageClass", "contentType", "contentEncoding", "contentLanguage", "contentDisposition", "cacheControl", "metadata",
    "customTime", "size", "crc32c", "md5Hash", "componentCount",
}  # fmt: skip
"""What a restored object inherits; source: reference of objects.restore."""


@dataclass(frozen=True)
class Digest:
    """Checksums in the API's base64 form."""

    size: int
    crc32c: str
    md5: str


def copy_digesting(source: BinaryIO, target: BinaryIO, limit: int | None = None) -> Digest:
    """Copy a stream (at most `limit` bytes) and say what passed."""
    crc: Any = google_crc32c.Checksum()  # type: ignore[no-untyped-call]  # the package has no types
    hasher, size = md5(usedforsecurity=False), 0
    while limit is None or size < limit:
        piece = source.read(PIECE if limit is None else min(PIECE, limit - size))
        if not piece:
            break
        target.write(piece)
        crc.update(piece)
        hasher.update(piece)
        size += len(piece)
    return Digest(size, base64.b64encode(crc.digest()).decode(), base64.b64encode(hasher.digest()).decode())


def pieces(file: BinaryIO, start: int, length: int) -> Iterator[bytes]:
    """`length` bytes of an open file, which is closed at the end."""
    with file:
        file.seek(start)
        while length > 0 and (piece := file.read(min(PIECE, length))):
            length -= len(piece)
            yield piece


class Blobs:
    """The one owner of the folder `home/storage`. Metadata is held in memory and written through."""

    def __init__(self, home: Path, now: Callable[[], datetime]) -> None:
        self._home = home
        self._now = now
        self._lock = threading.RLock()
        self._buckets: dict[str, Json] = {}
        self._objects: dict[str, dict[str, Json]] = {}
        self._older: dict[str, dict[tuple[str, str], Json]] = {}
        """Noncurrent and soft-deleted ones, by (name, generation)."""
        self._newest = 0
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in sorted(p for p in home.iterdir() if (p / "bucket.json").exists()):
            self._load(folder)

    def _load(self, folder: Path) -> None:
        self._buckets[folder.name] = json.loads((folder / "bucket.json").read_text())
        found = self._objects[folder.name] = {}
        older = self._older[folder.name] = {}
        for file in sorted(folder.glob("*.meta"), key=lambda p: int(p.stem)):
            meta = json.loads(file.read_text())
            self._newest = max(self._newest, int(meta["generation"]))
            if retired(meta):
                older[meta["name"], meta["generation"]] = meta
            else:
                found[meta["name"]] = meta
        alive = {meta["generation"] for meta in (*found.values(), *older.values())}
        for file in [*folder.glob("*.bytes"), *folder.glob("*.meta"), *folder.glob("*.part")]:
            if file.stem not in alive or file.suffix == ".part":
                file.unlink()  # cut off between two renames by a kill: it never became an object

    # --- buckets
    def buckets(self) -> list[Json]:
        with self._lock:
            return [self._buckets[name] for name in sorted(self._buckets)]

    def bucket(self, name: str) -> Json | None:
        with self._lock:
            return self._buckets.get(name)

    def save_bucket(self, document: Json) -> None:
        with self._lock:
            folder = self._home / str(document["name"])
            folder.mkdir(mode=0o700, exist_ok=True)
            _write(folder / "bucket.json", document)
            self._buckets[folder.name] = document
            self._objects.setdefault(folder.name, {})
            self._older.setdefault(folder.name, {})

    def drop_bucket(self, name: str) -> None:
        with self._lock:
            del self._buckets[name], self._objects[name], self._older[name]
            shutil.rmtree(self._home / name)

    # --- objects
    def names(self, bucket: str) -> list[str]:
        with self._lock:
            # UTF-8 order, as the listing of the real service
            return sorted(self._objects[bucket], key=str.encode)

    def meta(self, bucket: str, name: str) -> Json | None:
        with self._lock:
            return self._objects.get(bucket, {}).get(name)

    def generation(self, bucket: str, name: str, generation: str) -> Json | None:
        """The object as it is, or one of its noncurrent versions; a soft-deleted one is not to be had."""
        with self._lock:
            meta = self._objects.get(bucket, {}).get(name)
            if meta is not None and generation in ("", meta["generation"]):
                return meta
            old = self._older.get(bucket, {}).get((name, generation))
            return old if old is not None and "softDeleteTime" not in old else None

    def older(self, bucket: str, *, soft_deleted: bool) -> list[Json]:
        """Noncurrent versions, or what was soft-deleted and is still kept; by name and generation."""
        with self._lock:
            self._expire(bucket)
            found = (meta for meta in self._older[bucket].values() if ("softDeleteTime" in meta) == soft_deleted)
            return sorted(found, key=lambda meta: (meta["name"].encode(), int(meta["generation"])))

    def restore(self, bucket: str, name: str, generation: str, guard: Callable[[Json | None], None]) -> Json | None:
        """A new generation with the bytes of a soft-deleted one, which stays; None: there is none."""
        with self._lock:
            self._expire(bucket)
            old = self._older[bucket].get((name, generation))
            if old is None or "softDeleteTime" not in old:
                return None
            scratch = self.scratch(bucket)
            shutil.copyfile(self._home / bucket / f"{generation}.bytes", scratch)
            kept = {k: v for k, v in old.items() if k in _RESTORED}
            try:
                return self.commit(bucket, name, scratch, kept, guard)
            finally:
                scratch.unlink(missing_ok=True)

    def open(self, bucket: str, meta: Json) -> BinaryIO:
        """The bytes of one generation; stays readable when the object is overwritten meanwhile.

        Raises:
            FileNotFoundError: the generation is gone.
        """
        return (self._home / bucket / f"{meta['generation']}.bytes").open("rb")

    def scratch(self, bucket: str) -> Path:
        """A new file in the bucket's folder, to be given to commit()."""
        return self._home / bucket / f"{os.urandom(8).hex()}.part"

    def commit(self, bucket: str, name: str, scratch: Path, fields: Json, guard: Callable[[Json | None], None]) -> Json:
        """Make `scratch` the object's new generation, after `guard(current metadata)` agreed under the lock."""
        with self._lock:
            old = self._objects[bucket].get(name)
            guard(old)
            now = self._now()
            self._newest = max(self._newest + 1, int(now.timestamp() * 1e6))
            generation = str(self._newest)
            meta = {
                "kind": "storage#object",
                "storageClass": self._buckets[bucket]["storageClass"],
                "contentType": "application/octet-stream",
                **fields,
                "name": name,
                "bucket": bucket,
                "id": f"{bucket}/{name}/{generation}",
                "generation": generation,
                "metageneration": "1",
                "timeCreated": stamp(now),
                "updated": stamp(now),
                "timeFinalized": stamp(now),
                "etag": _etag(generation, "1"),
            }
            folder = self._home / bucket
            scratch.replace(folder / f"{generation}.bytes")
            _write(folder / f"{generation}.meta", meta)
            self._objects[bucket][name] = meta
            if old:
                self._retire(bucket, old)
            return meta

    def patch(self, bucket: str, name: str, change: Callable[[Json], Json]) -> Json:
        """Replace the metadata of an object that exists; `change` gets a copy and may raise."""
        with self._lock:
            old = self._objects[bucket][name]
            meta = change(dict(old))
            meta["metageneration"] = str(int(old["metageneration"]) + 1)
            meta["updated"] = stamp(self._now())
            meta["etag"] = _etag(meta["generation"], meta["metageneration"])
            _write(self._home / bucket / f"{meta['generation']}.meta", meta)
            self._objects[bucket][name] = meta
            return meta

    def delete(self, bucket: str, name: str, guard: Callable[[Json | None], None], generation: str = "") -> None:
        """The object, or with its `generation` that very version, which then is not kept as a noncurrent one."""
        with self._lock:
            live = self._objects[bucket].get(name)
            if generation and (live is None or live["generation"] != generation):
                old = self._older[bucket].get((name, generation))
                guard(old)
                if old is not None:
                    self._retire(bucket, old, for_good=True)
                return
            guard(live)
            self._retire(bucket, self._objects[bucket].pop(name), for_good=bool(generation))

    def _retire(self, bucket: str, meta: Json, *, for_good: bool = False) -> None:
        """What becomes of a version that is replaced or deleted. source: Cloud Storage's pages on soft delete and versioning."""
        now, settings, key = self._now(), self._buckets[bucket], (meta["name"], meta["generation"])
        seconds = int((settings.get("softDeletePolicy") or {}).get("retentionDurationSeconds", 0))
        if (settings.get("versioning") or {}).get("enabled") and not for_good:
            kept = {**meta, "timeDeleted": stamp(now)}
        elif seconds:
            until = stamp(now + timedelta(seconds=seconds))
            kept = {**meta, "softDeleteTime": stamp(now), "hardDeleteTime": until}
        else:
            self._older[bucket].pop(key, None)
            self._unlink(self._home / bucket, meta)
            return
        _write(self._home / bucket / f"{meta['generation']}.meta", kept)
        self._older[bucket][key] = kept

    def _expire(self, bucket: str) -> None:
        now = stamp(self._now())
        for key, meta in list(self._older[bucket].items()):
            if meta.get("hardDeleteTime", now) < now:
                self._unlink(self._home / bucket, self._older[bucket].pop(key))

    @staticmethod
    def _unlink(folder: Path, meta: Json) -> None:
        # metadata first: bytes without metadata are swept at the next start, the reverse would be half an object
        (folder / f"{meta['generation']}.meta").unlink(missing_ok=True)
        (folder / f"{meta['generation']}.bytes").unlink(missing_ok=True)


def _etag(generation: str, metageneration: str) -> str:
    return base64.b64encode(f"{generation}/{metageneration}".encode()).decode()


def _write(file: Path, document: Json) -> None:
    scratch = file.with_suffix(".new")
    scratch.write_text(json.dumps(document, ensure_ascii=False))
    scratch.replace(file)
