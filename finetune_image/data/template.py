r"""Owns templates over columns: `Question: {question}\nAnswer: {answer}`. Nothing but columns can be named. Knows no files."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from finetune_image.contract import Code, TuneFailed
from finetune_image.data.problem import Bad

_PIECE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|\\[nt\\]")
_SIGNS: Final = {"{{": "{", "}}": "}", r"\n": "\n", r"\t": "\t", "\\\\": "\\"}


@dataclass(frozen=True)
class Template:
    """`pieces`: (text before, column) each; `tail`: the text after the last."""

    pieces: tuple[tuple[str, str], ...]
    tail: str

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(column for _, column in self.pieces)

    @cached_property
    def _form(self) -> str:
        return "".join(f"{before.replace('%', '%%')}%s" for before, _ in self.pieces) + self.tail.replace("%", "%%")

    def fill(self, record: Mapping[str, Any]) -> str:
        """The text of one record; a column without a value is empty text. Raises Bad, also when all are."""
        values: list[str] = []
        said = not self.pieces
        for _, column in self.pieces:
            value = record.get(column)
            if type(value) is not str:
                value = _worded(record, column)
            values.append(value)
            said = said or not (value == "" or value.isspace())
        if not said:
            raise Bad(f"empty: column {', '.join(self.columns)}")
        return self._form % tuple(values)


def parse(text: str, where: str) -> Template:
    r"""A template. `{{` and `}}` are braces; `\n` and `\t`, which a shell leaves as they are, become line break and tab.

    Raises:
        TuneFailed: (settings_invalid) a brace that belongs to nothing, a column without a name.
    """
    pieces: list[tuple[str, str]] = []
    plain, end = "", 0
    for found in _PIECE.finditer(text):
        plain += text[end : found.start()]
        end = found.end()
        if found[1] is not None:
            column = found[1].strip()
            if not column:
                raise TuneFailed(Code.SETTINGS_INVALID, where, "{} names no column", "write {column}")
            pieces.append((plain, column))
            plain = ""
        elif found[0] in _SIGNS:
            plain += _SIGNS[found[0]]
        else:
            advice = "write {column} for a column, {{ or }} for a brace"
            raise TuneFailed(Code.SETTINGS_INVALID, where, f"a lone {found[0]} at position {found.start() + 1}", advice)
    return Template(tuple(pieces), plain + text[end:])


def _worded(record: Mapping[str, Any], column: str) -> str:
    if column not in record:
        near = difflib.get_close_matches(column, sorted(record), n=1)
        hint = f"did you mean {{{near[0]}}}?" if near else f"there are {', '.join(sorted(record)[:8]) or 'none'}"
        raise Bad(f"no column {column}; {hint}")
    value = record[column]
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return str(value)
    raise Bad(f"column {column} is a {type(value).__name__}; a template takes texts and numbers")
