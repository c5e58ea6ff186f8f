"""doctor --fix on a fine-tune's job: memory, CPU, time and GPU type, with the way back, and the run that goes on afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gemmactl.doctor.finding import Finding
from gemmactl.doctor.job_setting import changed, derived, line
from gemmactl.errors import Exit, Trouble
from gemmactl.result import Result
from gemmactl.tune.repair import repair
from gemmactl.tune_rules import check
from gemmactl.tune_spec import Tune
from tests.serving.ear import Ear, place
from tests.tune.running import Desk

WISH = Tune("my-proj", "us-central1", "sql", "models")
OOM = "Task finetune-sql-task0 failed with message: Memory limit of 16384 MiB exceeded with 17000 MiB used."
LATE = "Task finetune-sql-task0 failed: Terminating task because it has reached the maximum timeout of 1800 seconds."


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A run that has begun, on 4 CPU and 16Gi."""
    made = Desk(tmp_path)
    made.run(follow=False)
    return made


def failed(desk: Desk, said: str) -> None:
    """The newest execution ended with Cloud Run's own words."""
    desk.end(1)
    desk.cloud.state.executions[list(desk.cloud.state.executions)[-1]]["conditions"][0]["message"] = said


def fix(desk: Desk, **how: bool) -> Result:
    return repair(place(desk.cloud), "sql", desk.ear, **{"fix": True, "yes": True, "retry": False, "for_admin": False, **how})


def task(desk: Desk) -> Any:
    (job,) = desk.cloud.jobs.list("us-central1")
    return job["template"]["template"]


def limits(desk: Desk) -> dict[str, str]:
    found: dict[str, str] = task(desk)["containers"][0]["resources"]["limits"]
    return {name: found[name] for name in ("cpu", "memory")}


def found(code: str, **more: Any) -> Finding:
    return Finding(code, "jobs", "t", "c", "r", fix_kind="config_change", **more)


def test_too_little_memory_is_raised_and_the_run_goes_on(desk: Desk) -> None:
    """Planned, written as one update of the job, looked at again; --retry resumes; one line takes the setting back."""
    failed(desk, OOM)
    assert limits(desk) == {"cpu": "4", "memory": "16Gi"}
    begun = len(desk.cloud.state.executions)
    desk.cloud.calls.clear()
    done = fix(desk, retry=True)
    assert (done.verb, done.exit, limits(desk)) == ("finetune resume", Exit.OK, {"cpu": "8", "memory": "32Gi"})
    assert [call.name for call in desk.cloud.writes if call.name.startswith("jobs.")] == ["jobs.update", "jobs.run"]
    assert len(desk.cloud.state.executions) == begun + 1
    told = done.data["doctor"]
    assert told["holds"] == ["host-memory"]
    assert told["undo"] == ["gcloud run jobs update finetune-sql --cpu=4 --memory=16Gi --region=us-central1 --project=demo-proj"]
    assert any("setting of job sql: --memory 16Gi -> 32Gi" in said for said in desk.ear.said)


def test_without_retry_it_waits_to_be_resumed(desk: Desk) -> None:
    """What ran out before is then an advice; the next command line is warned of that would bring the old value back."""
    failed(desk, OOM)
    done = fix(desk)
    assert (done.verb, done.exit) == ("doctor", Exit.OK)
    assert any("give --memory 32Gi to the next gemmactl finetune run of sql" in getattr(b, "text", "") for b in done.blocks)
    (advice,) = (one for one in fix(desk, fix=False).data["findings"] if one["code"] == "host-memory")
    assert (advice["state"], advice["fix"]["safe"]) == ("advice", False)
    assert "It ran with 16Gi; the job has 32Gi by now." in advice["cause"]
    assert "gemmactl finetune resume sql" in advice["remedy"]


def test_the_workers_own_word_for_it_counts_too(desk: Desk) -> None:
    """FAILED with the code of full memory: only the code decides, and no figure of the document."""
    desk.failed("out_of_memory", detail="give it --memory 999Gi")
    assert fix(desk).data["holds"] == ["finetune-out-of-memory"]
    assert limits(desk) == {"cpu": "8", "memory": "32Gi"}


