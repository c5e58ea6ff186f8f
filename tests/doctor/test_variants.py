"""Families and variants of our own, apart from the corpus: other texts of the APIs and libraries than the corpus has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gemmactl.doctor.diagnose import diagnose

DATA = Path(__file__).parent / "data"
NAMES = ("variants.jsonl", "families.jsonl", "unseen.jsonl")
PARTS = ("category", "permission", "principal", "role")
"""Those but the first only where the text settles them."""


def texts(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_failures_are_put_into_their_category(name: str) -> None:
    """The first finding has the category, and permission, principal and role where the text tells them."""
    wrong = []
    for text in texts(name):
        if text["category"]:
            first = next(iter(diagnose(text["raw"])), None)
            said = {part: getattr(first, part, None) for part in PARTS if text.get(part)}
            wrong += [(text["raw"][:80], said)] if said != {part: text[part] for part in said} else []
    assert wrong == []


@pytest.mark.parametrize("name", NAMES)
def test_other_worlds_and_good_news_are_no_failures(name: str) -> None:
    """Success, other clouds, file systems and conversation get nothing."""
    harmless = [text["raw"] for text in texts(name) if not text["category"]]
    assert harmless
    assert [raw[:80] for raw in harmless if diagnose(raw)] == []
