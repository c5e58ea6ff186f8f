"""What the last look asked of a model's buckets, kept on this machine: questions, never an answer. Knows no model."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmactl.checkpoint.reading import PIECE
from gemmactl.serving.one_look import Question, foreseeing, questions
from inference_image.contract import PINS
from inference_image.layout import HEADER_LIMIT

if TYPE_CHECKING:
    from gemmactl.resources.cloud import Cloud

VERSION: Final = 1
MOST: Final = 256
"""Questions of one look: 12 shards in two reads each, a tokenizer's pieces and small files are 45."""
LONGEST: Final = max(PIECE, HEADER_LIMIT)
TOTAL: Final = 256 << 20
"""Bytes that are read ahead at most: a file that was tampered with must not fetch the weights themselves."""
AT_ONCE: Final = 64
FILES: Final = 100
"""Looks that are kept; the oldest go."""

Row = tuple[str, str, str, int, int, int]
"""(read or list, bucket, name or prefix, start, end, generation); 0, 0, 0: the whole of what is never changed, or of a list"""


def folder(environ: Mapping[str, str]) -> Path:
    """Where this machine keeps what can be lost at any time."""
    root = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache"
    return Path(root) / "gemmactl" / "reads"


def path(kept: Path, *names: str) -> Path:
    """The file of one service and model, named by all that tells it from another one."""
    return kept / f"{hashlib.sha256(json.dumps(names).encode()).hexdigest()[:32]}.json"


def ask(file: Path, look: Cloud) -> None:
    """Ask what the last look asked, all of it at the same time, so that the answers are there when this one wants them.

    Every object is read as the generation that was listed then. Where the list shows another one now, the look asks for that,
    and nobody ever hears the answer of the old question.
    """
    rows, reads = _read(file), foreseeing(look)
    if not rows:
        return
    with ThreadPoolExecutor(min(AT_ONCE, len(rows))) as pool:
        for row in rows:
            pool.submit(_quietly, row, reads)


def keep(file: Path, look: Cloud) -> None:
    """Write down what a look asked, for the next one. Whatever goes wrong here costs the next one a round trip."""
    rows = sorted({row for question in questions(look) if (row := _row(question))})
    text = json.dumps({"version": VERSION, "questions": rows}, indent=0)
    with suppress(OSError):
        if not rows or (file.is_file() and file.read_text(encoding="utf-8") == text):
            return
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = file.with_suffix(f".{os.getpid()}.part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
            out.write(text)
        part.replace(file)
        for old in sorted(file.parent.glob("*.json"), key=lambda one: one.stat().st_mtime)[:-FILES]:
            old.unlink()


def _row(question: Question) -> Row | None:
    """A question that a next look will ask in the same words, if the folder is what it was."""
    part, method, given, named = question
    if part != "storage":
        return None
    match method, given, named:
        case "read", (str(bucket), str(name), int(start), int(end)), (("if_generation", int(generation)),):
            return ("read", bucket, name, start, end, generation)
        case "read", (str(bucket), str(name)), () if _pin(name):
            return ("read", bucket, name, 0, 0, 0)
        case "list", (str(bucket), str(prefix)), (("direct", True),):
            return ("list", bucket, prefix, 0, 0, 0)
    return None


def _read(file: Path) -> tuple[Row, ...]:
    """What the file holds, or nothing where any of it could not have been written by `keep`."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        rows = tuple(map(_checked, found["questions"])) if found["version"] == VERSION else ()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ()
    fits = len(rows) <= MOST and sum(end - start for _, _, _, start, end, _ in rows) <= TOTAL
    return rows if fits else ()


def _checked(row: Any) -> Row:
    match row:
        case ["read", str(bucket), str(name), int(start), int(end), int(generation)] if (
            0 <= start < end <= start + LONGEST and generation > 0
        ):
            return ("read", bucket, name, start, end, generation)
        case ["read", str(bucket), str(name), 0, 0, 0] if _pin(name):
            return ("read", bucket, name, 0, 0, 0)
        case ["list", str(bucket), str(prefix), 0, 0, 0]:
            return ("list", bucket, prefix, 0, 0, 0)
    raise ValueError(row)


def _pin(name: str) -> bool:
    return f"{PINS}/" in name and name.endswith(".json")


def _quietly(row: Row, reads: Cloud) -> None:
    """In the very words of whoever asks later: an answer is kept by its question."""
    what, bucket, name, start, end, generation = row
    with suppress(Exception):
        if what == "list":
            reads.storage.list(bucket, name, direct=True)
        elif generation:
            reads.storage.read(bucket, name, start, end, if_generation=generation)
        else:
            reads.storage.read(bucket, name)
