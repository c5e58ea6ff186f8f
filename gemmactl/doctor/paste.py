"""Text as people paste it -> one clean line to search in. Knows no failure."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from gemmactl.doctor.printed import bare, uncut, unescape

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
_FRAMES: Final = " \t\r|>\u2500\u2502\u2503\u2575\u2577\u256d\u256e\u256f\u2570"
_CUT_NAME: Final = (
    r"['\"`](?:run|storage|iam|artifactregistry|cloudbuild|secretmanager|serviceusage|resourcemanager)\.[a-zA-Z]+\.$"
)
"""A permission's name that a line ends in: no sentence does, within a quotation."""
_SHORTEST: Final = min(map(len, _TELLING))


@cache
def _re(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def flatten(text: str) -> str:
    """One line: no colours, no control characters, no frames, no prefixes of logs; wrapped lines joined."""
    return join(lines(text))


def lines(text: str) -> list[str]:
    """The lines as they were printed: no colours, no escapes, no prefixes of logs; cut ones whole again, indentation kept."""
    text = shorten(text)
    text = _re(r"\x1b(?:\[[0-?]{0,32}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,512}(?:\x07|\x1b\\?)?|[@-Z\\-_])").sub("", text)
    text = _re(r"(?:\\u001b|\\x1b|\\033|\\e|\^\[|\u241b)\[[0-9;]{0,20}[A-Za-z]|\[\d{1,3}(?:;\d{1,3}){0,4}m").sub("", text)
    return [bare(line) for line in uncut(unescape(text).splitlines())]


def join(parted: list[str]) -> str:
    """The lines as one, without frames."""
    parts: list[str] = []
    for line in parted:
        if inner := line.strip(_FRAMES):
            # textwrap and terminals break after a hyphen inside an identifier; a list dash has a space before it
            wrapped = bool(parts) and parts[-1][-1] == "-" and parts[-1][-2:-1].isalnum() and inner[0].isalnum()
            dotted = bool(parts) and parts[-1][-1] == "." and _re(_CUT_NAME).search(parts[-1][-80:]) and inner[0].islower()
            parts += [inner] if wrapped or dotted or not parts else [" ", inner]
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
