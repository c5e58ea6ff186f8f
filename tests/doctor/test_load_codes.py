"""The engine's failure codes: every one has its row, and its log line leads to it."""

from __future__ import annotations

import json

import pytest

from gemmactl.doctor.diagnose import diagnose
from gemmactl.doctor.finding import Context
from gemmactl.doctor.rows.load import ROWS, WHY
from inference_image.contract import Code, LoadFailure


def test_both_lists_are_the_same() -> None:
    """One row for each code of the contract, none more."""
    assert set(WHY) == set(Code)
    assert [row.subcategory for row in ROWS] == [str(code) for code in Code]


@pytest.mark.parametrize("code", list(Code))
def test_the_log_line_of_each_code_is_recognised(code: Code) -> None:
    """The line that the container prints last gives exactly its own row, with the object's name in the evidence."""
    line = LoadFailure(code, "model-00007-of-00010.safetensors", "gs://my-models/gemma: 403 or whatever it was").line()
    (only,) = diagnose(line)
    assert only.code == f"load-{code.replace('_', '-')}"
    assert "model-00007" in only.evidence
    assert only.cause
    assert only.remedy


@pytest.mark.parametrize("code", list(Code))
def test_a_console_export_of_the_line_is_recognised(code: Code) -> None:
    """The same inside jsonPayload, indented, keys sorted, with the probe's complaint after it: the refusal is the cause."""
    payload = json.loads(LoadFailure(code, "config.json", "some detail").line())
    entry = json.dumps({"jsonPayload": payload, "severity": "ERROR"}, indent=2, sort_keys=True)
    text = (
        entry
        + '\nContainer called exit(3).\nDefault STARTUP TCP probe failed 1 time consecutively for container "s" on port 8080.'
    )
    assert [f.code for f in diagnose(text)] == [f"load-{code.replace('_', '-')}"]


def test_access_denied_names_the_runtime_account() -> None:
    """The model can't be read: the finding is an IAM one for the service's own account."""
    line = LoadFailure(Code.ACCESS_DENIED, "gs://my-models/gemma/config.json", "403").line()
    (only,) = diagnose(line, {}, Context(runtime_account="serve@my-proj.iam.gserviceaccount.com", project="my-proj"))
    assert only.principal == "serviceAccount:serve@my-proj.iam.gserviceaccount.com"
    assert (only.role, only.permission) == ("roles/storage.objectViewer", "storage.objects.get")


def test_a_failure_to_load_is_not_cured_by_a_longer_probe() -> None:
    """Every row says so."""
    assert all(any("probe" in wrong for wrong in row.not_fix) for row in ROWS)
