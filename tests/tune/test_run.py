"""finetune run on the in-memory cloud: from a file to the deploy line, and every way that ends elsewhere."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from finetune_image.contract import ENV_RUN, RUN_FILE, RUNS
from finetune_image.run import Run
from gemmactl.checkpoint.files import DirectoryFiles
from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.events import Progress
from gemmactl.result import Facts
from gemmactl.serving.explain import causes
from gemmactl.tune.run import VERB
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import SAMPLE, Ear
from tests.tune.running import ROWS, Desk, train

CANARY = "hf_CANARYcanaryCANARYcanary"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def _refused(desk: Desk, **flags: Any) -> Trouble:
    with pytest.raises(Trouble) as caught:
        desk.run(**flags)
    return caught.value


def test_a_file_becomes_a_run_that_is_followed_to_its_deploy_line(desk: Desk) -> None:
    """Plan, data by content, run.json, job, one execution; progress; the command that serves the result."""
    desk.played = [lambda: desk.tell(train(10, 2.0)), desk.done]
    result = desk.run()
    run_id = desk.run_ids[0]
    model = f"gs://{desk.bucket}/gemmactl/models/sql/{run_id}"
    assert result.next == (f"gemmactl deploy {model} --name sql --project demo-proj",)
    assert (result.exit, result.data["state"], result.data["usd"]) == (Exit.OK, "done", 0.1)
    assert any(line.startswith("+ execution of finetune-sql") for line in desk.ear.said)
    steps = [e for e in desk.ear.told if isinstance(e, Progress) and e.address == f"run sql/{run_id}"]
    assert [s.text for s in steps] == ["starting", "training 10/40", "training 40/40"]
    assert (steps[1].fraction, "loss 2.000" in steps[1].detail) == (0.25, True)
    run = Run.parse(desk.cloud.storage.read(desk.bucket, f"{RUNS}/sql/{run_id}/{RUN_FILE}") or b"")
    assert run.run_id == run.identity[:12] == run_id
    bucket, _, name = run.train.uri.removeprefix("gs://").partition("/")
    assert (desk.cloud.storage.read(bucket, name) or b"").decode() == ROWS
    assert run.pins.keys() >= {"config.json", "model.safetensors.index.json"}
    facts = next(block for block in result.blocks if isinstance(block, Facts))
    assert dict(facts.rows)["held-out loss"] == "1.250, before 2.500"


def test_the_same_command_joins_and_then_says_that_it_is_done(desk: Desk) -> None:
    """One execution, nothing written twice; --again is another run beside it."""
    desk.run(follow=False)
    desk.cloud.calls.clear()
    assert desk.run(follow=False, yes=False).data["changes"] == 0
    assert desk.cloud.writes == []
    desk.done()
    desk.cloud.calls.clear()
    assert desk.run().data["state"] == "done"
    assert desk.cloud.writes == []
    first = desk.run_ids
    desk.run(follow=False, again=True)
    assert len(desk.run_ids) == 2
    assert set(first) < set(desk.run_ids)
    desk.run(follow=False, again=True)
    assert len(desk.run_ids) == 2, "--again joins what it has begun"


def test_an_interrupted_run_goes_on(desk: Desk) -> None:
    """Its execution was lost; the same command starts another one of the same run."""
    desk.run(follow=False)
    desk.attempt(why="terminated")
    desk.end(143)
    desk.played = [desk.done]
    assert desk.run().exit is Exit.OK
    assert (len(desk.run_ids), len(desk.cloud.state.executions)) == (1, 2)


def test_a_failure_is_told_in_the_worker_s_words(desk: Desk) -> None:
    """Exit 1, code, place, advice and the way on; the same command again refuses before it changes anything."""
    desk.played = [desk.failed]
    caught = _refused(desk)
    assert (caught.exit, caught.code) == (Exit.FAILURE, "finetune-failed")
    assert (caught.what.endswith("failed: out_of_gpu_memory: step 3"), caught.why) == (True, "24 GB are full")
    assert caught.remedy.splitlines()[0] == "--max-length 512"
    assert [one.facts["finding"]["code"] for one in causes(caught)] == ["finetune-out-of-gpu-memory"], "doctor knows the code"
    desk.cloud.calls.clear()
    assert _refused(desk).exit is Exit.REFUSED
    assert desk.cloud.writes == []


def test_a_larger_budget_lets_a_spent_run_go_on(desk: Desk) -> None:
    """The budget is no part of a run's identity: its document changes, the mark of failure goes, it is started."""
    desk.played = [lambda: desk.failed("budget_spent")]
    caught = _refused(desk, max_usd=0.001)
    assert "resume" not in caught.remedy
    assert any("$0.001: it saves" in line for line in desk.ear.said)
    desk.played = [desk.done]
    assert desk.run(max_usd=5.0).exit is Exit.OK
    assert len(desk.run_ids) == 1
    assert any("stop.max_usd: 0.001 -> 5.0 (from the next attempt on)" in line for line in desk.ear.said)


def test_a_run_that_its_budget_cut_off_is_done_and_says_so(desk: Desk) -> None:
    """What it had was published; more of it is another run."""
    desk.run(follow=False, max_usd=1.0)
    desk.put("DONE", json.dumps({"figures": {"ended": "budget", "step": 9, "max_steps": 40}}).encode())
    desk.end()
    assert desk.run(max_usd=9.0).data["state"] == "done"
    assert any("cut off by max_usd or max_hours; --again" in line for line in desk.ear.said)


