"""The manifest beside the weights: what every file was when all of it was there. A pure value and its JSON; reads nothing.

Written last by whoever completes a folder, so its presence means that all is there. A range k of a file is its bytes
[k x range_bytes, (k + 1) x range_bytes), the last one cut by the file's end: a reader of a part can verify that part.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gemmactl.checkpoint.names import illegal
from gemmactl.errors import Trouble
from inference_image.contract import MANIFEST, MANIFEST_SCHEMA

RANGE: Final = 8 << 20
"""Bytes of a range: what the loader reads at once (contract.ENV_CHUNK_MIB)."""
PART: Final = "gemmactl/manifest.part.json"
"""The same of a copy that is under way: what is whole so far. Gone when the manifest is there."""
LIMIT: Final = 16 << 20
"""Bytes of a manifest that are read at all: it has 12 for each range, so this is enough for 10 TB of weights."""
_MOST_FILES: Final = 20_000
_LEAST_RANGE: Final = 64 << 10
_MOST_RANGE: Final = 1 << 30
_MOST_BYTES: Final = 1 << 46


@dataclass(frozen=True)
class Record:
    """One file. `ranges`: CRC-32C of each range, in order; `version`: what it was called where it came from."""

    size: int
    crc32c: int
    ranges: tuple[int, ...]
    version: str = ""

    @property
    def checksum(self) -> str:
        """The whole's CRC-32C as Cloud Storage writes it."""
        return written(self.crc32c)


@dataclass(frozen=True)
class Manifest:
    """`source`: the place the files came from; `made_by`: the version of gemmactl."""

    source: str
    made_by: str
    files: Mapping[str, Record] = field(default_factory=dict)
    range_bytes: int = RANGE

    def text(self) -> str:
        """The document: the same bytes for the same value."""
        head = {"schema": MANIFEST_SCHEMA, "made_by": self.made_by, "source": self.source, "range_bytes": self.range_bytes}
        rows = (f"{json.dumps(name)}: {json.dumps(_row(self.files[name]))}" for name in sorted(self.files))
        return f'{json.dumps(head)[:-1]}, "files": {{\n' + ",\n".join(rows) + "\n}}\n"  # a line for each file, not for each range

    def of(self, name: str, size: int, crc32c: str) -> Record | None:
        """The record of a file, when it is about these very bytes; `crc32c` as Cloud Storage writes it."""
        found = self.files.get(name)
        return found if found and (found.size, found.checksum) == (size, crc32c) else None


def written(crc: int) -> str:
    """A CRC-32C as Cloud Storage writes it: base64 of the big-endian value."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def _row(record: Record) -> dict[str, Any]:
    row = {"size": record.size, "crc32c": record.checksum, "version": record.version}
    return {**row, "ranges": [written(crc) for crc in record.ranges]}


def parse(data: bytes, where: str) -> Manifest:
    """Read a manifest; whoever wrote it is not trusted.

    Raises:
        Trouble: it is none of this version, or it contradicts itself.
    """
    try:
        if len(data) > LIMIT:
            raise ValueError(f"it has more than {LIMIT >> 20} MiB")
        document = json.loads(data)
        if not isinstance(document, dict) or document.get("schema") != MANIFEST_SCHEMA:
            raise ValueError(f"its schema is not {MANIFEST_SCHEMA}")
        files = document["files"]
        if not isinstance(files, dict) or len(files) > _MOST_FILES:
            raise ValueError(f"files is no mapping of at most {_MOST_FILES} names")
        step = _number(document["range_bytes"], _LEAST_RANGE, _MOST_RANGE, "range_bytes")
        records = {name: _record(name, row, step) for name, row in files.items()}
        return Manifest(_text(document["source"]), _text(document["made_by"]), records, step)
    except (ValueError, KeyError, RecursionError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise Trouble(
            f"{MANIFEST} in {where} can't be trusted",
            why=why[:300],
            remedy="a newer gemmactl may have written it; else remove it and copy the model again",
            code="manifest-invalid",
            facts={"object": MANIFEST},
        ) from None


def _record(name: str, row: Any, step: int) -> Record:
    if (why := illegal(name)) or name in (MANIFEST, PART):
        raise ValueError(f"{name[:80]!r} can't be a file of it: {why or 'it would be about itself'}")
    if not isinstance(row, dict):
        raise ValueError(f"{name}: no mapping")  # noqa: TRY004 - a document's fault, told like its others
    size = _number(row["size"], 0, _MOST_BYTES, f"{name}: size")
    words = row["ranges"]
    if not isinstance(words, list):
        raise ValueError(f"{name}: ranges is no list")  # noqa: TRY004 - a document's fault, told like its others
    if len(words) != -(-size // step):
        raise ValueError(f"{name}: {len(words)} ranges of {step} bytes don't make {size}")
    whole, ranges = _crc(_text(row["crc32c"]), name), tuple(_crc(_text(word), name) for word in words)
    if len(ranges) == 1 and ranges[0] != whole:
        raise ValueError(f"{name}: its only range has another checksum than the whole")
    return Record(size, whole, ranges, _text(row["version"]))


def _number(value: Any, least: int, most: int, what: str) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{what} is {str(value)[:40]}, not a number from {least} to {most}")
    return value


def _text(value: Any, most: int = 2048) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError(f"a text is expected where there is {str(value)[:40]}")
    return value


def _crc(text: str, name: str) -> int:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 4:
        raise ValueError(f"{name}: {text[:20]!r} is no checksum")
    return int.from_bytes(raw, "big")
