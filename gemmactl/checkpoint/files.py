"""A model folder as names, sizes and ranges of bytes, wherever it lies. Knows no meaning of any file."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from gemmactl.errors import Trouble, refused
from gemmactl.resources.cloud import Storage
from inference_image import contract


@dataclass(frozen=True)
class Entry:
    """One file. `crc32c`: base64 of the big-endian value where the place knows it; `version`: generation, content id or time.

    `sha256`: hexadecimal, where the place knows it. `md5`: as Cloud Storage writes it, of an object that has one.
    """

    size: int
    crc32c: str = ""
    version: str = ""
    sha256: str = ""
    md5: str = ""


def changed(name: str, place: str, how: str) -> Trouble:
    """A file that is no longer what was listed: two states of a model are never mixed."""
    return Trouble(
        f"{name} of {place} changed while it was read",
        why=f"{how} since the folder was listed",
        remedy="wait until whatever writes there is done, then run the same command again",
        code="source-changed",
        facts={"object": name},
    )


class Files(Protocol):
    """What an inventory needs to know of a folder."""

    @property
    def place(self) -> str:
        """The folder as the user wrote it."""

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Every file, by its path below the folder."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of every file, by its path below the folder."""

    @property
    def emptiness(self) -> str:
        """Why there are no files, as far as it is known."""

    def read(self, name: str, start: int, end: int) -> bytes:
        """Bytes [start, end), fewer when the file is shorter; empty when it is not there."""

    def nearby(self, leaf: str) -> tuple[str, ...]:
        """Folders around this one that hold a file named `leaf`: what the user may have meant."""

    def below(self) -> tuple[str, ...]:
        """Names of files in folders below this one, as many as a person needs to find the right one."""

    def write_new(self, name: str, data: bytes) -> None:
        """Write a small file whole, or not at all. Only gemmactl's own overrides may be there already.

        Raises:
            Trouble: it is there, or may not be written.
        """

    def again(self) -> Files:
        """The same folder, to be listed anew."""


REPLACEABLE: Final = frozenset({contract.OVERRIDES})
"""The one file that gemmactl writes again: it is its own."""
LOOKED_THROUGH: Final = 5000
"""Objects that are listed to find the folder that was meant: five answers of Cloud Storage."""


@dataclass(frozen=True)
class BucketFiles:
    """A folder of a bucket. `pinned`: a file is read as the generation that was listed, or not at all (source-changed).

    `direct`: only the folder itself and gemmactl's own in it are listed, at once: what lies below may be a million objects.
    """

    storage: Storage
    bucket: str
    prefix: str = ""
    pinned: bool = False
    direct: bool = False

    @property
    def place(self) -> str:
        return f"gs://{self.bucket}/{self.prefix}".rstrip("/")

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        if self.direct:
            with ThreadPoolExecutor(2) as pool:
                ours = pool.submit(self.storage.list, self.bucket, f"{self._root}{contract.FOLDER}/", direct=True)
                objects = (*self.storage.list(self.bucket, self._root, direct=True), *ours.result())
        else:
            objects = self.storage.list(self.bucket, self._root)
        found = {o.name.removeprefix(self._root): o for o in objects}
        return {n: Entry(o.size, o.crc32c, str(o.generation), md5=o.md5) for n, o in found.items() if n and not n.endswith("/")}

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        return {name: entry.size for name, entry in self.entries.items()}

    @property
    def emptiness(self) -> str:
        try:
            found = self.storage.bucket(self.bucket)
        except Trouble:  # who may list objects may not always see the bucket
            return "the folder is empty or misspelled"
        return "the folder is empty or misspelled" if found else f"there is no bucket {self.bucket}"

    def read(self, name: str, start: int, end: int) -> bytes:
        if not self.pinned or name not in self.entries:
            return self.storage.read(self.bucket, self._root + name, start, end) or b""
        generation = int(self.entries[name].version)
        try:
            found = self.storage.read(self.bucket, self._root + name, start, end, if_generation=generation)
        except Trouble as trouble:
            if trouble.facts.get("status") == 412:
                raise changed(name, self.place, "it was overwritten") from trouble
            raise
        if found is None:
            raise changed(name, self.place, "it was removed")
        return found

    def nearby(self, leaf: str) -> tuple[str, ...]:
        parent = f"{PurePosixPath(self.prefix).parent}/" if "/" in self.prefix else ""
        names = (o.name.removeprefix(parent) for o in self.storage.list(self.bucket, parent, most=LOOKED_THROUGH))
        hits = (name for name in names if name == leaf or name.endswith(f"/{leaf}"))
        return tuple(f"gs://{self.bucket}/{parent}{name}".removesuffix(f"/{leaf}") for name in hits)

    def below(self) -> tuple[str, ...]:
        names = (o.name.removeprefix(self._root) for o in self.storage.list(self.bucket, self._root, most=LOOKED_THROUGH))
        return tuple(name for name in names if "/" in name)

    def write_new(self, name: str, data: bytes) -> None:
        old = self.entries.get(name) if name in REPLACEABLE else None
        self.storage.write(self.bucket, self._root + name, data, if_generation=int(old.version) if old else 0)

    def again(self) -> BucketFiles:
        return BucketFiles(self.storage, self.bucket, self.prefix, self.pinned, self.direct)

    def path(self, name: str) -> str:
        """The object that a file of the folder is."""
        return self._root + name

    @property
    def _root(self) -> str:
        return f"{self.prefix}/" if self.prefix else ""


