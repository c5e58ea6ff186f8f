"""finetune cancel and resume: marks before executions, nothing that was trained is lost, one run of a name at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finetune_image.contract import CANCELLED, DONE, ENV_RUN, FAILED
from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.resource import Clock
from gemmactl.resources.job import Job
from gemmactl.tune.find import variable
from gemmactl.tune.status import status
from gemmactl.tune.steering import cancel, resume
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import Ear, place
from tests.tune import desk

STILL = Clock(sleep=lambda _: None)


def running() -> tuple[FakeCloud, str]:
    """A run that is half way, and its execution."""
    cloud = desk.cloud()
    desk.with_run(cloud)
    desk.with_job(cloud)
    desk.trained(cloud)
    return cloud, desk.started(cloud)


def test_a_cancelled_run_stands_still_and_keeps_what_it_has() -> None:
    """The mark, then the end of the execution; checkpoints, metrics and attempts stay."""
    cloud, execution = running()
    before = desk.objects(cloud)
    cloud.calls.clear()
    done = cancel(place(cloud), None, Ear(), STILL, yes=True)
    assert [call.name for call in cloud.writes] == ["storage.write", "jobs.cancel"]
    assert desk.objects(cloud) == {*before, CANCELLED}
    (ended,) = done.data["executions"]
    assert (ended["execution"], ended["state"]) == (execution.rpartition("/")[2], "cancelled")
    assert done.next == (f"gemmactl finetune resume {desk.NAME} --project demo-proj",)
    assert "checkpoint of step 12" in str(done.blocks)


def test_what_is_saved_on_the_way_out_is_told() -> None:
    """The checkpoint that the worker makes within its ten seconds is the one that resume goes on from."""
    cloud, execution = running()
    before = cloud.jobs.cancel

    class Saving(type(cloud.jobs)):  # type: ignore[misc]  # the fake's own class
        def cancel(self, name: str) -> str:
            desk.put(cloud, "checkpoints/step-000033/COMPLETE", {"step": 33})
            return before(name)

    cloud.jobs = Saving(cloud)
    assert "checkpoint of step 33" in str(cancel(place(cloud), None, Ear(), STILL, yes=True).blocks)
    assert "completionTime" in cloud.state.executions[execution]


def test_cancelling_twice_changes_nothing_more() -> None:
    """And says so."""
    cloud, _ = running()
    cancel(place(cloud), desk.NAME, Ear(), STILL, yes=True)
    cloud.calls.clear()
    again = cancel(place(cloud), desk.NAME, Ear(), STILL, yes=True)
    assert (cloud.writes, again.data["changed"]) == ([], False)


def test_an_execution_that_ends_by_itself_meanwhile() -> None:
    """Cloud Run refuses to cancel it, which is no fault."""
    cloud, execution = running()

    def ends(_: float) -> None:
        raise AssertionError("it is over already")

    cloud.jobs.end(execution)
    cloud.state.executions[execution].pop("completionTime")  # the list was read a moment before
    ended = dict(cloud.state.executions[execution], completionTime="2026-11-22T12:30:00Z")
    original = cloud.jobs.cancel

    class Racing(type(cloud.jobs)):  # type: ignore[misc]  # the fake's own class
        def cancel(self, name: str) -> str:
            cloud.state.executions[name] = ended
            return original(name)

    cloud.jobs = Racing(cloud)
    assert cancel(place(cloud), desk.NAME, Ear(), Clock(sleep=ends), yes=True).data["executions"][0]["state"] == "succeeded"


@pytest.mark.parametrize("verb", ["cancel", "resume"])
def test_a_run_that_is_done_is_left_alone(verb: str) -> None:
    """Refused, with the line that serves it; nothing is written."""
    cloud, execution = running()
    cloud.jobs.end(execution)
    desk.put(cloud, DONE, {})
    cloud.calls.clear()
    with pytest.raises(Trouble) as caught:
        cancel(place(cloud), None, Ear(), STILL, yes=True) if verb == "cancel" else resume(
            place(cloud), None, None, Ear(), yes=True
        )
    assert (caught.value.code, caught.value.exit, cloud.writes) == ("run-done", Exit.REFUSED, [])
    assert caught.value.remedy.startswith(f"gemmactl deploy gs://{desk.BUCKET}/gemmactl/models/sql/{desk.RUN_ID}")


def test_a_failed_run_goes_on() -> None:
    """What it failed of is told, its marks are gone before the job is started, the job itself is not touched."""
    cloud, execution = running()
    cloud.jobs.end(execution, 1)
    desk.put(cloud, FAILED, {"code": "out_of_gpu_memory", "where": "step 3", "detail": "no room", "advice": ["lower it"]})
    desk.put(cloud, CANCELLED, {})
    cloud.calls.clear()
    done = resume(place(cloud), None, None, Ear(), yes=True)
    assert [call.name for call in cloud.writes] == ["storage.delete", "storage.delete", "jobs.run"]
    assert not {FAILED, CANCELLED} & desk.objects(cloud)
    assert "it had failed: out_of_gpu_memory: step 3: no room" in str(done.blocks)
    assert "step 12" in str(done.blocks)
    assert done.data["execution"]["state"] == "running"


def test_resuming_what_runs_is_no_second_start() -> None:
    """It is under way."""
    cloud, execution = running()
    cloud.calls.clear()
    done = resume(place(cloud), None, None, Ear(), yes=True)
    assert (cloud.writes, done.data["execution"]["execution"]) == ([], execution.rpartition("/")[2])


def test_an_older_run_of_the_name() -> None:
    """The job is pointed to it, with its label; everything else of the job stays."""
    cloud, execution = running()
    cloud.jobs.end(execution)
    desk.with_run(cloud, "ffffffffffff")
    wish = Job(desk.PROJECT, desk.REGION, "finetune-sql")
    before = wish.read(cloud)
    resume(place(cloud), desk.NAME, "ffffffffffff", Ear(), yes=True)
    after, body = wish.read(cloud), cloud.jobs.get(desk.JOB) or {}
    assert variable(body, ENV_RUN) == f"gs://{desk.BUCKET}/{desk.folder('ffffffffffff')}"
    assert body["labels"]["gemmactl-run"] == "ffffffffffff"
    assert before is not None
    assert after is not None
    assert replace(after, containers=before.containers, labels=before.labels) == before


def test_a_spent_budget_is_raised_by_run() -> None:
    """Resumed, the run would end at the same limit: nothing is started, and the flags that raise it are named."""
    cloud, execution = running()
    cloud.jobs.end(execution, 1)
    desk.put(cloud, FAILED, {"code": "budget_spent", "where": "stop", "detail": "max_usd 1 was spent"})
    cloud.calls.clear()
    with pytest.raises(Trouble) as caught:
        resume(place(cloud), None, None, Ear(), yes=True)
    assert (caught.value.code, caught.value.exit, cloud.writes) == ("budget-spent", Exit.REFUSED, [])
    assert "--max-usd" in caught.value.remedy
    assert "resume" not in str(status(place(cloud), None).next)


def test_what_was_saved_at_the_end_is_told() -> None:
    """Cancelled, a worker saves once more: that step is the one named."""
    cloud, _ = running()
    original = cloud.jobs.cancel

    class Saving(type(cloud.jobs)):  # type: ignore[misc]  # the fake's own class
        def cancel(self, name: str) -> str:
            desk.put(cloud, "checkpoints/step-000020/COMPLETE", {"step": 20})
            return original(name)

    cloud.jobs = Saving(cloud)
    assert "checkpoint of step 20" in str(cancel(place(cloud), None, Ear(), STILL, yes=True).blocks)


def test_one_run_of_a_name_at_a_time() -> None:
    """Another one is refused while the job's own is under way."""
    cloud, _ = running()
    desk.with_run(cloud, "ffffffffffff")
    with pytest.raises(Trouble) as caught:
        resume(place(cloud), desk.NAME, "ffffffffffff", Ear(), yes=True)
    assert caught.value.code == "run-under-way"


