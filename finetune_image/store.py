"""Owns what a run needs of a place with objects, and a folder as such a place. Knows no Google: gcs.py has the bucket."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import crc32c

Bytes = bytes | bytearray | memoryview

ABSENT: Final = "0"
"""`only_if` of an object that must not be there yet, as Cloud Storage's if_generation_match=0."""


@dataclass(frozen=True)
class Held:
    """An object that is there, whole. `generation` changes with its content; `crc32c` as a number."""

    name: str
    size: int
    crc32c: int
    generation: str


class Clash(Exception):  # noqa: N818 - what happened, not a fault: the caller decides
    """`only_if` was not so: somebody else was first. Nothing was written."""


class Store(Protocol):
    """Objects below one prefix. Names are relative, with `/`. An object is whole or absent.

    Every method raises TuneFailed(access_denied, network_failed) when the place refuses or can't be reached for long.
    """

    @property
    def uri(self) -> str:
        """The place, without a slash at the end."""

    def at(self, prefix: str) -> Store:
        """The same place below a prefix."""

    def stat(self, name: str) -> Held | None: ...

    def list(self, prefix: str = "") -> tuple[Held, ...]:
        """Everything whose name begins with `prefix`, at any depth, by name."""

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes | None:
        """Bytes [start, end) of an object; None when it is not there."""

    def write(self, name: str, data: bytes | Path, *, only_if: str | None = None) -> Held:
        """Put a whole object there, checked by its checksum. Raises Clash."""

    def pour(self, name: str, size: int, chunks: Iterable[Bytes], *, only_if: str | None = None) -> Held:
        """The same from pieces that come one by one, `size` bytes together, in bounded memory. Raises Clash.

        What the iterable raises ends it, and no object is made.
        """

    def copy(self, source: Store, name: str, to: str, *, only_if: str | None = None) -> Held | None:
        """`name` of `source` as `to` of this, moved by the place itself; None when it can't (another kind of place)."""

    def delete(self, name: str) -> None:
        """Not there is done."""


class Folder:
    """A directory as a Store. A generation is the time and the size of the file that was put there."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def uri(self) -> str:
        return str(self._root)

    @property
    def path(self) -> Path:
        return self._root

    def at(self, prefix: str) -> Folder:
        return Folder(self._root / prefix)

    def stat(self, name: str) -> Held | None:
        path = self._root / name
        return self._held(path) if path.is_file() else None

    def list(self, prefix: str = "") -> tuple[Held, ...]:
        found = (p for p in self._root.rglob("*") if p.is_file() and not p.name.endswith(".pouring"))
        return tuple(sorted((self._held(p) for p in found if self._name(p).startswith(prefix)), key=lambda h: h.name))

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes | None:
        try:
            with (self._root / name).open("rb") as file:
                file.seek(start)
                return file.read() if end is None else file.read(end - start)
        except (FileNotFoundError, IsADirectoryError):
            return None

    def write(self, name: str, data: bytes | Path, *, only_if: str | None = None) -> Held:
        if isinstance(data, bytes):
            return self.pour(name, len(data), (data,), only_if=only_if)
        with data.open("rb") as file:
            return self.pour(name, data.stat().st_size, iter(lambda: file.read(8 << 20), b""), only_if=only_if)

    def pour(self, name: str, size: int, chunks: Iterable[Bytes], *, only_if: str | None = None) -> Held:
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._scratch(target) as scratch:
            with os.fdopen(os.open(scratch, os.O_WRONLY), "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                if file.tell() != size:
                    raise ValueError(f"{name}: {file.tell()} bytes came, not {size}")
            Path(scratch).chmod(0o644)
            if only_if == ABSENT:
                try:
                    os.link(scratch, target)  # the one step that looks and makes at once
                except FileExistsError:
                    raise Clash(name) from None
            else:
                held = self.stat(name)
                if only_if is not None and (held.generation if held else ABSENT) != only_if:
                    raise Clash(name)
                Path(scratch).replace(target)
        return self._held(target)

    def copy(self, source: Store, name: str, to: str, *, only_if: str | None = None) -> Held | None:
        if not isinstance(source, Folder):
            return None
        return self.write(to, source.path / name, only_if=only_if)

    def delete(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _scratch(self, target: Path) -> Iterator[str]:
        handle, path = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".pouring", dir=target.parent)
        os.close(handle)
        try:
            yield path
        finally:
            Path(path).unlink(missing_ok=True)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _held(self, path: Path) -> Held:
        crc = 0
        with path.open("rb") as file:
            while chunk := file.read(8 << 20):
                crc = crc32c.crc32c(chunk, crc)
            seen = os.fstat(file.fileno())
        return Held(self._name(path), seen.st_size, crc, f"{seen.st_mtime_ns}-{seen.st_size}")


def open_store(uri: str, environ: Mapping[str, str]) -> Store:
    """`gs://bucket/prefix`, or a directory. Google's libraries are imported at the first request to a bucket."""
    if uri.startswith("gs://"):
        from finetune_image.gcs import Bucket

        return Bucket(uri, environ)
    return Folder(Path(uri))
