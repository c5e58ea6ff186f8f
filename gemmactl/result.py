"""Result: what a command returns, as data with a version and as blocks for a screen. Knows no rich and no cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from gemmactl.errors import Exit, Trouble

SCHEMA: Final = "gemmactl/1"
"""Version of the JSON envelope; a key may be added within it, none changes its meaning."""

Target = Literal["cloud", "sandbox", "local"]
Tone = Literal["plain", "good", "warn", "bad", "dim"]


@dataclass(frozen=True)
class Line:
    """One sentence on the screen."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Facts:
    """Key-value pairs, aligned."""

    rows: tuple[tuple[str, str], ...]
    title: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under headings."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""


@dataclass(frozen=True)
class Verbatim:
    """Text that must reach stdout untouched: a model's answer, a log."""

    text: str


@dataclass(frozen=True)
class Marked:
    """A text in pieces, some of which stand out: painted on a terminal, in [[brackets]] elsewhere."""

    pieces: tuple[tuple[str, bool], ...]
    title: str = ""


@dataclass(frozen=True)
class Item:
    """One finding or step: a sign, a heading, and indented lines below it."""

    sign: str
    head: str
    lines: tuple[str, ...] = ()
    tone: Tone = "plain"


Block = Line | Facts | Table | Verbatim | Marked | Item


@dataclass(frozen=True)
class Result:
    """Outcome of one verb. `data` is the document for machines, `blocks` the same for people, `next` what to type now."""

    verb: str
    data: Mapping[str, Any]
    blocks: tuple[Block, ...] = ()
    next: tuple[str, ...] = ()
    target: Target = "cloud"
    exit: Exit = Exit.OK
    problems: tuple[Trouble, ...] = field(default=())
    explained: bool = False
    """The problems after the first say why it happened; else each is one of its own."""
    reveals: frozenset[str] = field(default=frozenset(), repr=False)
    """Secrets that this document is about and may show: a key that was just made."""
    schema: str = SCHEMA
    """Of the document. One of its own has the data beside the envelope's fields, not below `data`."""

    def document(self) -> dict[str, Any]:
        """The JSON envelope: one document on stdout with `--format json`."""
        data = {"data": dict(self.data)} if self.schema == SCHEMA else dict(self.data)
        return {
            "schema": self.schema,
            "verb": self.verb,
            "target": self.target,
            "ok": self.exit is Exit.OK,
            "exit": int(self.exit),
            **data,
            "problems": [problem(t) for t in self.problems],
            "next": list(self.next),
        }


def problem(trouble: Trouble) -> dict[str, Any]:
    """A Trouble as it stands in the JSON envelope."""
    return {
        "code": trouble.code,
        "what": trouble.what,
        "why": trouble.why,
        "remedy": trouble.remedy,
        "facts": trouble.facts,
    }


def failure(verb: str, trouble: Trouble, *, target: Target, blocks: tuple[Block, ...] = ()) -> Result:
    """The envelope of a command that ended in a Trouble."""
    return Result(verb, {}, blocks=blocks, target=target, exit=trouble.exit, problems=(trouble,))
