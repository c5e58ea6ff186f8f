"""Families and variants of our own, apart from the corpus: other texts of the APIs and libraries than the corpus has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gemmactl.doctor.diagnose import diagnose

TEXTS: list[dict[str, str]] = [
    json.loads(line) for line in (Path(__file__).parent / "data" / "variants.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("text", [t for t in TEXTS if t["category"]], ids=lambda t: t["raw"][:40])
def test_failures_are_put_into_their_category(text: dict[str, str]) -> None:
    """The first finding has the category, and the permission where the text tells it."""
    first = diagnose(text["raw"])[0]
    assert first.category == text["category"]
    if text["permission"]:
        assert first.permission == text["permission"]


@pytest.mark.parametrize("text", [t for t in TEXTS if not t["category"]], ids=lambda t: t["raw"][:40])
def test_other_worlds_and_good_news_are_no_failures(text: dict[str, str]) -> None:
    """Success, other clouds, file systems and conversation get nothing."""
    assert diagnose(text["raw"]) == ()