@dataclass(frozen=True)
class DirectoryFiles:
    """A directory on this machine, two levels deep: enough to tell a folder that is one level off. `deep`: all levels.

    `pinned`: a file is read with the time of change and the size that were listed, or not at all (source-changed).
    """

    directory: Path
    pinned: bool = False
    deep: bool = False

    @property
    def place(self) -> str:
        return str(self.directory)

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        patterns = ("**/*",) if self.deep else ("*", "*/*")
        found = [p for pattern in patterns for p in self.directory.glob(pattern)] if self.directory.is_dir() else []
        stats = {p.relative_to(self.directory).as_posix(): p.stat() for p in found if p.is_file()}
        return {name: Entry(stat.st_size, version=str(stat.st_mtime_ns)) for name, stat in stats.items()}

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        return {name: entry.size for name, entry in self.entries.items()}

    @property
    def emptiness(self) -> str:
        if self.directory.is_file():
            return "it is a file; a model is the directory around it"
        return "no file lies in it or one level below" if self.directory.is_dir() else "there is no such directory"

    def read(self, name: str, start: int, end: int) -> bytes:
        path = self.directory / name
        listed = self.entries.get(name) if self.pinned else None
        if not path.is_file():
            if listed:
                raise changed(name, self.place, "it was removed")
            return b""
        with path.open("rb") as file:
            now = os.fstat(file.fileno())
            if listed and (now.st_size, str(now.st_mtime_ns)) != (listed.size, listed.version):
                raise changed(name, self.place, "it was written to")
            file.seek(start)
            return file.read(max(0, end - start))

    def below(self) -> tuple[str, ...]:
        return tuple(name for name in self.entries if "/" in name)

    def nearby(self, leaf: str) -> tuple[str, ...]:
        parent = self.directory.parent
        return tuple(str(p.parent) for p in sorted((*parent.glob(leaf), *parent.glob(f"*/{leaf}")))) if parent.is_dir() else ()

    def write_new(self, name: str, data: bytes) -> None:
        path = self.directory / name
        try:
            path.parent.mkdir(exist_ok=True)
            if path.exists() and name not in REPLACEABLE:
                raise FileExistsError(errno.EEXIST, "it is there already")
            part = path.with_name(f"{path.name}.part")
            part.write_bytes(data)
            part.replace(path)
        except OSError as error:
            raise refused(
                f"{path} can't be written",
                why=error.strerror or str(error),
                remedy="nothing there was changed",
                code="file-exists" if error.errno == errno.EEXIST else "not-writable",
                facts={"object": name},
            ) from None

    def again(self) -> DirectoryFiles:
        return DirectoryFiles(self.directory)
