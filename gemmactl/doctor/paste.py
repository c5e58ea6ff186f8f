"""Text as people paste it -> one clean line to search in. Knows no failure."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

LIMIT: Final = 100_000
"""Characters that are searched: of a longer text the telling lines and both ends. Bounds the time of one diagnosis."""

_TELLING: Final = [
    "error",
    "denied",
    "permission",
    "fail",
    "exceed",
    "quota",
    "unable",
    "invalid",
    "cannot",
    "reason",
    "missing",
    "disabled",
    "exception",
    "forbidden",
    "memory",
]
"""Words of which a line in the middle of a long text must hold one. Plain search: an expression over each line is far slower."""
_SHORTEST: Final = min(map(len, _TELLING))


@cache
def _re(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def flatten(text: str) -> str:
    """One line: no colours, no control characters, no frames, no prefixes of build logs; wrapped lines joined."""
    text = shorten(text)
    text = _re(r"\x1b(?:\[[0-?]{0,32}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)?|[@-Z\\-_])").sub("", text)
    text = _unescape(text)
    parts: list[str] = []
    for line in text.splitlines():
        if bare := _strip(line):
            # textwrap and terminals break after a hyphen inside an identifier; a list dash has a space before it
            wrapped = bool(parts) and parts[-1][-1] == "-" and parts[-1][-2:-1].isalnum() and bare[0].isalnum()
            parts += [bare] if wrapped or not parts else [" ", bare]
    joined = "".join(parts)
    joined = _re(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060\ufeff\ufff9-\ufffb]").sub(" ", joined)
    return _re(r"\s+").sub(" ", joined).strip()


def shorten(text: str) -> str:
    """At most LIMIT characters: the head, the tail, and from the middle the lines that tell something."""
    if len(text) <= LIMIT:
        return text
    edge = LIMIT // 4
    middle = text[edge:-edge]
    room, kept = LIMIT - 2 * edge, []
    for line in middle.splitlines():
        if room <= 0:
            break
        if len(line) < _SHORTEST:
            continue
        piece = line[:2000]
        lowered = piece.lower()
        for word in _TELLING:  # not any(): a generator for each of a million lines costs more than the search
            if word in lowered:
                kept.append(piece)
                room -= len(piece) + 1
                break
    return "\n".join((text[:edge], *kept, text[-edge:]))


def _unescape(text: str) -> str:
    """Undo JSON's and HTML's escapes, however often a log was packed into another."""
    text = _re(r"\\{1,9}(?:r\\{1,9}n|n)").sub("\n", text)
    text = _re(r"\\{1,9}([\"'])").sub(r"\1", text)
    for escaped, plain in (
        ("\\t", " "),
        ("\\u0027", "'"),
        ("\\u0022", '"'),
        ("\\u003c", "<"),
        ("\\u003e", ">"),
        ("&#39;", "'"),
        ("&quot;", '"'),
        ("\u2018", "'"),
        ("\u2019", "'"),
        ("\u201c", '"'),
        ("\u201d", '"'),
        ("\u00a0", " "),
    ):
        text = text.replace(escaped, plain)
    return text


def _strip(line: str) -> str:
    line = line.strip(" \t\r|\u2502\u2503\u2575\u2577\u2500>")
    line = _re(r'^Step #\d{1,3}(?: - "[^"]{0,100}")?:\s?').sub("", line)
    return _re(r"^\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?\]?\s+").sub("", line).strip()
