"""A model's files wherever they are: names, sizes and byte ranges. Knows no format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gemmactl.errors import refused

if TYPE_CHECKING:
    from gemmactl.resources.cloud import Storage


class Folder(Protocol):
    """The border to where the files are."""

    @property
    def uri(self) -> str: ...

    def sizes(self) -> Mapping[str, int]:
        """Bytes of each file directly in the folder; empty when there is no such folder."""

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes [start, end) of a file."""


@dataclass(frozen=True)
class Bucket:
    """gs://bucket/prefix."""

    storage: Storage
    bucket: str
    prefix: str

    @property
    def uri(self) -> str:
        return f"gs://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def _root(self) -> str:
        return f"{self.prefix}/" if self.prefix else ""

    def sizes(self) -> Mapping[str, int]:
        found = {o.name.removeprefix(self._root): o.size for o in self.storage.list(self.bucket, self._root)}
        return {name: size for name, size in found.items() if name and "/" not in name}

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        data = self.storage.read(self.bucket, self._root + name, start, end)
        if data is None:
            raise refused(
                f"{self.uri}/{name} has gone",
                why="it was listed a moment ago",
                remedy="run it again when nobody changes the model",
                code="model-changing",
            )
        return data


@dataclass(frozen=True)
class Directory:
    """A folder of this machine."""

    text: str

    @property
    def uri(self) -> str:
        return self.text

    def sizes(self) -> Mapping[str, int]:
        root = Path(self.text).expanduser()
        return {p.name: p.stat().st_size for p in sorted(root.iterdir()) if p.is_file()} if root.is_dir() else {}

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        with (Path(self.text).expanduser() / name).open("rb") as file:
            file.seek(start)
            return file.read() if end is None else file.read(end - start)
