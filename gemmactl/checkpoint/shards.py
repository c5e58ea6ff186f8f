"""Safetensors files measured by their headers: whole, or why not. Knows no tensor's meaning."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from gemmactl.checkpoint.files import Files
from gemmactl.errors import refused

HEADER_LIMIT: Final = 100_000_000
"""safetensors' own limit on a header, in bytes."""
POINTER: Final = b"version https://git-lfs"


@dataclass(frozen=True)
class Shard:
    """`size`: the whole file; `data`: its tensors, without the header."""

    name: str
    size: int
    data: int


def measure(files: Files, names: tuple[str, ...]) -> tuple[Shard, ...]:
    """Each shard with its sizes; two small ranged reads for each.

    Raises:
        Trouble: (refused) one is empty, a Git LFS pointer, no safetensors file, or shorter than its header says.
    """
    with ThreadPoolExecutor(min(16, max(1, len(names)))) as pool:
        return tuple(pool.map(lambda name: _one(files, name), names))


def _one(files: Files, name: str) -> Shard:
    size = files.sizes[name]
    start = files.read(name, 0, 64)
    if size == 0:
        raise _refuse("file-empty", files, name, "is empty", "an upload stopped at its start", "upload it again")
    if start.startswith(POINTER):
        raise _refuse(
            "header-invalid",
            files,
            name,
            "is a Git LFS pointer, not the weights",
            "the repository was cloned without its large files",
            "run `git lfs pull` and upload the folder again",
        )
    length = int.from_bytes(start[:8], "little")
    if len(start) < 8 or length > HEADER_LIMIT or start[8:9] != b"{":
        raise _not_safetensors(files, name)
    if size < 8 + length:
        raise _truncated(files, name, size, 8 + length)
    data = _data_size(files, name, length)
    if size < 8 + length + data:
        raise _truncated(files, name, size, 8 + length + data)
    return Shard(name, size, data)


def _data_size(files: Files, name: str, length: int) -> int:
    """End of the last tensor in the data part, in bytes."""
    try:
        header: Any = json.loads(files.read(name, 8, 8 + length))
        return max((int(t["data_offsets"][1]) for k, t in header.items() if k != "__metadata__"), default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise _not_safetensors(files, name) from error


def _truncated(files: Files, name: str, size: int, expected: int) -> Exception:
    return _refuse(
        "shard-truncated",
        files,
        name,
        f"has {size} bytes, its header says {expected}",
        "an upload or download stopped early",
        "upload it again; `gemmactl deploy DIR` uploads and checks a whole folder",
    )


def _not_safetensors(files: Files, name: str) -> Exception:
    return _refuse(
        "header-invalid",
        files,
        name,
        "is not a safetensors file",
        "an error page may have been saved in its place, or the file is damaged",
        "look at its first bytes, then download and upload it again",
    )


def _refuse(code: str, files: Files, name: str, what: str, why: str, remedy: str) -> Exception:
    return refused(f"{name} in {files.place} {what}", why=why, remedy=remedy, code=code, facts={"object": name})
