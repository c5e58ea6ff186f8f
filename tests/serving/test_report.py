"""doctor --report: written whatever happens, for its owner alone, without a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gemmactl.doctor.diagnose import diagnose
from gemmactl.errors import Exit, Trouble
from gemmactl.result import Result
from gemmactl.serving.findings import document
from gemmactl.serving.report import Report, reporting
from gemmactl.settings import Settings, load
from tests.app.shell import inside
from tests.serving.ear import Ear

DENIED = "ERROR: Permission 'iam.serviceaccounts.actAs' denied on service account run-sa@my-proj.iam.gserviceaccount.com"
TOKEN = "hf_" + "abcdefghijklmnop"


def own(folder: Path, text: str = "project: my-proj\n") -> Settings:
    (folder / "gemmactl.yaml").write_text(text, encoding="utf-8")
    return load({"GEMMACTL_REGION": "europe-west4"}, folder, folder)


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_it_holds_versions_origins_findings_and_no_secret(tmp_path: Path) -> None:
    """Tokens, and settings that may hold anything, are not in it; that they are set is."""
    report = Report(own(tmp_path, "project: my-proj\nset-env-vars: {KEY: hush-hush}\n"), {"project": None})
    with reporting(tmp_path / "r", report, Ear()) as told:
        told.ended(Result("doctor", document(diagnose(f"{DENIED} token {TOKEN}")), exit=Exit.FOUND))
    found, text = read(tmp_path / "r"), (tmp_path / "r").read_text(encoding="utf-8")
    assert found["settings"] == {
        "project": {"value": "my-proj", "origin": "gemmactl.yaml"},
        "region": {"value": "europe-west4", "origin": "GEMMACTL_REGION"},
        "set_env_vars": {"value": "(left out)", "origin": "gemmactl.yaml"},
    }
    assert "hush-hush" not in text
    assert TOKEN not in text
    assert "iam.serviceAccounts.actAs" in text
    assert (found["end"]["complete"], found["end"]["exit"], found["versions"]["torch"]) == (True, 6, found["versions"]["torch"])
    assert (tmp_path / "r").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "error",
    [Trouble("the deploy broke", why=f"it said {TOKEN}", remedy="again", code="broke"), KeyboardInterrupt(), ValueError("bug")],
    ids=["trouble", "interrupted", "bug"],
)
def test_it_is_written_when_the_work_raises(tmp_path: Path, error: BaseException) -> None:
    """What was found and the undo lines that were known by then, with the failure, redacted; the error goes on."""
    ear = Ear()

    def work() -> None:
        with reporting(tmp_path / "r", Report(own(tmp_path), {}), ear) as told:
            told.keep({"findings": [{"code": "x"}]})
            told.keep({"undo": ["gcloud take it back"]})
            raise error

    with pytest.raises(type(error)):
        work()
    found = read(tmp_path / "r")
    assert (found["doctor"]["findings"], found["doctor"]["undo"]) == ([{"code": "x"}], ["gcloud take it back"])
    assert found["end"]["complete"] is False
    assert found["end"]["problems"]
    assert TOKEN not in json.dumps(found)
    assert any(said.startswith("written: ") for said in ear.said)


def test_a_name_that_is_taken_costs_nothing(tmp_path: Path) -> None:
    """Refused before any work; what is there stays."""
    (tmp_path / "r").write_text("mine", encoding="utf-8")
    with pytest.raises(Trouble, match="can't be written") as caught, reporting(tmp_path / "r", Report(own(tmp_path), {}), Ear()):
        raise AssertionError("no work may begin")
    assert caught.value.exit is Exit.USAGE
    assert (tmp_path / "r").read_text(encoding="utf-8") == "mine"


def test_a_command_that_fails_at_once_leaves_one(tmp_path: Path) -> None:
    """No project is chosen: exit 2 as before, and the bundle says what was asked and how it ended."""
    ran = inside(tmp_path, "doctor", "--report", str(tmp_path / "r"))
    assert ran.code == Exit.USAGE
    assert read(tmp_path / "r")["end"]["problems"][0]["what"].startswith("no Google Cloud project")
