"""Owns what the manifest beside the weights says of their bytes, for a reader of parts. Trusts no writer."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from inference_image.chunks.crc import combine
from inference_image.chunks.source import Object
from inference_image.contract import MANIFEST_SCHEMA
from inference_image.small_files import LARGEST, natural

LIMIT: Final = 16 << 20
_LEAST_STEP: Final = 64 << 10


@dataclass(frozen=True)
class Promise:
    """One file: its size, its CRC-32C, and that of each range of `step` bytes in order."""

    size: int
    crc32c: int
    ranges: tuple[int, ...]
    step: int

    def about(self, one: Object) -> bool:
        """Is it about this very object, and does it agree with itself?"""
        if self.size != one.size or one.crc32c not in {None, self.crc32c}:
            return False
        return self.sum(0, self.size) == self.crc32c

    def sum(self, begin: int, end: int) -> int | None:
        """CRC-32C of bytes [begin, end); None where these are no borders of ranges."""
        if begin % self.step or (end % self.step and end != self.size):
            return None
        made = 0
        for number in range(begin // self.step, -(-end // self.step)):
            made = combine(made, self.ranges[number], min(self.step, self.size - number * self.step))
        return made


def parse(data: bytes) -> Mapping[str, Promise]:
    """{name: what is promised}. Raises ValueError for a document that is none of ours or contradicts itself."""
    try:
        document = json.loads(data)
        if document["schema"] != MANIFEST_SCHEMA:
            raise ValueError(f"its schema is not {MANIFEST_SCHEMA}")
        step = document["range_bytes"]
        if not natural(step) or step < _LEAST_STEP:
            raise ValueError("its ranges have no size")
        return {name: _promise(name, row, step) for name, row in document["files"].items()}
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}"[:200]) from None


def _promise(name: str, row: Mapping[str, Any], step: int) -> Promise:
    size, ranges = row["size"], row["ranges"]
    if not natural(size, LARGEST) or not isinstance(ranges, list) or len(ranges) != -(-size // step):
        raise ValueError(f"{name[:80]}: its ranges don't make its size")
    return Promise(size, _crc(row["crc32c"]), tuple(_crc(word) for word in ranges), step)


def _crc(word: str) -> int:
    raw = base64.b64decode(word, validate=True)
    if len(raw) != 4:
        raise ValueError(f"{word[:20]!r} is no checksum")
    return int.from_bytes(raw, "big")
