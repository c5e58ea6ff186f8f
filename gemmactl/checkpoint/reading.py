"""A checkpoint's small files and the headers of its shards, read in three round trips. Judges nothing and knows no tensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from gemmactl.checkpoint.files import Files
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
    contract.MANIFEST,
    contract.LINEAGE,
)
"""Files that are read whole, when they are there and not over their limit."""
HEAD: Final = 64 << 10
"""First read of a shard: Gemma's headers have 5 to 90 KB, and most shards need no second one."""
PIECE: Final = 4 << 20
"""A tokenizer has 33 MB: read in pieces that travel side by side."""
AT_ONCE: Final = 32
MOST_SHARDS: Final = 1024
"""Shards whose headers are read; the largest published checkpoints have a few hundred."""
SHARD: Final = ".safetensors"


@dataclass(frozen=True)
class Contents:
    """What was read. `small`: whole files; `heads`: each shard's first bytes, its whole header where that is within the limit."""

    place: str
    sizes: Mapping[str, int]
    small: Mapping[str, bytes] = field(default_factory=dict)
    heads: Mapping[str, bytes] = field(default_factory=dict)
    bytes_read: int = 0
    """What this cost, in bytes."""

    @property
    def top(self) -> Mapping[str, int]:
        """Files of the folder itself and of gemmactl's own folder in it: what the engine sees."""
        return {n: s for n, s in self.sizes.items() if "/" not in n or n.startswith(f"{contract.FOLDER}/")}


def read(files: Files) -> Contents:
    """List, then all small files and first chunks at once, then the rest of long headers.

    Raises:
        Trouble: the place can't be read.
    """
    sizes = files.sizes
    whole = [n for n in SMALL if 0 < sizes.get(n, 0) <= layout.limit_of(n)]
    shards = sorted(n for n in sizes if n.endswith(SHARD) and "/" not in n)[:MOST_SHARDS]
    first = [(n, 0, min(HEAD, sizes[n])) for n in shards if sizes[n]]
    with ThreadPoolExecutor(AT_ONCE) as pool:

        def fetch(ranges: Iterable[tuple[str, int, int]]) -> Iterator[tuple[str, bytes]]:
            asked = list(ranges)
            return zip((name for name, _, _ in asked), pool.map(lambda one: files.read(*one), asked), strict=True)

        found: dict[str, list[bytes]] = {}
        for name, data in fetch([*first, *_pieces(whole, sizes)]):
            found.setdefault(name, []).append(data)
        for name, data in fetch(_longer(found, shards, sizes)):
            found[name].append(data)
    joined = {name: b"".join(parts) for name, parts in found.items()}
    small = {n: joined[n] for n in whole}
    heads = {n: joined.get(n, b"") for n in shards}
    return Contents(files.place, sizes, small, heads, sum(map(len, joined.values())))


def _pieces(names: Iterable[str], sizes: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
    for name in names:
        for start in range(0, sizes[name], PIECE):
            yield name, start, min(start + PIECE, sizes[name])


def _longer(found: Mapping[str, list[bytes]], shards: Iterable[str], sizes: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
    """What is missing of headers that are longer than the first read, and neither cut nor over the limit."""
    for name in shards:
        head = b"".join(found.get(name, []))
        length = int.from_bytes(head[:8], "little") if len(head) >= 8 else 0
        end = 8 + length
        if length <= layout.HEADER_LIMIT and len(head) < end <= sizes[name]:
            yield name, len(head), end
