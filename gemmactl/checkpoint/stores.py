"""Where a copy goes: files that appear whole or not at all, and never over another one unseen. Knows no source and no order."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from gemmactl.checkpoint.copying import UNFINISHED
from gemmactl.checkpoint.files import BucketFiles, DirectoryFiles, Entry, Files
from gemmactl.checkpoint.manifest import RANGE, Record
from gemmactl.checkpoint.stream import Stream, corrupted
from gemmactl.errors import Trouble, refused

_SPARE: Final = 64 << 20
"""Bytes of a disk that stay free."""


class Store(Protocol):
    """A folder that is written to."""

    @property
    def files(self) -> Files:
        """What is there, as it was when the copy began."""

    @property
    def remembers(self) -> bool:
        """Whether what was whole must be written down there as it goes: its checksums can't be told without reading it all."""

    def prepare(self, needed: int) -> None:
        """See that `needed` bytes can be put there. Raises Trouble (refused)."""

    def put(self, stream: Stream, old: Entry | None) -> None:
        """One file, in place of `old` (None: of nothing). Raises Trouble: copy-raced, corrupted, and what the stream raises."""

    def write(self, name: str, data: bytes) -> None:
        """A small file of gemmactl's own, whatever of it was there."""

    def remove(self, name: str) -> None:
        """The same, gone."""

    def move(self, source: Files, name: str, old: Entry | None, record: Record) -> bool:
        """The file without its bytes passing through this machine; False: it can't be done so."""

    def finish(self, last: bool) -> None:
        """What was put since is one stage; `last`: the copy is complete."""


@dataclass(frozen=True)
class BucketStore:
    """A folder of a bucket. The generation that a write replaces is named in it; 0: there must be none."""

    files: BucketFiles
    remembers: bool = True

    def prepare(self, needed: int) -> None:
        if self.files.entries:
            return
        storage, name = self.files.storage, self.files.bucket
        try:
            there = storage.bucket(name) is not None
        except Trouble:  # who may write objects may not always see the bucket, and it may be another project's
            return
        if not there:
            raise refused(
                f"there is no bucket {name}",
                why="a copy goes into a bucket that exists: where it lies and who may read it is yours to decide",
                remedy=f"add --make-bucket (private, in --region), or: gcloud storage buckets create gs://{name}"
                " --location REGION --uniform-bucket-level-access --public-access-prevention",
                code="bucket-missing",
                facts={"resource": f"projects/_/buckets/{name}"},
            )

    def put(self, stream: Stream, old: Entry | None) -> None:
        path = self.files.path(stream.name)
        try:
            made = self.files.storage.write(self.files.bucket, path, stream, if_generation=_generation(old))
        except Trouble as trouble:
            if trouble.facts.get("status") != 412:
                raise
            found = self.files.storage.stat(self.files.bucket, path)
            # the answer to our own write may have been lost: then what is there is ours
            if found is None or not stream.passed or found.crc32c != stream.record.checksum:
                raise raced(stream.name, self.files.place) from trouble
            made = found
        if (made.size, made.crc32c) != (stream.size, stream.record.checksum):
            raise corrupted(stream.name, self.files.place, f"Cloud Storage got crc32c {made.crc32c}")

    def write(self, name: str, data: bytes) -> None:
        self.files.storage.write(self.files.bucket, self.files.path(name), data)

    def remove(self, name: str) -> None:
        self.files.storage.delete(self.files.bucket, self.files.path(name))

    def move(self, source: Files, name: str, old: Entry | None, record: Record) -> bool:
        if not isinstance(source, BucketFiles):
            return False
        there = (source.bucket, source.path(name))
        version = int(source.entries[name].version)
        target = (self.files.bucket, self.files.path(name))
        try:
            made = self.files.storage.copy(there, target, if_source_generation=version, if_generation=_generation(old))
        except Trouble as trouble:
            if trouble.facts.get("status") == 412:
                raise raced(name, f"{source.place} or {self.files.place}") from trouble
            raise
        if (made.size, made.crc32c) != (record.size, record.checksum):
            raise corrupted(name, source.place, f"Cloud Storage made crc32c {made.crc32c} of it")
        return True

    def finish(self, last: bool) -> None:
        """Nothing: each object is there at once."""


@dataclass(frozen=True)
class DirectoryStore:
    """A directory. A file is written as NAME.part, which a later copy goes on with, and renamed when it is whole and on disk."""

    files: DirectoryFiles
    remembers: bool = False

    def prepare(self, needed: int) -> None:
        folder = self.files.directory
        if folder.exists() and not folder.is_dir():
            raise refused(f"{folder} is a file", why="a model is a directory", remedy="give a directory", code="model-folder")
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        begun = sum(p.stat().st_size for p in folder.rglob(f"*{UNFINISHED}"))
        if needed - begun > free - _SPARE:
            raise refused(
                f"{folder} has no room for the model",
                why=f"{(needed - begun) / 1e9:.1f} GB are to be written, {free / 1e9:.1f} GB are free",
                remedy="make room, or choose a directory on another disk",
                code="disk-full",
            )

    def put(self, stream: Stream, old: Entry | None) -> None:
        import fcntl

        path = self.files.directory / stream.name
        part = path.with_name(path.name + UNFINISHED)
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise raced(stream.name, self.files.place) from None
            try:
                begun = os.fstat(file.fileno()).st_size if stream.proven else 0  # without a checksum nothing tells whose it is
                whole = begun if begun == stream.size else begun // RANGE * RANGE
                while whole > stream.tell():
                    stream.adopt(file.read(min(RANGE, whole - stream.tell())))
                file.seek(stream.tell())
                file.truncate()
                while block := stream.read(RANGE):
                    file.write(block)
            except Trouble as trouble:
                if trouble.code == "corrupted":
                    part.unlink()
                raise
            file.flush()
            os.fsync(file.fileno())
            if old is None and path.exists():
                raise raced(stream.name, self.files.place)
            part.replace(path)
        _settle(path.parent)

    def write(self, name: str, data: bytes) -> None:
        path = self.files.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + UNFINISHED)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _settle(path.parent)

    def remove(self, name: str) -> None:
        (self.files.directory / name).unlink(missing_ok=True)

    def move(self, source: Files, name: str, old: Entry | None, record: Record) -> bool:
        return False

    def finish(self, last: bool) -> None:
        """Nothing: each file is there at once."""


def raced(name: str, place: str) -> Trouble:
    """Somebody else wrote there while the copy ran."""
    return Trouble(
        f"{name} of {place} changed while the copy ran",
        why="somebody else writes there too, perhaps a second copy; what they wrote was not touched",
        remedy="run the same command again when they are done: it compares what is there",
        code="copy-raced",
        facts={"object": name},
    )


def _generation(old: Entry | None) -> int:
    return int(old.version) if old else 0


def _settle(folder: Path) -> None:
    """A rename is on disk when its directory is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
