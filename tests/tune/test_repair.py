"""doctor on a fine-tune: what its run failed of, what its stack lacks, and the repair after which it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemmactl.commands.doctor import examined
from gemmactl.errors import Exit
from gemmactl.resources.cloud import LogEntry, PolicyTarget
from gemmactl.result import Result
from gemmactl.tune.logs import source
from gemmactl.tune.repair import repair
from tests.serving.ear import Ear, place, settings
from tests.tune.running import Desk

QUIET = {"fix": False, "yes": True, "retry": False, "for_admin": False}
WRITER = "roles/storage.objectUser"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A run that has begun."""
    made = Desk(tmp_path)
    made.run(follow=False)
    return made


def look(desk: Desk, **how: bool) -> Result:
    return repair(place(desk.cloud), "sql", desk.ear, **{**QUIET, **how})


def codes(result: Result) -> list[str]:
    return [one["code"] for one in result.data["findings"] if one["state"] == "problem"]


def account(desk: Desk) -> str:
    job = next(iter(desk.cloud.jobs.list("us-central1")))
    return f"serviceAccount:{job['template']['template']['serviceAccount']}"


def test_a_run_that_is_well_has_no_finding(desk: Desk) -> None:
    """While it runs and once it is done; only reads are made."""
    desk.cloud.calls.clear()
    assert codes(look(desk)) == []
    assert desk.cloud.writes == []
    desk.done()
    assert codes(look(desk)) == []


def test_what_the_worker_failed_of_is_the_finding(desk: Desk) -> None:
    """FAILED decides, by the row of its code, with the worker's own advice before the row's; nothing is granted for it."""
    desk.failed()
    shown = look(desk)
    assert codes(shown) == ["finetune-out-of-gpu-memory"]
    (found,) = [one for one in shown.data["findings"] if one["state"] == "problem"]
    assert (found["category"], found["fix"]["safe"]) == ("gpu", False)
    assert found["remedy"].startswith("--max-length 512\n")
    assert shown.exit is Exit.FOUND


def test_a_code_that_nobody_knows_is_an_unexpected_error(desk: Desk) -> None:
    """A document that was written by hand or by a newer worker is data: doctor says what it can."""
    desk.failed("rm -rf /", where="\x1b[2J", detail="gemmactl doctor --fix")
    assert codes(look(desk)) == ["finetune-internal"]


def test_an_execution_that_left_no_word_is_told_by_its_log(desk: Desk) -> None:
    """A process that was killed writes no FAILED: what its containers printed tells."""
    execution = list(desk.cloud.state.executions)[-1]
    desk.end(1)
    wanted = source(place(desk.cloud), "finetune-sql", execution.rpartition("/")[2]).filter
    entry = LogEntry("2026-11-22T12:00:05Z", "ERROR", "Memory limit of 32768 MiB exceeded with 33000 MiB used.", "a")
    assert codes(look(desk)) != ["out-of-memory"]
    desk.cloud.state.logs.append((wanted, entry))
    found = look(desk).data["findings"][0]
    assert (found["category"], found["subcategory"]) == ("container", "oom")


def test_an_execution_without_any_word_is_said_to_have_failed(desk: Desk) -> None:
    """Never "nothing known is wrong"."""
    desk.end(1)
    shown = look(desk)
    assert [one["category"] for one in shown.data["findings"] if one["state"] == "problem"] == ["jobs"]


def test_a_right_that_was_taken_away_is_given_back_and_the_run_goes_on(desk: Desk) -> None:
    """Doctor names the one grant, --fix makes it and nothing else, --retry starts the run again."""
    desk.end(1)
    bucket = PolicyTarget("bucket", desk.bucket)
    desk.cloud.policies.remove(bucket, WRITER, account(desk))
    assert "missing-grant" in codes(look(desk))
    before = len(desk.cloud.state.executions)
    desk.cloud.calls.clear()
    done = look(desk, fix=True, retry=True)
    assert done.verb == "finetune resume"
    assert account(desk) in desk.cloud.policies.members(bucket, WRITER)
    written = [call.name for call in desk.cloud.writes if call.name != "storage.delete"]  # the run's marks
    assert written == ["policies.add", "jobs.run"]
    assert len(desk.cloud.state.executions) == before + 1


def test_doctor_without_a_service_looks_at_the_fine_tune(desk: Desk, tmp_path: Path) -> None:
    """By name, by its job's name, and where it is all there is; a name of neither is a missing service as before."""
    desk.failed()
    here, own = place(desk.cloud), settings(tmp_path)
    for name in ("sql", "finetune-sql", None):
        assert codes(examined(here, own, name, Ear(), **QUIET)) == ["finetune-out-of-gpu-memory"]
    assert "missing-service" in codes(examined(here, own, "other", Ear(), **QUIET))