def test_words_of_a_worker_are_data(desk: Desk) -> None:
    """Control characters and odd types in FAILED are shown as text, never obeyed, never a crash."""
    desk.run(follow=False)
    desk.failed(code="\x1b[2Jx", detail=["a"], advice="rm -rf")
    caught = _refused(desk)
    assert "\x1b" not in f"{caught.what}{caught.why}{caught.remedy}"
    assert caught.facts["finetune_failed"]["code"] == "internal"


def test_a_cancelled_run_stands_still(desk: Desk) -> None:
    """Until it is resumed: exit 4, nothing changed."""
    desk.run(follow=False)
    desk.put("CANCELLED", b"{}")
    desk.end(0)
    desk.cloud.calls.clear()
    caught = _refused(desk)
    assert (caught.exit, caught.code, caught.remedy) == (
        Exit.REFUSED,
        "run-cancelled",
        "gemmactl finetune resume sql --project demo-proj",
    )
    assert desk.cloud.writes == []


def test_one_run_of_a_name_trains_at_a_time(desk: Desk) -> None:
    """Another wish under the same name waits, or takes another name."""
    desk.run(follow=False)
    desk.cloud.calls.clear()
    caught = _refused(desk, epochs=2.0)
    assert (caught.exit, caught.code) == (Exit.REFUSED, "run-under-way")
    assert desk.cloud.writes == []
    desk.end(1)
    desk.run(follow=False, epochs=2.0)
    assert len(desk.run_ids) == 2
    job = next(iter(desk.cloud.state.jobs.values()))
    env = {e["name"]: e.get("value") for e in job["template"]["template"]["containers"][0]["env"]}
    assert env[ENV_RUN].endswith(desk.run_ids[-1]) or env[ENV_RUN].endswith(desk.run_ids[0])


@pytest.mark.parametrize(("yes", "code"), [(None, Exit.USAGE), (False, Exit.FAILURE)])
def test_nothing_happens_without_a_yes(desk: Desk, yes: bool | None, code: Exit) -> None:
    """Nobody there, or a no: no write call."""
    desk.ear = Ear(yes=yes)
    assert _refused(desk, yes=False).exit is code
    assert desk.cloud.writes == []


def test_a_job_of_somebody_else_is_not_taken_over(desk: Desk) -> None:
    """It has not our label."""
    parent = "projects/demo-proj/locations/us-central1"
    desk.cloud.jobs.create(parent, "finetune-sql", {"template": {"template": {"containers": [{"image": "x"}]}}})
    desk.cloud.calls.clear()
    caught = _refused(desk)
    assert (caught.exit, caught.code, desk.cloud.writes) == (Exit.REFUSED, "job-not-ours", [])


def test_only_an_adapter_has_its_own_line(desk: Desk) -> None:
    """Base and adapter; and it is another run than the merged one."""
    desk.run(dry=True)
    desk.played = [desk.done]
    result = desk.run(set_=["output.merged=false"])
    run_id = desk.run_ids[0]
    adapter = f"sql=gs://{desk.bucket}/gemmactl/adapters/sql/{run_id}"
    assert result.next == (f"gemmactl deploy gs://weights/m --adapter {adapter} --name sql --project demo-proj",)
    assert desk.run(dry=True).data["run"] != run_id


class Pinned(DirectoryFiles):
    """A repository of the Hub."""

    def commit(self) -> str:
        return "c" * 40


def test_a_token_is_in_no_sink(desk: Desk) -> None:
    """A base of the Hub: the job gets the token as a secret of the project; no text, event, document or object has it."""
    desk.environ = {"HF_TOKEN": CANARY}
    desk.hub = lambda _text: Pinned(SAMPLE)
    desk.played = [desk.done]
    dry, result = desk.run(model="o/n", dry=True), desk.run(model="o/n")
    job = next(iter(desk.cloud.state.jobs.values()))
    variables = {e["name"]: e for e in job["template"]["template"]["containers"][0]["env"]}
    assert variables["HF_TOKEN"]["valueSource"]["secretKeyRef"]["secret"] == "finetune-sql-hf-token-us-central1"
    objects = [content for _, content in desk.cloud.state.objects.values()]
    sinks = [str(desk.ear.said), str(desk.ear.told), str(dry), str(result), json.dumps(result.document()), str(job), str(objects)]
    assert not [sink for sink in sinks if CANARY in sink]
    assert json.loads(json.dumps(dry.document()))["data"]["run_file"]["wish"]["model"] == f"hf:o/n@{'c' * 40}"


@pytest.mark.parametrize("stop", range(0, 60, 12))
def test_killed_at_any_call_the_same_command_goes_on(desk: Desk, stop: int) -> None:
    """One run, one execution, one job, whatever call was the last."""
    count = [0]

    def dies(_name: str) -> None:
        count[0] += 1
        if count[0] > stop:
            raise KeyboardInterrupt

    desk.cloud.before_call = dies
    with contextlib.suppress(KeyboardInterrupt, Trouble):
        desk.run(follow=False)
    assert count[0] > stop
    desk.cloud.before_call = lambda _name: None
    desk.played = [desk.done]
    assert desk.run().exit is Exit.OK
    assert (len(desk.run_ids), len(desk.cloud.state.executions), len(desk.cloud.state.jobs)) == (1, 1, 1)


def test_the_verb_is_told_in_the_envelope(desk: Desk) -> None:
    """One document with the schema of all."""
    desk.played = [desk.done]
    document = desk.run().document()
    assert (document["verb"], document["ok"], document["data"]["deploy"]) == (VERB, True, document["next"][0])
    assert isinstance(desk.cloud, FakeCloud)
