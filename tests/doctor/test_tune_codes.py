"""A fine-tune's failure codes: every one has its row, and the worker's last line leads to it, as does how an attempt ended."""

from __future__ import annotations

import json

import pytest

from finetune_image.contract import HOPELESS, Code, Failure
from gemmactl.doctor.diagnose import diagnose
from gemmactl.doctor.finding import Context
from gemmactl.doctor.rows.tune import ENDINGS, ROWS, WHY

TASK = "Task finetune-sql-x7k2p-task0 failed with exit code: {} and message: The container exited with an error."
EXITED = f"\nContainer called exit(1).\n{TASK.format(1)}"


def of(code: Code) -> str:
    return f"finetune-{code.replace('_', '-')}"


def test_both_lists_are_the_same() -> None:
    """One row for each code of the contract, and those of how attempts end."""
    assert set(WHY) == set(Code)
    assert [row.code for row in ROWS] == [*map(of, Code), *(row.code for row in ENDINGS)]


@pytest.mark.parametrize("code", list(Code))
def test_the_last_line_of_each_code_is_recognised(code: Code) -> None:
    """With Cloud Run's complaint after it: the failure is the cause, its place and detail are kept."""
    line = Failure(
        code, "gs://my-bucket/gemmactl/data/ab/data.jsonl:2", "403 CUDA out of memory, whatever", ("try {this}",)
    ).line()
    (only,) = diagnose(line + EXITED)
    assert only.code == of(code)
    assert "data.jsonl:2" in only.evidence
    assert "{" not in only.title + only.cause
    assert only.remedy


@pytest.mark.parametrize("code", list(Code))
def test_a_console_export_of_the_line_is_recognised(code: Code) -> None:
    """The same inside jsonPayload, indented, keys sorted, advice before the code."""
    payload = json.loads(Failure(code, "train.lr", "some detail", ("first advice", "second")).line())
    entry = json.dumps({"jsonPayload": payload, "severity": "ERROR"}, indent=2, sort_keys=True)
    assert [f.code for f in diagnose(entry + EXITED)] == [of(code)]


def test_the_place_is_told_whole() -> None:
    """A place with colons ends where the detail begins."""
    (only,) = diagnose(Failure(Code.DATA_INVALID, "gs://b/data.jsonl:17", "not JSON: Expecting ',' delimiter").line())
    assert only.title == "The data can't be trained on: gs://b/data.jsonl:17"


def test_access_denied_names_the_jobs_account() -> None:
    """The finding is an IAM one for the account that the job runs as, with the narrowest role that writes."""
    line = Failure(Code.ACCESS_DENIED, "gs://my-bucket/gemmactl/runs/sql/1/metrics.jsonl", "403").line()
    (only,) = diagnose(
        line, {}, Context(runtime_account="gt-sql@my-proj.iam.gserviceaccount.com", project="my-proj", bucket="b0b")
    )
    assert only.principal == "serviceAccount:gt-sql@my-proj.iam.gserviceaccount.com"
    assert only.role == "roles/storage.objectUser"


def test_more_retries_help_only_where_another_attempt_may_end_otherwise() -> None:
    """What is hopeless says so; what may pass does not."""
    said = {row.subcategory: bool(row.not_fix) for row in ROWS if row not in ENDINGS}
    assert said == {str(code): code in HOPELESS for code in Code}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (TASK.format(75), "finetune-time-over"),
        ("Container called exit(75).", "finetune-time-over"),
        (TASK.format(143), "task-terminated"),
        ("Container called exit(143).", "task-terminated"),
        ("Terminating task because it has reached the maximum timeout of 3600 seconds.", "task-timeout"),
        ("template.timeout: timeout must be less than or equal to 3600 seconds when using GPU.", "task-timeout-too-long"),
        ("Task timeout of 7200s exceeds the maximum of 3600s when using GPU", "task-timeout-too-long"),
        (
            "GPU zonal redundancy must be disabled in order to set GPU requirements for a job.",
            "gpu-job-redundancy",
        ),
        (TASK.format(1), "job-failed"),
    ],
)
def test_how_a_task_ended(text: str, code: str) -> None:
    """What Cloud Run says of a job and its tasks, each with one finding."""
    assert [found.code for found in diagnose(text)] == [code]
