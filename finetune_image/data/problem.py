"""Owns how a fault of a data file is told: `file:line: reason`, each one counted, a bounded number kept. Knows no format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

KEPT: Final = 100
"""Faults of one kind that are kept whole; the others are only counted."""


class Bad(Exception):  # noqa: N818 - what a row is
    """A row, or a place of a file, that can't be used. A reader may also hand one on instead of a row."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Problem:
    """`line`: 1 for the first; of Parquet the row. 0: it is about the whole file."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}" if self.line else f"{self.file}: {self.reason}"


@dataclass
class Findings:
    """All that was found of one kind: `count` of them, the first KEPT whole."""

    file: str
    count: int = 0
    kept: list[Problem] = field(default_factory=list)

    def add(self, line: int, reason: str) -> None:
        self.count += 1
        if len(self.kept) < KEPT:
            self.kept.append(Problem(self.file, line, reason))

    def __bool__(self) -> bool:
        return self.count > 0

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.kept)
