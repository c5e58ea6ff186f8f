"""A model directory on this machine as names, sizes and checksums. Knows no bucket and no tensor."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gemmactl.errors import refused
from inference_image.contract import FOLDER

WANTED: Final = frozenset({".safetensors", ".json", ".jinja", ".model", ".txt"})
"""What a server can need. Optimizer states, pickles and pictures stay where they are."""
BLOCK: Final = 8 * 1024 * 1024


@dataclass(frozen=True)
class LocalFile:
    """`crc32c` in the form of Cloud Storage: base64 of the big-endian value."""

    name: str
    size: int
    crc32c: str


@dataclass(frozen=True)
class LocalModel:
    """What is uploaded of a directory."""

    folder: Path
    files: tuple[LocalFile, ...]

    @property
    def digest(self) -> str:
        """Names this content: another content goes to another folder, so a running service never sees a mixture."""
        lines = "".join(f"{f.name}\0{f.size}\0{f.crc32c}\n" for f in self.files)
        return hashlib.sha256(lines.encode()).hexdigest()[:10]


def checksum(path: Path) -> str:
    """crc32c of a file as Cloud Storage writes it."""
    import google_crc32c

    value = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            value = google_crc32c.extend(value, block)
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def read_folder(folder: Path, *, only: tuple[str, ...] = ()) -> LocalModel:
    """Look at a directory: reads every byte once. `only`: these names and no others.

    Raises:
        Trouble: (refused) it is no directory, or holds nothing that a server needs.
    """
    try:
        # corrections and the like that gemmactl wrote beside the weights belong to the model; other folders don't
        places = [folder, *(place for place in (folder / FOLDER,) if place.is_dir())]
        found = (p for place in places for p in place.iterdir())
        wanted = (p for p in found if p.suffix in WANTED and not p.name.startswith(".") and (not only or p.name in only))
        paths = sorted(p for p in wanted if p.is_file())
        files = tuple(LocalFile(p.relative_to(folder).as_posix(), p.stat().st_size, checksum(p)) for p in paths)
    except OSError as error:
        raise refused(
            f"{folder} can't be read as a model directory",
            why=error.strerror or str(error),
            remedy="give the directory that holds config.json and the .safetensors files",
            code="model-folder",
        ) from error
    if not files:
        raise refused(
            f"{folder} holds no model",
            why=f"no file in it ends in {', '.join(sorted(WANTED))}",
            remedy="give the directory that holds config.json and the .safetensors files",
            code="model-folder",
        )
    return LocalModel(folder, files)
