"""Batches of texts written before any row was looked at, with their answers field by field: a floor for each field."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gemmactl.doctor.diagnose import diagnose
from gemmactl.doctor.finding import Finding

TEXTS: list[dict[str, Any]] = [
    json.loads(line) for line in (Path(__file__).parent / "data" / "fresh.jsonl").read_text(encoding="utf-8").splitlines()
]
FAILURES = [text for text in TEXTS if text["category"]]
FIELDS = {
    "category": "category",
    "subcategory": "subcategory",
    "role": "accept_roles",
    "permission": "permission",
    "principal": "principal",
    "scope": "scope",
    "fix_kind": "fix_kind",
}
"""A finding's field -> the answers' own; a list holds every right answer, and an empty one says that there is to be none."""
FLOOR = 0.97


@pytest.fixture(scope="module")
def answers() -> list[tuple[dict[str, Any], Finding | None]]:
    """Each failure with doctor's first finding."""
    return [(text, next(iter(diagnose(text["raw"])), None)) for text in FAILURES]


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_is_right_nearly_everywhere(field: str, answers: list[tuple[dict[str, Any], Finding | None]]) -> None:
    """Of the texts that settle a field at least 97 % get it right."""
    counted: Counter[bool] = Counter()
    wrong = []
    for text, first in answers:
        if (wanted := text.get(FIELDS[field])) is not None:
            right = first is not None and getattr(first, field) in ((wanted or [""]) if isinstance(wanted, list) else [wanted])
            counted[right] += 1
            wrong += [] if right else [(text["id"], first and getattr(first, field))]
    assert counted[True] >= FLOOR * counted.total(), wrong


def test_none_of_the_harmless_texts_is_taken_for_a_failure() -> None:
    """Other clouds, databases, warnings, success, source code and questions get nothing."""
    assert [text["id"] for text in TEXTS if not text["category"] and diagnose(text["raw"])] == []
