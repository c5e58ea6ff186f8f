"""A file as somebody pasted it -> text that YAML reads: odd spaces repaired, $NAMEs marked. Knows no field of any document."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

OPEN, CLOSE, DOLLAR = "\ue000", "\ue001", "\ue002"
"""Stand for `$NAME` and for `$$` until YAML has told values from the rest: a value that is put in can't become structure."""
_OURS: Final = re.compile(f"[{OPEN}-{DOLLAR}]")
_VARIABLE: Final = re.compile(r"\$\$(?=[A-Za-z_{])|\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})", re.ASCII)
_MARKED: Final = re.compile(f"{OPEN}(.*?){CLOSE}|{DOLLAR}", re.DOTALL)
_NOTHING: Final = frozenset("\u200b\u200c\u200d\u2060\ufeff\u00ad")
"""Characters without a width: between words they mean nothing."""
_DOUBLE: Final = "\u201c\u201d\u201e\u201f"
_SINGLE: Final = "\u2018\u2019\u201a\u201b"


@dataclass(frozen=True)
class Prepared:
    """Text for YAML, and what was repaired in it, one sentence each."""

    text: str
    notes: tuple[str, ...] = ()


def prepare(text: str) -> Prepared:
    """The text with legal spaces and with its variables marked; the lines stay the same lines."""
    found: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], int] = {}
    out = []
    for number, line in enumerate(_OURS.sub("\ufffd", text).split("\n"), 1):

        def seen(char: str, instead: str, number: int = number) -> str:
            found[char, instead] += 1
            first.setdefault((char, instead), number)
            return instead

        out.append("".join(_repaired(line.rstrip("\r"), seen)))
    notes = tuple(_note(char, instead, count, first[char, instead]) for (char, instead), count in found.items())
    return Prepared(_VARIABLE.sub(_mark, "\n".join(out)), notes)


def put(marked: str, environ: Mapping[str, str], missing: Callable[[str], None]) -> str:
    """A value with its variables put in; `missing` hears of one that is not set."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return "$"
        if name not in environ:
            missing(name)
        return environ.get(name, "")

    return _MARKED.sub(value, marked)


def shown(marked: str) -> str:
    """A marked text as it was written."""
    return _MARKED.sub(lambda found: "$$" if found[1] is None else f"${found[1]}", marked)


def _mark(found: re.Match[str]) -> str:
    name = found[1] or found[2]
    return DOLLAR if name is None else f"{OPEN}{name}{CLOSE}"


def _repaired(line: str, seen: Callable[[str, str], str]) -> Iterator[str]:
    """Characters of one line. What stands inside quotes is somebody's text and stays as it is."""
    quote, before = "", ":"
    for char in line:
        if quote:
            closes = char == quote[0] or (len(quote) > 1 and char in quote[1:])
            yield seen(char, quote[0]) if closes and char != quote[0] else char
            quote = "" if closes else quote
            before = "x"
        elif char in _NOTHING:
            yield seen(char, "")
        elif char != " " and unicodedata.category(char) == "Zs":
            yield seen(char, " ")
        elif before in ":-,[{" and char in "\"'" + _DOUBLE + _SINGLE:
            quote = {'"': '"', "'": "'"}.get(char) or ('"' + _DOUBLE if char in _DOUBLE else "'" + _SINGLE)
            yield char if char == quote[0] else seen(char, quote[0])
        else:
            if char == "#" and before == " ":
                quote = "\0"  # a comment: to the end of the line nothing means anything
            before = before if char == " " and before in ":-,[{" else char
            yield char


def _note(char: str, instead: str, count: int, line: int) -> str:
    name = unicodedata.name(char, "an unnamed character").lower()
    read = {"": "left out", " ": "read as spaces" if count > 1 else "read as a space"}.get(instead, f"read as {instead}")
    return f"{count} x U+{ord(char):04X} ({name}) {read}, first in line {line}"
