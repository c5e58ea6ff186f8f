"""The build context of an image: named packages as a staged tree with a stable hash. Knows no cloud and imports no package."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from gemmactl.errors import Trouble

SKIPPED_FOLDERS: Final = frozenset({"__pycache__", "node_modules"})
SKIPPED_SUFFIXES: Final = frozenset({".pyc", ".pyo", ".so", ".swp", ".orig", ".egg-info"})
MODE: Final = 0o644


@dataclass(frozen=True)
class BuildContext:
    """`files`: (path in the context, content), by path. `digest`: sha256 over paths and contents, in hex."""

    files: tuple[tuple[str, bytes], ...]
    digest: str

    @property
    def short(self) -> str:
        """What tags and object names carry."""
        return self.digest[:16]

    def archive(self) -> bytes:
        """The same bytes for the same tree: no time, no owner, one mode, sorted."""
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path, content in self.files:
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode, entry.mtime = len(content), MODE, 0
                entry.uid = entry.gid = 0
                entry.uname = entry.gname = "root"
                tar.addfile(entry, io.BytesIO(content))
        return gzip.compress(raw.getvalue(), compresslevel=9, mtime=0)

    def write_to(self, folder: Path) -> None:
        """Lay the tree out in a folder (the sandbox and the wheel test start from it)."""
        for path, content in self.files:
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)


def stage(packages: Sequence[str]) -> BuildContext:
    """Collect packages by name, from a checkout or an installed wheel alike.

    Raises:
        Trouble: a package is not there as files.
    """
    return _staged(tuple(packages))


@cache  # one command asks again and again; what it was started from does not change below it
def _staged(packages: tuple[str, ...]) -> BuildContext:
    files = tuple(sorted((path, content) for name in packages for path, content in _package(name)))
    total = hashlib.sha256()
    for path, content in files:
        total.update(f"{path}\0{len(content)}\0".encode())
        total.update(content)
    return BuildContext(files, total.hexdigest())


def _package(name: str) -> Iterator[tuple[str, bytes]]:
    # find_spec of a top-level name looks it up without running it: torch stays unimported
    spec = find_spec(name)
    roots = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    if not roots or not roots[0].is_dir():
        raise Trouble(
            f"the build context lacks the package {name}",
            why="it is not installed as plain files beside gemmactl",
            remedy="install gemmactl again (its wheel carries the package)",
            code="context-missing",
        )
    root = roots[0]
    for path in sorted(root.rglob("*")):
        inner = path.relative_to(root)
        if path.is_file() and not _skipped(inner):
            yield f"{name}/{inner.as_posix()}", path.read_bytes()


def _skipped(path: Path) -> bool:
    hidden = any(part.startswith(".") and part != ".dockerignore" for part in path.parts)
    return hidden or bool(SKIPPED_FOLDERS & set(path.parts)) or path.suffix in SKIPPED_SUFFIXES
