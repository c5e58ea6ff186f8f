"""Owns the rows of a data file as they are trained on, every fault by line, and what is there twice. Knows no model."""

from __future__ import annotations

import gc
import re
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from finetune_image.contract import Code, TuneFailed
from finetune_image.data import files, forms
from finetune_image.data.forms import Row
from finetune_image.data.problem import Bad, Findings, Problem
from finetune_image.run import Data
from inference_image.families import FAMILIES

CONTROL: Final = tuple(sorted({token for family in FAMILIES for token in family.control}))
"""Tokens that steer a model of any family: inside a text they are trained as what they say."""
_CONTROL: Final = re.compile(b"|".join(re.escape(token.encode()) for token in CONTROL))


@dataclass(frozen=True)
class Rows:
    """What a file holds. `rows[i]` stands at `lines[i]`; rows with a problem are left out."""

    file: str
    format: str
    """One of run.FORMATS; empty: the file says none."""
    rows: list[Row]
    lines: list[int]
    read: int
    """Rows of the file, good or bad."""
    problems: Findings
    """Any of them: the file is not trained on."""
    duplicates: Findings
    """Rows that are there before, word for word."""
    conflicts: Findings
    """Rows that ask what an earlier one asks and answer otherwise."""
    control: Findings
    """Rows whose text holds a control token."""
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    """Of the first row."""


def read(source: Path | bytes, data: Data, name: str = "") -> Rows:
    """All rows of a file, in its order. `name`: what problems call it; default: the path's last part.

    Raises:
        TuneFailed: (settings_invalid) a template that can't be; (data_invalid) Parquet without pyarrow; (data_not_found).
    """
    if isinstance(source, Path):
        name = name or source.name
        try:
            source = source.read_bytes()
        except OSError as error:
            raise TuneFailed(Code.DATA_NOT_FOUND, name, error.strerror or str(error)) from None
    with _no_collection():
        return _Reading(name or "data.jsonl", data).all(source)


def refuse(rows: Rows) -> None:
    """Raises TuneFailed(data_invalid) when the file has a problem: the first, and how many more."""
    if not rows.problems:
        return
    first, more = rows.problems.kept[0], rows.problems.count - 1
    detail = first.reason + (f"; and {more:,} more" if more else "")
    raise TuneFailed(Code.DATA_INVALID, f"{first.file}:{first.line}", detail, "gemmactl finetune check DATA lists them all")


def key(row: Mapping[str, Any]) -> Hashable:
    """Equal for rows that say the same."""
    made: list[Hashable] = []
    for column in ("messages", "prompt", "completion", "text"):
        value = row.get(column)
        made.append(tuple((one["role"], one["content"]) for one in value) if type(value) is list else value)
    return tuple(made)


class _Reading:
    """One pass over one file."""

    def __init__(self, name: str, data: Data) -> None:
        self._name, self._data = name, data
        self._problems, self._duplicates, self._conflicts, self._control = (Findings(name) for _ in range(4))
        self._form, self._opening, self._notes = "", 0, []  # type: tuple[str, int, list[str]]
        self._columns: tuple[str, ...] = ()
        self._asked: dict[Hashable, int] = {}
        self._others: dict[Hashable, int] = {}
        self._answers: list[Any] = []

    def all(self, source: bytes) -> Rows:
        watched = files.packed(source) or (b"<" in source and _CONTROL.search(source) is not None) or b"\\u003c" in source
        rows: list[Row] = []
        lines: list[int] = []
        make: forms.Maker | None = None
        known, answers = self._asked.setdefault, self._answers
        count = 0
        for line, record in files.records(source, self._name):
            count += 1
            try:
                if type(record) is not dict:
                    raise record  # type: ignore[misc]  # a Bad
                if make is None:
                    make = self._start(line, record)
                row, asked, answer = make(record)
            except Bad as bad:
                self._problems.add(line, self._mixed(record) or bad.reason)
                continue
            at = len(rows)
            first = known(asked, at)
            if first != at:
                self._compare(lines, line, asked, answer, first)
            if watched:
                self._watch(line, row)
            rows.append(row)
            lines.append(line)
            answers.append(answer)
        if not count:
            self._problems.add(1, "the file holds no rows")
        return Rows(
            self._name, self._told, rows, lines, count, self._problems, self._duplicates, self._conflicts, self._control,
            tuple(self._notes), self._columns,
        )  # fmt: skip

    @property
    def _told(self) -> str:
        return "template" if self._form == "question" else self._form

    def _start(self, line: int, record: Mapping[str, Any]) -> forms.Maker:
        """The first record decides the form, unless the user did."""
        form = self._data.format
        if form == "auto":
            form = "template" if self._data.prompt is not None else forms.detect(record)
        if not form:
            raise Bad(f"no known format: its columns are {', '.join(sorted(record)[:8]) or 'none'}; {forms.way_out(record)}")
        made = forms.maker(form, self._data, record)
        self._form, self._opening, self._columns = form, line, tuple(record)
        if form == "question":
            prompt, completion = (repr(one) for one in forms.QUESTION["context" in record])
            self._notes.append(
                f"columns question and answer: read as --prompt {prompt} --completion {completion}; only the answer is trained"
            )
        return made

    def _mixed(self, record: files.Record) -> str:
        """Another form than the file's, told as that rather than as a missing column."""
        if isinstance(record, Bad) or self._data.format != "auto" or self._form in ("", "template"):
            return ""
        found = forms.detect(record)
        return f"format {found} differs from line {self._opening} ({self._form})" if found not in ("", self._form) else ""

    def _compare(self, lines: list[int], line: int, asked: Hashable, answer: Any, first: int) -> None:
        """A row that asks what row `first` asked."""
        at = len(lines)
        if self._answers[first] != answer:
            other = self._others.setdefault((asked, answer), at)
            if other == at:
                self._conflicts.add(line, f"asks what line {lines[first]} asks and answers otherwise")
                return
            first = other
        self._duplicates.add(line, f"the same as line {lines[first]}")

    def _watch(self, line: int, row: Row) -> None:
        """A whole text may be written with control tokens on purpose; the content of a message never is."""
        if "text" in row:
            return
        for spot, text in _texts(row):
            for token in CONTROL:
                if token in text:
                    self._control.add(line, f"{spot} holds {token}: the model reads it as the control token, not as text")
                    return


def _texts(row: Row) -> Iterator[tuple[str, str]]:
    for column, value in row.items():
        if type(value) is list:
            for at, one in enumerate(value):
                yield f"{column}[{at}].content", one["content"]
        else:
            yield column, value


@contextmanager
def _no_collection() -> Iterator[None]:
    """Nothing that a reader makes is a cycle; looking for them costs a third of the time over 100,000 rows."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


__all__ = ["CONTROL", "Findings", "Problem", "Row", "Rows", "key", "read", "refuse"]
