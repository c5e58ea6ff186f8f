"""A checkpoint's small files and the headers of its shards, read in three round trips. Judges nothing and knows no tensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from gemmactl.checkpoint.files import Entry, Files
from inference_image import contract, layout

SMALL: Final = (
    contract.CONFIG,
    contract.GENERATION_CONFIG,
    contract.INDEX,
    contract.TOKENIZER_CONFIG,
    contract.CHAT_TEMPLATE,
    contract.TOKENIZER,
    contract.ADAPTER_CONFIG,
    contract.OVERRIDES,
    contract.PRESETS,
    contract.MANIFEST,
    contract.LINEAGE,
)
"""Files that are read whole, when they are there and not over their limit."""
HEAD: Final = 64 << 10
"""First read of a shard: Gemma's headers have 5 to 90 KB, and most shards need no second one."""
PIECE: Final = 4 << 20
"""A tokenizer has 33 MB: read in pieces that travel side by side."""
AT_ONCE: Final = 32
SHARD: Final = ".safetensors"


@dataclass(frozen=True)
class Contents:
    """What was read. `small`: whole files; `heads`: each shard's first bytes, its whole header where that is within the limit."""

    place: str
    entries: Mapping[str, Entry]
    small: Mapping[str, bytes] = field(default_factory=dict)
    heads: Mapping[str, bytes] = field(default_factory=dict)
    bytes_read: int = 0
    """What this cost, in bytes."""

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of every file, by its path below the folder."""
        return {name: entry.size for name, entry in self.entries.items()}

    @property
    def top(self) -> Mapping[str, int]:
        """Files of the folder itself and of gemmactl's own folder in it: what the engine sees."""
        return {n: s for n, s in self.sizes.items() if "/" not in n or n.startswith(f"{contract.FOLDER}/")}


class Reading:
    """One look at a folder under way: `contents` hold the small files, `finish` waits for the shards' headers."""

    def __init__(self, contents: Contents, heads: Mapping[str, Future[bytes]]) -> None:
        self.contents = contents
        self._heads = heads

    def finish(self) -> Contents:
        """With the whole of every header.

        Raises:
            Trouble: one of them can't be read.
        """
        heads = {name: future.result() for name, future in self._heads.items()}
        return replace(self.contents, heads=heads, bytes_read=self.contents.bytes_read + sum(map(len, heads.values())))


@contextmanager
def read(files: Files) -> Iterator[Reading]:
    """List, then everything at once; a header that is longer than its first read goes on by itself, while others are judged.

    Raises:
        Trouble: the place can't be read.
    """
    entries = files.entries
    sizes = {name: entry.size for name, entry in entries.items()}
    whole = [n for n in SMALL if 0 < sizes.get(n, 0) <= layout.limit_of(n)]
    shards = sorted(n for n in sizes if n.endswith(SHARD) and "/" not in n)[: layout.MOST_SHARDS + 1]  # and an adapter
    with ThreadPoolExecutor(AT_ONCE) as pool:
        heads = {name: pool.submit(_head, files, name, sizes[name]) for name in shards}
        pieces = [(piece[0], pool.submit(files.read, *piece)) for piece in _pieces(whole, sizes)]
        found: dict[str, list[bytes]] = {}
        for name, piece in pieces:
            found.setdefault(name, []).append(piece.result())
        small = {name: b"".join(parts) for name, parts in found.items()}
        yield Reading(Contents(files.place, entries, small, bytes_read=sum(map(len, small.values()))), heads)


def _pieces(names: Iterable[str], sizes: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
    for name in names:
        for start in range(0, sizes[name], PIECE):
            yield name, start, min(start + PIECE, sizes[name])


def _head(files: Files, name: str, size: int) -> bytes:
    """The first read of a shard, and what its header has beyond, unless the file is cut or the header over the limit."""
    head = files.read(name, 0, min(HEAD, size)) if size else b""
    end = 8 + int.from_bytes(head[:8], "little") if len(head) >= 8 else 0
    if end <= 8 + layout.HEADER_LIMIT and len(head) < end <= size:
        return head + files.read(name, len(head), end)
    return head
