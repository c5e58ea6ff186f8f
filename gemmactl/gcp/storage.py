"""Cloud Storage: buckets and whole objects, checksummed. Knows not what the objects are."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO, Final

from gemmactl.errors import Trouble, refused
from gemmactl.gcp import endpoint as endpoints
from gemmactl.gcp.once import Once
from gemmactl.gcp.sessions import settle
from gemmactl.gcp.wire import TIMEOUT, Wire
from gemmactl.resources.cloud import BucketInfo, ObjectInfo, OlderObject, Readable

API: Final = "storage.googleapis.com"
CHUNK: Final = 16 * 1024 * 1024
FIELDS: Final = "items(name,size,generation,crc32c,md5Hash),nextPageToken"
OLDER_FIELDS: Final = "items(name,size,generation,crc32c,md5Hash,timeDeleted,softDeleteTime,hardDeleteTime),nextPageToken"
SQUATTED: Final = "bucket-of-another-project"


class CloudStorage:
    """Implements `cloud.Storage`. `number` tells the project's number: a bucket's name alone proves no owner."""

    def __init__(self, wire: Wire, number: Callable[[], str]) -> None:
        self._wire = wire
        self._number = number
        self._client: Once[Any] = Once(self._make)

    def _make(self) -> Any:
        # the client else reads the bucket in the background to name it in traces, which needs storage.buckets.get
        os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "1")
        from google.cloud import storage  # type: ignore[attr-defined]  # a package without types

        url = endpoints.url(self._wire.endpoint, API)
        options = {"api_endpoint": url} if self._wire.endpoint else None
        # reading an object belongs to no project: None, not an empty name
        client = storage.Client(
            project=self._wire.project or None, credentials=self._wire.identity.credentials(), client_options=options
        )
        settle(client._http, url)  # noqa: SLF001 - the session that the client makes for itself
        return client

    # --- buckets ----------------------------------------------------------------------------------

    def buckets(self) -> tuple[str, ...]:
        def ask() -> tuple[str, ...]:
            return tuple(sorted(b.name for b in self._client().list_buckets(timeout=TIMEOUT, retry=None)))

        return tuple(self._wire.read(API, "the project's buckets", ask))

    def bucket(self, name: str) -> BucketInfo | None:
        def ask() -> Any:
            found = self._client().bucket(name)
            found.reload(timeout=TIMEOUT, retry=None)
            return found

        found = self._wire.find(API, f"bucket {name}", ask)
        if found is None:
            return None
        if found.project_number and str(found.project_number) != self._number():
            info = _bucket_info(found)
            raise refused(
                f"bucket {name} belongs to another project",
                why="names of buckets are global, and somebody else took this one: what is put there would be theirs",
                remedy="work in another region, whose bucket has another name",
                code=SQUATTED,
                facts={"resource": f"projects/_/buckets/{name}", "location": info.location, "pair": list(info.pair)},
            )
        return _bucket_info(found)

    def create_bucket(self, info: BucketInfo) -> None:
        def ask() -> Any:
            return self._client().create_bucket(
                self._filled(info), location=info.location, timeout=TIMEOUT, retry=None, project=self._wire.project
            )

        self._wire.send(API, f"making bucket {info.name}", ask)

    def update_bucket(self, info: BucketInfo) -> None:
        def ask() -> None:
            bucket = self._filled(info)
            if info.delete_after_days is not None:  # a patch replaces all rules: those of others stay
                live = self._client().get_bucket(info.name, timeout=TIMEOUT, retry=None)
                bucket.lifecycle_rules = [*(r for r in live.lifecycle_rules if _age(r) is None), *bucket.lifecycle_rules]
            bucket.patch(timeout=TIMEOUT, retry=None)

        self._wire.send(API, f"changing bucket {info.name}", ask)

    def _filled(self, info: BucketInfo) -> Any:
        bucket = self._client().bucket(info.name)
        bucket.iam_configuration.uniform_bucket_level_access_enabled = info.uniform_access
        bucket.iam_configuration.public_access_prevention = "enforced" if info.public_access_prevention else "inherited"
        bucket.labels = dict(info.labels)
        if info.kms_key:
            bucket.default_kms_key_name = info.kms_key
        if info.delete_after_days is not None:
            bucket.lifecycle_rules = [{"action": {"type": "Delete"}, "condition": {"age": info.delete_after_days}}]
        return bucket

    def delete_bucket(self, name: str) -> None:
        doing = f"deleting bucket {name}"

        def empty() -> None:
            bucket = self._client().bucket(name)
            for blob in self._client().list_blobs(bucket, versions=True, timeout=TIMEOUT, retry=None):
                self._wire.gone(API, doing, lambda b=blob: b.delete(timeout=TIMEOUT, retry=None))  # type: ignore[misc]  # mypy infers no type for a bound default
            bucket.delete(timeout=TIMEOUT, retry=None)

        self._wire.gone(API, doing, empty)

    # --- objects ----------------------------------------------------------------------------------

    def list(self, bucket: str, prefix: str = "", *, direct: bool = False, most: int | None = None) -> tuple[ObjectInfo, ...]:
        def ask() -> tuple[ObjectInfo, ...]:
            found = self._client().list_blobs(
                bucket,
                prefix=prefix or None,
                delimiter="/" if direct else None,
                max_results=most,
                fields=FIELDS,
                timeout=TIMEOUT,
                retry=None,
            )
            return tuple(_object_info(b) for b in found)

        return self._wire.find(API, f"the list of gs://{bucket}/{prefix}", ask) or ()

    def stat(self, bucket: str, name: str) -> ObjectInfo | None:
        def ask() -> Any:
            blob = self._client().bucket(bucket).blob(name)
            blob.reload(timeout=TIMEOUT, retry=None)
            return blob

        found = self._wire.find(API, f"gs://{bucket}/{name}", ask)
        return None if found is None else _object_info(found)

    def read(
        self, bucket: str, name: str, start: int = 0, end: int | None = None, *, if_generation: int | None = None
    ) -> bytes | None:
        if end is not None and end <= start:
            return b"" if self.stat(bucket, name) else None

        def ask() -> Any:
            blob = self._client().bucket(bucket).blob(name)
            last = None if end is None else end - 1
            first = start if start or end is not None else None
            return blob.download_as_bytes(start=first, end=last, if_generation_match=if_generation, timeout=TIMEOUT, retry=None)

        try:
            return self._wire.find(API, f"gs://{bucket}/{name}", ask)
        except Trouble as trouble:
            if trouble.facts.get("status") == 416:
                return b""
            raise

    def write(
        self,
        bucket: str,
        name: str,
        data: bytes | Path | Readable,
        *,
        if_generation: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> ObjectInfo:
        def ask() -> Any:
            blob = self._client().bucket(bucket).blob(name)
            if isinstance(data, bytes):
                blob.upload_from_string(
                    data, "application/octet-stream", if_generation_match=if_generation, checksum="crc32c", timeout=TIMEOUT
                )
                return blob
            # with a chunk size an upload is resumable: a broken connection costs one chunk, not the shard
            blob.chunk_size = CHUNK
            with data.open("rb") if isinstance(data, Path) else nullcontext(data) as file:
                file.seek(0)
                blob.upload_from_file(
                    _Counting(file, progress),
                    size=data.stat().st_size if isinstance(data, Path) else data.size,
                    content_type="application/octet-stream",
                    if_generation_match=if_generation,
                    checksum="crc32c",
                    timeout=TIMEOUT,
                )
            return blob

        return _object_info(self._wire.send(API, f"writing gs://{bucket}/{name}", ask))

    def copy(
        self,
        source: tuple[str, str],
        target: tuple[str, str],
        *,
        if_source_generation: int,
        if_generation: int,
        older: bool = False,
    ) -> ObjectInfo:
        def ask() -> Any:
            there = self._client().bucket(source[0]).blob(source[1], generation=if_source_generation if older else None)
            made = self._client().bucket(target[0]).blob(target[1])
            token: str | None = None
            while True:  # a large object moves in several answers, each with the token of the next
                token, _, _ = made.rewrite(
                    there,
                    token=token,
                    if_generation_match=if_generation,
                    if_source_generation_match=if_source_generation,
                    timeout=TIMEOUT,
                )
                if token is None:
                    return made

        return _object_info(self._wire.send(API, f"copying gs://{source[0]}/{source[1]} to gs://{target[0]}/{target[1]}", ask))

    def delete(self, bucket: str, name: str) -> None:
        def ask() -> None:
            self._client().bucket(bucket).blob(name).delete(timeout=TIMEOUT, retry=None)

        self._wire.gone(API, f"deleting gs://{bucket}/{name}", ask)

    def older(self, bucket: str, prefix: str = "") -> tuple[OlderObject, ...]:
        def ask(**which: bool) -> tuple[OlderObject, ...]:
            listed = self._client().list_blobs(
                bucket, prefix=prefix or None, fields=OLDER_FIELDS, timeout=TIMEOUT, retry=None, **which
            )
            return tuple(_older(b) for b in listed if b.time_deleted or b.soft_delete_time)

        what = f"the older versions of gs://{bucket}/{prefix}"
        found = [*(self._wire.find(API, what, lambda: ask(versions=True)) or ())]
        try:
            found += self._wire.find(API, what, lambda: ask(soft_deleted=True)) or ()
        except Trouble as trouble:
            if trouble.facts.get("status") != 400:  # the bucket has no soft delete: nothing of that kind is there
                raise
        return tuple(sorted(found, key=lambda one: (one.info.name, one.info.generation)))

    def restore(self, bucket: str, name: str, generation: int, *, if_generation: int) -> ObjectInfo:
        def ask() -> Any:
            return (
                self._client()
                .bucket(bucket)
                .restore_blob(name, generation=generation, if_generation_match=if_generation, timeout=TIMEOUT, retry=None)
            )

        return _object_info(self._wire.send(API, f"restoring gs://{bucket}/{name} of generation {generation}", ask))


class _Counting:
    """A file that tells how far it was read; after a retry the number goes back."""

    def __init__(self, file: BinaryIO | Readable, progress: Callable[[int], None] | None) -> None:
        self._file = file
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        if self._progress:
            self._progress(self._file.tell())
        return block

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)


def _bucket_info(found: Any) -> BucketInfo:
    ages = [age for rule in found.lifecycle_rules if (age := _age(rule)) is not None]
    return BucketInfo(
        found.name,
        str(found.location).lower(),
        bool(found.iam_configuration.uniform_bucket_level_access_enabled),
        found.iam_configuration.public_access_prevention == "enforced",
        dict(found.labels),
        min(ages, default=None),
        tuple(region.lower() for region in found.data_locations or ()),
        found.default_kms_key_name or "",
    )


def _age(rule: Any) -> int | None:
    """Days of a rule that deletes every object of that age; one with a further condition is about something else."""
    return rule["condition"]["age"] if rule["action"]["type"] == "Delete" and set(rule["condition"]) == {"age"} else None


def _older(blob: Any) -> OlderObject:
    until = blob.hard_delete_time
    return OlderObject(_object_info(blob), until.strftime("%Y-%m-%dT%H:%M:%SZ") if blob.soft_delete_time and until else "")


def _object_info(blob: Any) -> ObjectInfo:
    return ObjectInfo(blob.name, int(blob.size or 0), int(blob.generation or 0), blob.crc32c or "", blob.md5_hash or "")
