"""Owns the manifest that a fine-tune writes beside what it publishes: gemmactl/checkpoint/manifest.py reads it, and the loader.

Its presence means that all is there. A range k of a file is its bytes [k x RANGE, (k + 1) x RANGE).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import crc32c

from finetune_image.store import Bytes
from inference_image.chunks.crc import combine
from inference_image.contract import MANIFEST_SCHEMA

RANGE: Final = 8 << 20
"""Bytes of a range: what the loader reads at once."""


@dataclass(frozen=True)
class Record:
    """One file: what a manifest says of it, and its SHA-256 in hexadecimal for the fingerprint."""

    size: int
    crc32c: int
    ranges: tuple[int, ...]
    sha256: str
    version: str = ""
    """What it was called where it came from, for a file that is the base's own."""


class Sum:
    """Bytes that pass by, in order, and what is known of them at the end."""

    def __init__(self) -> None:
        self._size = self._range = 0
        self._ranges: list[int] = []
        self._sha = hashlib.sha256()

    def passing(self, chunks: Iterable[Bytes]) -> Iterator[Bytes]:
        for chunk in chunks:
            self.add(chunk)
            yield chunk

    def add(self, chunk: Bytes) -> None:
        view = memoryview(chunk).cast("B")
        self._sha.update(view)
        while view:
            part = view[: RANGE - self._size % RANGE]
            self._range = crc32c.crc32c(part, self._range)
            self._size += len(part)
            if self._size % RANGE == 0:
                self._ranges.append(self._range)
                self._range = 0
            view = view[len(part) :]

    def record(self, version: str = "") -> Record:
        rest = self._size % RANGE
        ranges = (*self._ranges, self._range) if rest else tuple(self._ranges)
        whole = 0
        for number, crc in enumerate(ranges):
            whole = combine(whole, crc, rest if rest and number == len(ranges) - 1 else RANGE)
        return Record(self._size, whole, ranges, self._sha.hexdigest(), version)


def record_of(data: bytes, version: str = "") -> Record:
    """Of a small file."""
    made = Sum()
    made.add(data)
    return made.record(version)


def text(source: str, made_by: str, files: Mapping[str, Record]) -> str:
    """The document: the same bytes for the same files."""
    head = {"schema": MANIFEST_SCHEMA, "made_by": made_by, "source": source, "range_bytes": RANGE}
    rows = (f"{json.dumps(name)}: {json.dumps(_row(files[name]))}" for name in sorted(files))
    return f'{json.dumps(head)[:-1]}, "files": {{\n' + ",\n".join(rows) + "\n}}\n"


def stated(data: bytes) -> Mapping[str, tuple[int, int]]:
    """{file: (size, crc32c)} of a manifest that is there. Raises ValueError for what is none."""
    try:
        document = json.loads(data)
        if document["schema"] != MANIFEST_SCHEMA:
            raise ValueError(f"its schema is not {MANIFEST_SCHEMA}")
        return {name: (int(row["size"]), _number(row["crc32c"])) for name, row in document["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}"[:200]) from None


def _row(record: Record) -> dict[str, Any]:
    row = {"size": record.size, "crc32c": _written(record.crc32c), "version": record.version}
    return {**row, "ranges": [_written(crc) for crc in record.ranges]}


def _written(crc: int) -> str:
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def _number(word: str) -> int:
    return int.from_bytes(base64.b64decode(word, validate=True), "big")
