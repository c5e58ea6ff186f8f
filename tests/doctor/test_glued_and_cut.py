"""Two failures in one text, and texts that end or begin too early: what still stands in them is still found."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from gemmactl.doctor.diagnose import diagnose
from gemmactl.doctor.finding import Finding
from gemmactl.doctor.row import CAUSE
from gemmactl.doctor.rows import all_rows

DATA = Path(__file__).parent / "data"
TEXTS: list[str] = [
    text["raw"]
    for file in ("unseen.jsonl", "fresh.jsonl")
    for text in map(json.loads, (DATA / file).read_text(encoding="utf-8").splitlines()[::43])
    if text["category"]
]
"""About thirty of all families, in the order of the files."""


def first(text: str) -> Finding:
    """Doctor's first finding; every one of the texts has one."""
    return diagnose(text)[0]


def test_of_two_failures_both_are_told_and_the_first_comes_first() -> None:
    """Two causes, one text after the other: at most one pair in ten loses one."""
    causes = {row.code for row in all_rows() if row.rank == CAUSE}
    known = [(text, first(text)) for text in TEXTS]
    pairs = [
        (f"{one}\n{other}", a, b)
        for (one, a), (other, b) in pairwise(known)
        if a.code != b.code and a.code in causes and b.code in causes
    ]
    lost = []
    for text, a, b in pairs:
        told = [finding.code for finding in diagnose(text)]
        lost += [] if told and told[0] == a.code and b.code in told else [(a.code, b.code, told)]
    assert len(pairs) >= 15
    assert len(lost) <= 0.1 * len(pairs), lost


def test_a_text_cut_at_either_end_is_still_understood_where_its_telling_words_remain() -> None:
    """Without its last 40 % or its first 20 % of characters the category stays, if the words that led to it do."""
    cut = []
    for text in TEXTS:
        found = first(text)
        for rest in (text[: int(len(text) * 0.6)], text[int(len(text) * 0.2) :]):
            if found.evidence in " ".join(rest.split()):
                told = diagnose(rest)
                cut.append((bool(told) and told[0].category == found.category, found.code, rest[:80]))
    assert len(cut) >= 20
    assert sum(right for right, *_ in cut) >= 0.95 * len(cut), [c for c in cut if not c[0]]


def test_a_message_whose_first_words_are_cut_off_keeps_its_permission() -> None:
    """Half a permission, a status or a command are completed where only one thing can have stood there."""
    told = diagnose("ersions.access' denied for resource 'projects/p-1/secrets/hf/versions/latest' (or it may not exist).")
    assert [finding.permission for finding in told] == ["secretmanager.versions.access"]
    cut = "oud.builds.submit) PERMISSION_DENIED: The caller does not have permission."
    assert diagnose(cut)
    assert diagnose(cut)[0].permission == diagnose(f"ERROR: (gcl{cut}")[0].permission


def test_half_a_permission_that_could_be_several_is_left_alone() -> None:
    """`get` ends hundreds of names: none of them is made up."""
    told = diagnose("s.get' denied on resource 'projects/p-1' (or it may not exist).")
    assert [finding.permission for finding in told if finding.permission] == []
