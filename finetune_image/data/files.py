"""Owns the bytes of a data file: JSON Lines, JSON list, CSV or Parquet, packed or not, into records and their lines.

Knows no columns. pyarrow is imported for Parquet alone.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any, Final

from finetune_image.contract import Code, TuneFailed
from finetune_image.data.problem import Bad

Record = dict[str, Any] | Bad
Records = Iterator[tuple[int, Record]]
"""Each record with its line, the first is 1; a Bad stands for one that can't be read."""

LONGEST: Final = 8 << 20
"""Characters of one line of JSON: far beyond any model's sequence, so what is longer is another file by mistake."""
LARGEST: Final = 4 << 30
"""Bytes of a file after unpacking."""

_GZIP: Final = b"\x1f\x8b"
_PARQUET: Final = b"PAR1"
_BLANK: Final = b" \t\r\n"
_STRANGE: Final = (
    (b"\xff\xfe", "the file is UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "the file is UTF-16; save it as UTF-8"),
    (b"pk\x03\x04", "the file is a ZIP archive or a spreadsheet: unpack it, or save it as CSV"),
    (b"\x28\xb5\x2f\xfd", "the file is packed with zstd: unpack it, or pack it with gzip"),
    (b"bzh", "the file is packed with bzip2: unpack it, or pack it with gzip"),
    (b"\xfd7zxz", "the file is packed with xz: unpack it, or pack it with gzip"),
    (b"version https://git-lfs", "the file is a Git LFS pointer, not the data: git lfs pull"),
    (b"<!doctype", "the file is a web page, not data: a download that wanted a login?"),
    (b"<html", "the file is a web page, not data: a download that wanted a login?"),
)
"""First bytes in lower case, and what is said of the file."""
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_DECODER: Final = json.JSONDecoder()


def records(data: bytes, name: str) -> Records:
    """The records of a file. Its first bytes say what it is; only CSV and TSV are told by the name.

    Raises:
        TuneFailed: (data_invalid) Parquet without pyarrow.
    """
    ending = PurePath(name.removesuffix(".gz")).suffix.lower()
    if data[:2] == _GZIP:
        try:
            data = _unpacked(data)
        except Bad as bad:
            return iter([(1, bad)])
    if data[:4] == _PARQUET:
        return _parquet(data, name)
    if strange := next((reason for sign, reason in _STRANGE if data[:64].lstrip(_BLANK).lower().startswith(sign)), ""):
        return iter([(1, Bad(strange))])
    if ending in (".csv", ".tsv"):
        return _csv(data, ending)
    text = _text(data)
    if text is None:
        return _each(line for line in map(_decoded, data.removeprefix(b"\xef\xbb\xbf").split(b"\n")))
    if text[_past(text, 0) :][:1] == "[":
        return _list(text)
    return _lines(text)


def packed(data: bytes) -> bool:
    """Are the texts of the file not to be seen in its bytes?"""
    return data[:2] == _GZIP or data[:4] == _PARQUET


def _unpacked(data: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(data)) as file:
            made = file.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Bad(f"the file is no whole gzip: {error}") from None
    if len(made) > LARGEST:
        raise Bad(f"the file unpacks to more than {LARGEST >> 30} GiB")
    return made


def _text(data: bytes) -> str | None:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _decoded(line: bytes) -> str | Bad:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        return Bad(f"not UTF-8: byte 0x{line[error.start]:02x} at position {error.start + 1} of the line")


def _lines(text: str) -> Records:
    """JSON Lines. A first row that goes over several lines is told once, not at each line."""
    lines = text.split("\n")
    first = next((at for at, line in enumerate(lines) if line.strip()), None)
    if first is not None and lines[first].lstrip()[:1] == "{":
        try:
            json.loads(lines[first])
        except (ValueError, RecursionError):
            if _goes_on(text):
                return iter(
                    [(first + 1, Bad("a row goes over several lines: write one row on each line, or a list [...] of rows"))]
                )
    return _each(lines)


def _goes_on(text: str) -> bool:
    start = _past(text, 0)
    try:
        _, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return False
    return "\n" in text[start:end]


def _each(lines: Iterable[str | Bad]) -> Records:
    """Rows of JSON Lines. The common case stands in the loop: a call for each of 100,000 lines is a tenth of the time."""
    scan = _DECODER.raw_decode  # without looks at white space
    number = 0
    for line in lines:
        number += 1
        if type(line) is not str:
            yield number, line  # type: ignore[misc]  # a Bad
            continue
        if not line or line.isspace():
            continue
        if len(line) <= LONGEST:
            try:
                record, end = scan(line)
            except (ValueError, RecursionError):
                end = -1
            if end == len(line) and type(record) is dict and "\\u" not in line:
                yield number, record
                continue
        yield number, _slowly(line)


def _slowly(line: str) -> Record:
    """A line with something about it."""
    if len(line) > LONGEST:
        return Bad(f"the line has {len(line):,} characters; at most {LONGEST:,} are read")
    try:
        return _object(_DECODER.decode(line), line)
    except json.JSONDecodeError as error:
        return Bad(_json(error))
    except (ValueError, RecursionError) as error:
        return _unreadable(error)


def _json(error: json.JSONDecodeError) -> str:
    return f"not JSON: {error.msg.removesuffix(' starting at').removesuffix(' at')} at column {error.colno}"


def _object(record: Any, source: str) -> Record:
    if type(record) is not dict:
        return Bad(f"a row must be a JSON object, not {_kind(record)}")
    if "\\u" in source and _SURROGATE.search(source):  # json takes half a pair, no file and no tokenizer does
        try:
            json.dumps(record, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = str(error.object)[error.start]
            return Bad(f"half a character: \\u{ord(half):04x} stands alone (a text was cut inside an emoji?)")
    return record


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def _unreadable(error: Exception) -> Bad:
    return Bad("not JSON: nested too deeply" if isinstance(error, RecursionError) else f"not JSON: {error}"[:200])


def _past(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _list(text: str) -> Records:
    """A JSON list of rows, one decoded after the other so that each has its line."""
    at, line, counted = _past(text, 0) + 1, 1, 0
    at = _past(text, at)
    if text[at : at + 1] == "]":
        return
    while True:
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, end = _DECODER.raw_decode(text, at)
        except json.JSONDecodeError as error:
            yield error.lineno, Bad(_json(error))
            return
        except (ValueError, RecursionError) as error:
            yield line, _unreadable(error)
            return
        yield line, _object(value, text[at:end])
        after = _past(text, end)
        if text[after : after + 1] != ",":
            break
        at = _past(text, after + 1)
    if text[after : after + 1] != "]" or text[after + 1 :].strip():
        wrong = after if text[after : after + 1] != "]" else _past(text, after + 1)
        why = "Expecting ',' delimiter" if wrong == after else "Extra data"
        yield text.count("\n", 0, wrong) + 1, Bad(f"not JSON: {why} at column {wrong - text.rfind(chr(10), 0, wrong)}")


def _csv(data: bytes, ending: str) -> Records:
    """CSV with a header. A row has the line where it begins: quoted fields may hold line breaks."""
    text = _text(data)
    if text is None:
        for number, one in enumerate(map(_decoded, data.split(b"\n")), 1):
            if isinstance(one, Bad):
                yield number, one
        return
    csv.field_size_limit(sys.maxsize if sys.maxsize < 1 << 31 else (1 << 31) - 1)  # csv's own is 131,072 characters
    head = text[: text.find("\n") % (len(text) + 1)]
    mark = "\t" if ending == ".tsv" else max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            yield line, Bad(f"not CSV: {error}")
            return
        if fields is None:
            return
        if not any(fields) and len(fields) < 2:
            continue
        if header is None:
            header = [one.strip() for one in fields]
            if bad := _header(header):
                yield line, bad
                return
        elif len(fields) != len(header):
            yield line, Bad(f"{len(fields)} fields, the header has {len(header)}")
        else:
            yield line, dict(zip(header, fields, strict=True))


def _header(header: list[str]) -> Bad | None:
    if not all(header):
        return Bad(f"column {header.index('') + 1} of the header has no name")
    twice = sorted({one for one in header if header.count(one) > 1})
    return Bad(f"the header names {twice[0]} twice") if twice else None


def _parquet(data: bytes, name: str) -> Records:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise TuneFailed(
            Code.DATA_INVALID,
            name,
            "Parquet is read with pyarrow, which is not installed",
            "pip install pyarrow",
            "or save it as JSON Lines",
        ) from None
    return _batches(parquet, pa.ArrowException, data)


def _batches(parquet: Any, failure: type[Exception], data: bytes) -> Records:
    row = 0
    try:
        with io.BytesIO(data) as source:
            for batch in parquet.ParquetFile(source).iter_batches(batch_size=4096):
                for record in batch.to_pylist():
                    row += 1
                    yield row, record
    except (failure, OSError, ValueError) as error:
        yield row + 1, Bad(f"not Parquet: {str(error).splitlines()[0].partition('. ')[0][:200]}")