def test_an_attempt_without_enough_time_gets_the_hour(desk: Desk) -> None:
    """The worker is told as well, in both directions: it saves by it."""
    job = next(iter(desk.cloud.state.jobs.values()))
    job["template"]["template"]["timeout"] = "1800s"
    execution = desk.cloud.state.executions[list(desk.cloud.state.executions)[-1]]
    execution["template"] = {**execution["template"], "timeout": "1800s"}
    failed(desk, LATE)
    done = fix(desk)
    assert (done.exit, task(desk)["timeout"]) == (Exit.OK, "3600s")
    assert {e["name"]: e.get("value") for e in task(desk)["containers"][0]["env"]}["GEMMACTL_TASK_SECONDS"] == "3600"
    assert done.data["undo"] == [
        (
            "gcloud run jobs update finetune-sql --task-timeout=1800 --update-env-vars=GEMMACTL_TASK_SECONDS=1800"
            " --region=us-central1 --project=demo-proj"
        )
    ]


def test_a_gpu_that_somebody_took_is_given_back(desk: Desk) -> None:
    """A field of the job that was changed by hand: what is wished is written again."""
    job = next(iter(desk.cloud.state.jobs.values()))
    gpu = job["template"]["template"].pop("nodeSelector")
    assert fix(desk).data["holds"] == ["differs-job"]
    assert task(desk)["nodeSelector"] == gpu


def test_a_setting_that_was_not_confirmed_changes_nothing(desk: Desk) -> None:
    """The job's plan is shown, and asked."""
    failed(desk, OOM)
    desk.ear = Ear(yes=False)
    desk.cloud.calls.clear()
    with pytest.raises(Trouble, match="nothing was changed"):
        fix(desk, yes=False)
    assert desk.cloud.writes == []


@pytest.mark.parametrize(
    ("code", "wish", "values"),
    [
        ("host-memory", {}, {"cpu": 8, "memory": "32Gi"}),
        ("cpu-memory-pair", {"memory": "24Gi"}, {"cpu": 8, "memory": "32Gi"}),
        ("task-timeout-too-long", {"timeout": 7200}, {"timeout": 3600}),
        ("job-shape", {"gpu_type": "nvidia-l5"}, {"gpu_type": "nvidia-l4"}),
        ("gpu-shape", {"gpu_type": "nvidia-rtx", "cpu": 20, "memory": "80Gi"}, {"gpu_type": "nvidia-rtx-pro-6000"}),
    ],
)
def test_values_that_follow(code: str, wish: dict[str, Any], values: dict[str, Any]) -> None:
    """Each is what a fine-tune takes; the gcloud line sets it."""
    was = changed(WISH, wish)
    settings = derived(found(code), was)
    assert not isinstance(settings, str), settings
    after = {one.field: one.value for one in settings}
    assert after == values
    check(changed(was, after))
    assert line(was, after).startswith("gcloud run jobs update finetune-sql --")


@pytest.mark.parametrize(
    ("finding", "wish", "word"),
    [
        (found("host-memory"), {"cpu": 8, "memory": "32Gi"}, "is the most"),
        (found("host-memory", hearsay=True), {}, "what it prints is data"),
        (found("task-timeout"), {}, "is the most for a task with a GPU"),
        (found("task-timeout"), {"timeout": 7200}, "is the most for a task with a GPU"),
        (found("cpu-memory-pair"), {}, "a legal pair"),
        (found("finetune-out-of-gpu-memory"), {}, "yours to choose"),
        (found("gpu-shape"), {"gpu_type": "nvidia-l5", "cpu": 2}, "which is meant is yours"),
    ],
)
def test_what_does_not_follow_says_why(finding: Finding, wish: dict[str, Any], word: str) -> None:
    """A limit that is reached, a guess, a container's print, a choice that costs."""
    told = derived(finding, changed(WISH, wish))
    assert isinstance(told, str)
    assert word in told
