"""The shortcut before an expression is compiled changes no answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmactl.doctor import clues, rows
from gemmactl.doctor.rows import harmless
from gemmactl.doctor.search import matches, pattern, search, word

CORPUS = sorted((Path(__file__).parent / "data").glob("*.jsonl"))
EXPRESSIONS = [
    *{e for row in rows.all_rows() for e in (*row.patterns, row.only_with, row.unless) if e},
    *harmless.MASKS,
    *(
        e
        for group in (clues.ACTED, clues.CALLER, clues.BUILD, clues.RUNTIME, clues.PROJECTS, clues.REGIONS, clues.SERVICES)
        for e in group
    ),
]


@pytest.mark.parametrize(
    ("expression", "certain"),
    [
        (r"could not resolve source: .{0,80}?x", "could not resolve source: "),
        (r"abc|defghi", ""),
        (r"(?:long alternative|x) hello?\.", " hell"),
        (r"Per\-mission 'a+bc", "per-mission 'a"),
        (r"[\]abcdef] tail{0,3}end\b yes", " tai"),
        (r"(?P<x>a(?:b|c)d)ef", ""),
        (r"\$PATH\\x", "$path\\x"),
    ],
)
def test_only_what_every_match_holds_is_certain(expression: str, certain: str) -> None:
    """Optional characters, classes, groups and alternatives make nothing certain."""
    assert word(expression) == certain


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_real_texts_match_the_same(path: Path) -> None:
    """Over real error texts every expression finds what re finds: in some of a file, which costs seconds as it is."""
    lines = path.read_text(encoding="utf-8").splitlines()
    text = "\n".join(lines[:: max(1, len(lines) // 36)])
    for expression in EXPRESSIONS:
        slow = [m.span() for m in pattern(expression).finditer(text)]  # re itself remembers 512 of them
        assert [m.span() for m in matches(expression, text)] == slow, expression


@given(st.sampled_from(EXPRESSIONS), st.data())
def test_every_match_holds_the_word(expression: str, data: st.DataObject) -> None:
    """Any text made to match an expression is found by the search with the shortcut."""
    text = data.draw(st.from_regex(pattern(expression)))
    if re.search(expression, text, re.IGNORECASE):
        assert search(expression, text)
