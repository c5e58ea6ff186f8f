"""A directory read as the storage of a cloud: buckets are directories in it. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gemmactl.resources.cloud import ObjectInfo


@dataclass(frozen=True)
class Shelf:
    """What reading a run needs of `Storage`. A generation is the time of the last change, in nanoseconds."""

    folder: Path

    def list(self, bucket: str, prefix: str = "", *, direct: bool = False, most: int | None = None) -> tuple[ObjectInfo, ...]:
        root = self.folder / bucket
        top = root / prefix.rpartition("/")[0]
        found = sorted(p for p in top.rglob("*") if p.is_file() and not p.name.endswith(".pouring")) if top.is_dir() else []
        names = [p.relative_to(root).as_posix() for p in found]
        return tuple(self._info(bucket, name) for name in names if name.startswith(prefix))[:most]

    def stat(self, bucket: str, name: str) -> ObjectInfo | None:
        return self._info(bucket, name) if (self.folder / bucket / name).is_file() else None

    def read(
        self, bucket: str, name: str, start: int = 0, end: int | None = None, *, if_generation: int | None = None
    ) -> bytes | None:
        try:
            return (self.folder / bucket / name).read_bytes()[start:end]
        except (FileNotFoundError, IsADirectoryError):
            return None

    def _info(self, bucket: str, name: str) -> ObjectInfo:
        stat = (self.folder / bucket / name).stat()
        return ObjectInfo(name, stat.st_size, stat.st_mtime_ns, "")


@dataclass(frozen=True)
class Library:
    """A cloud that has nothing but a shelf."""

    storage: Shelf
