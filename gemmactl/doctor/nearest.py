"""What a text that no row knows is closest to, by the words that both hold. A hint where to look, never a finding."""

from __future__ import annotations

import re
from collections import Counter
from math import log
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gemmactl.doctor.row import Row

MOST: Final = 3
ENOUGH: Final = 2
"""Words that a text must share with a row before the row is worth naming."""
_WORD: Final = re.compile(r"[a-z]{4,30}")
_EVERYWHERE: Final = frozenset(
    {
        "error",
        "cloud",
        "google",
        "failed",
        "http",
        "https",
        "with",
        "from",
        "that",
        "this",
        "have",
        "more",
        "could",
        "file",
        "line",
    }
)


def nearest(text: str) -> tuple[Row, ...]:
    """The rows whose own words the text shares most, rarer words counting more; empty when it shares too few with any."""
    from gemmactl.doctor.rows import all_rows

    said = set(_WORD.findall(text[:20_000].lower())) - _EVERYWHERE
    known = [(row, _words(row)) for row in all_rows()]
    spread = Counter(word for _, words in known for word in words)
    scored = [
        (sum(log(len(known) / spread[word]) for word in shared), row.code, row)
        for row, words in known
        if len(shared := words & said) >= ENOUGH
    ]
    best: dict[str, Row] = {}
    for _, code, row in sorted(scored, key=lambda one: (-one[0], one[1])):
        best.setdefault(code, row)
    return tuple(best.values())[:MOST]


def _words(row: Row) -> frozenset[str]:
    return frozenset(_WORD.findall(f"{row.title} {' '.join(row.patterns)}".lower())) - _EVERYWHERE
