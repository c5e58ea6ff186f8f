"""Data, document and execution of a fine-tune's run on the in-memory cloud."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest

from finetune_image.contract import DONE, RUNS
from finetune_image.run import File, Run, Stop, Wish
from gemmactl import stack_tune
from gemmactl.errors import Trouble
from gemmactl.kernel.apply import apply
from gemmactl.kernel.plan import Op, Plan, make_plan
from gemmactl.resources.cloud import BucketInfo
from gemmactl.resources.execution import Execution
from gemmactl.resources.run_files import DataFile, RunDocument
from gemmactl.tune_spec import Tune
from tests.fakes.cloud import FakeCloud
from tests.fakes.executions import Ending

FOLDER = f"{RUNS}/sql/0123456789ab"
RUN = Run("0123456789ab", "0" * 64, Wish(name="sql"), "gs://bkt", File("gs://bkt/gemmactl/data/ab/sql.jsonl", "ab"))
TUNE = Tune("demo-proj", "us-central1", "sql", "bkt", f"gs://bkt/{FOLDER}", image="x/y@sha256:0")


def _cloud() -> FakeCloud:
    cloud = FakeCloud()
    cloud.storage.create_bucket(BucketInfo("bkt", "us-central1"))
    cloud.ending = Ending(polls=-1)
    return cloud


def _document(run: Run) -> RunDocument:
    return RunDocument.of("bkt", FOLDER, run.text())


def _plan(cloud: FakeCloud, run: Run = RUN) -> Plan:
    data = DataFile("bkt", "gemmactl/data/ab/sql.jsonl", b"{}\n")
    document = replace(_document(run), after=(data.address,))
    tuning = stack_tune.tuning(TUNE)
    job = stack_tune.job_of(tuning)
    start = Execution(job.full_name, TUNE.run_uri, after=(document.address, job.address))
    return make_plan((*tuning, data, document, start), cloud)


def test_a_run_is_made_once() -> None:
    """Data, document, job and execution; then nothing is left to do."""
    cloud = _cloud()
    assert apply(_plan(cloud), cloud).ok
    assert [s.address for s in _plan(cloud).work] == []
    assert [c.name for c in cloud.calls if c.name == "jobs.run"] == ["jobs.run"]


def test_an_ended_execution_is_started_again_unless_the_run_is_done() -> None:
    """The same command goes on with a run that was interrupted; a run with its result stays as it is."""
    cloud = _cloud()
    apply(_plan(cloud), cloud)
    first = next(iter(cloud.state.executions))
    cloud.jobs.end(first, 75)
    assert [s.address for s in _plan(cloud).work] == ["execution of finetune-sql"]
    apply(_plan(cloud), cloud)
    assert len(cloud.state.executions) == 2
    for name in list(cloud.state.executions):
        cloud.jobs.end(name)
    cloud.storage.write("bkt", f"{FOLDER}/{DONE}", b"{}")
    assert _plan(cloud).work == ()


def test_a_larger_budget_is_a_change_of_the_document() -> None:
    """The setting is named with both values; attempts that begin later read it."""
    cloud = _cloud()
    apply(_plan(cloud), cloud)
    more = replace(RUN, wish=replace(RUN.wish, stop=Stop(max_usd=9.0)))
    (step,) = _plan(cloud, more).work
    assert step.op is Op.UPDATE
    assert [(c.field, c.live, c.wanted, c.effect) for c in step.changes] == [
        ("stop.max_usd", "null", "9.0", "from the next attempt on")
    ]
    assert apply(_plan(cloud, more), cloud).ok
    assert Run.parse(cloud.storage.read("bkt", f"{FOLDER}/run.json") or b"") == more


def test_a_document_that_can_not_be_read_is_replaced() -> None:
    """Half a file is no wish."""
    cloud = _cloud()
    cloud.storage.write("bkt", f"{FOLDER}/run.json", b'{"wish": 3')
    assert make_plan((_document(RUN),), cloud).steps[0].op is Op.UPDATE


def test_an_execution_is_only_started_of_this_run() -> None:
    """A job that is about another run by now is not started: somebody else's fine-tune of the same name."""
    cloud = _cloud()
    apply(_plan(cloud), cloud)
    for name in list(cloud.state.executions):
        cloud.jobs.end(name, 1)
    job = stack_tune.job_of(stack_tune.tuning(TUNE))
    other = Execution(job.full_name, f"gs://bkt/{RUNS}/sql/ffffffffffff")
    outcome = apply(make_plan((other,), cloud), cloud)
    assert next(iter(outcome.failed.values())).code == "job-changed"
    assert len(cloud.state.executions) == 1


def test_data_that_came_between_is_the_same_data() -> None:
    """Its name is its content: whoever wrote it first, wrote this."""
    cloud = _cloud()
    one = DataFile("bkt", "gemmactl/data/ab/sql.jsonl", b"{}\n")
    plan = make_plan((one,), cloud)
    cloud.storage.write("bkt", one.name, b"{}\n")
    assert apply(plan, cloud).ok


@pytest.mark.parametrize("one", [DataFile("bkt", "x"), _document(RUN), Execution("j", "gs://bkt/x")])
def test_none_of_them_is_ever_deleted(one: DataFile | RunDocument | Execution) -> None:
    """They are kept by every destroy."""
    assert one.lasting
    with pytest.raises(TypeError):
        one.delete(_cloud(), one, None)  # type: ignore[arg-type]  # nobody works
    assert not any(f.compare for f in dataclasses.fields(one) if f.name in ("content", "text", "after", "generation"))
    assert issubclass(Trouble, Exception)
