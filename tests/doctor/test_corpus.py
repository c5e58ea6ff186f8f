"""The shared corpus of real error texts: what doctor says against the right answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gemmactl.doctor.diagnose import diagnose
from gemmactl.doctor.finding import Context

ENTRIES: list[dict[str, Any]] = [
    json.loads(line) for line in (Path(__file__).parent / "data" / "errors.train.jsonl").read_text(encoding="utf-8").splitlines()
]
FIXES = [e for e in ENTRIES if e["expect"] == "fix"]
HARMLESS = [e for e in ENTRIES if e["expect"] == "none"]
NOT_IN_TEXT = {
    "iam-013": "the text has no project number, and the default account's name starts with it",
    "iam-038": "the text has no project number, and the agent's name starts with it",
}
"""Entries whose principal can't be known from the text alone."""


def _ids(entries: list[dict[str, Any]]) -> list[str]:
    return [e["id"] for e in entries]


@pytest.mark.parametrize("entry", FIXES, ids=_ids(FIXES))
def test_the_first_finding_is_the_right_one(entry: dict[str, Any]) -> None:
    """Category, permission, role and principal of the first finding are the corpus's."""
    found = diagnose(entry["raw"])
    assert found
    first = found[0]
    assert first.category == entry["category"]
    if entry["accept_roles"]:
        assert first.role in entry["accept_roles"]
    else:
        assert first.role == ""
    if entry["missing_permission"]:
        assert first.permission == entry["missing_permission"]
    if entry["principal"] and entry["id"] not in NOT_IN_TEXT:
        assert first.principal == entry["principal"]


@pytest.mark.parametrize("entry", [e for e in FIXES if e["also"]], ids=_ids([e for e in FIXES if e["also"]]))
def test_a_second_error_in_the_same_text_is_found_too(entry: dict[str, Any]) -> None:
    """Where the corpus knows a second diagnosis with a permission, one of the findings has it, or names it in its remedy."""
    found = diagnose(entry["raw"])
    for also in entry["also"]:
        if permission := also.get("missing_permission"):
            role = also["least_privilege_role"].rpartition(".")[2]
            assert any(f.permission == permission or role in f.remedy or "service agent" in f.remedy for f in found)


@pytest.mark.parametrize("entry", HARMLESS, ids=_ids(HARMLESS))
def test_harmless_text_gets_no_finding(entry: dict[str, Any]) -> None:
    """Warnings, progress, other clouds, quoted text and tests' source code are no failures."""
    assert diagnose(entry["raw"]) == ()
    known = Context(project="my-proj", number="123456789012", region="us-central1", caller="user:dev@example.com")
    assert diagnose(entry["raw"], {}, known) == ()


@pytest.mark.parametrize(
    "entry", [e for e in FIXES if e["category"] != "iam"], ids=_ids([e for e in FIXES if e["category"] != "iam"])
)
def test_what_is_not_about_roles_gets_no_grant(entry: dict[str, Any]) -> None:
    """27 such texts say 403 or denied: none of their findings carries a role or a binding."""
    first = diagnose(entry["raw"], {}, Context(project="my-proj", number="123456789012"))[0]
    assert first.role == ""
    assert not any("add-iam-policy-binding" in c for c in first.commands)
    assert all(r.kind != "iam_member" for r in first.remedies)