def test_a_job_that_is_gone_and_a_run_that_is_not_there() -> None:
    """Each says what is there instead."""
    cloud = desk.cloud()
    desk.with_run(cloud)
    with pytest.raises(Trouble) as caught:
        resume(place(cloud), None, None, Ear(), yes=True)
    assert caught.value.code == "job-missing"
    with pytest.raises(Trouble) as caught:
        resume(place(cloud), None, "nope", Ear(), yes=True)
    assert caught.value.why == f"its runs, the newest first: {desk.RUN_ID}"


def test_the_codelabs_job_is_only_started() -> None:
    """It names no run: the worker finds it by what it is to train."""
    cloud = desk.cloud()
    desk.with_job(cloud, BUCKET_NAME=desk.BUCKET, NEW_MODEL=desk.NAME)
    done = resume(place(cloud), None, None, Ear(), yes=True)
    assert (done.data["run"], done.data["execution"]["state"]) == ("", "running")
    desk.with_run(cloud)
    cancel(place(cloud), None, Ear(), STILL, yes=True)
    cloud.calls.clear()
    resume(place(cloud), None, None, Ear(), yes=True)
    assert [call.name for call in cloud.writes] == ["storage.delete", "storage.delete", "jobs.run"]


@pytest.mark.parametrize("verb", ["cancel", "resume"])
def test_nothing_is_written_before_a_yes(verb: str) -> None:
    """What will happen is in the question; a no, or nobody to ask, leaves marks, job and executions as they are."""
    cloud, execution = running()
    if verb == "resume":
        cloud.jobs.end(execution, 1)
        desk.put(cloud, FAILED, {"code": "out_of_gpu_memory", "where": "step 3", "detail": "no room", "advice": []})
    for ear, code in ((Ear(yes=False), "not-confirmed"), (Ear(), "usage")):
        cloud.calls.clear()
        with pytest.raises(Trouble) as caught:
            cancel(place(cloud), None, ear, STILL) if verb == "cancel" else resume(place(cloud), None, None, ear)
        assert (caught.value.code, cloud.writes) == (code, [])
        assert verb == "cancel" or any("it had failed: out_of_gpu_memory" in line for line in ear.said)
