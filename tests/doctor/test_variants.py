"""Families and variants of our own, apart from the corpus: other texts of the APIs and libraries than the corpus has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gemmactl.doctor.diagnose import diagnose

DATA = Path(__file__).parent / "data"
TEXTS: list[dict[str, str]] = [
    json.loads(line)
    for name in ("variants.jsonl", "families.jsonl", "unseen.jsonl")
    for line in (DATA / name).read_text(encoding="utf-8").splitlines()
]
"""`principal` and `role` only where the text settles them."""


@pytest.mark.parametrize("text", [t for t in TEXTS if t["category"]], ids=lambda t: t["raw"][:40])
def test_failures_are_put_into_their_category(text: dict[str, str]) -> None:
    """The first finding has the category, and permission, principal and role where the text tells them."""
    first = diagnose(text["raw"])[0]
    assert first.category == text["category"]
    for part in ("permission", "principal", "role"):
        if text.get(part):
            assert getattr(first, part) == text[part]


@pytest.mark.parametrize("text", [t for t in TEXTS if not t["category"]], ids=lambda t: t["raw"][:40])
def test_other_worlds_and_good_news_are_no_failures(text: dict[str, str]) -> None:
    """Success, other clouds, file systems and conversation get nothing."""
    assert diagnose(text["raw"]) == ()
