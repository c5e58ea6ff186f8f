"""Findings for somebody else: a ticket's text and the redacted bundle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gemmactl.doctor.diagnose import diagnose
from gemmactl.errors import Trouble
from gemmactl.serving.findings import document
from gemmactl.serving.ticket import bundle, ticket, write_report
from gemmactl.settings import load

DENIED = (
    "ERROR: (gcloud.run.deploy) PERMISSION_DENIED: Permission 'iam.serviceaccounts.actAs' denied on service account"
    " run-sa@my-proj.iam.gserviceaccount.com (or it may not exist). This command is authenticated as dev@example.com which is the"
    " active account specified by the [core/account] property."
)
TOKEN = "hf_" + "abcdefghijklmnop"


def test_a_ticket_asks_for_the_least() -> None:
    """Who, which role, on what, why, the command; and that nothing broader is asked for."""
    text = ticket(diagnose(DENIED), "gemma in project my-proj")
    assert "Grant: roles/iam.serviceAccountUser to user:dev@example.com" in text
    assert "nothing broader" in text
    assert "gcloud iam service-accounts add-iam-policy-binding run-sa@my-proj.iam.gserviceaccount.com" in text
    assert "Not this: " in text


def test_an_empty_ticket_says_so() -> None:
    """Without a problem there is nothing to ask for."""
    assert ticket(()).startswith("Nothing for an administrator")


def test_the_bundle_holds_no_secret(tmp_path: Path) -> None:
    """Versions, origins and findings are in it; tokens, and settings that may hold anything, are not."""
    (tmp_path / "gemmactl.yaml").write_text("project: my-proj\nset-env-vars: {KEY: hush-hush}\n", encoding="utf-8")
    settings = load({"GEMMACTL_REGION": "europe-west4"}, tmp_path, tmp_path)
    found = bundle(document(diagnose(f"{DENIED} token {TOKEN}")), settings, {"project": None})
    text = json.dumps(found)
    assert found["settings"] == {
        "project": {"value": "my-proj", "origin": "gemmactl.yaml"},
        "region": {"value": "europe-west4", "origin": "GEMMACTL_REGION"},
        "set_env_vars": {"value": "(left out)", "origin": "gemmactl.yaml"},
    }
    assert "hush-hush" not in text
    assert TOKEN not in text
    assert "iam.serviceAccounts.actAs" in text


def test_a_report_is_its_owners_and_replaces_nothing(tmp_path: Path) -> None:
    """The file is written for its owner alone, and one that is there stays."""
    path = tmp_path / "report.json"
    write_report(path, {"schema": "x", "text": TOKEN})
    assert path.stat().st_mode & 0o077 == 0
    assert TOKEN not in path.read_text(encoding="utf-8")
    with pytest.raises(Trouble, match="can't be written"):
        write_report(path, {})
    assert json.loads(path.read_text(encoding="utf-8"))["schema"] == "x"
