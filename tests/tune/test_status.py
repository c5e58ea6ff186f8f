"""finetune status, list and logs: the bucket and the job say all there is to know, in read calls only."""

from __future__ import annotations

import json
from typing import Any

import pytest

from finetune_image.contract import DONE, FAILED
from gemmactl.errors import Exit, Trouble
from gemmactl.resources.cloud import LogEntry
from gemmactl.result import Result, Table
from gemmactl.serving.log_filter import Wanted
from gemmactl.tune.logs import logs
from gemmactl.tune.status import listing, status
from gemmactl.ui.layout import lay
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import Ear, place
from tests.tune import desk


def half_way() -> FakeCloud:
    cloud = desk.cloud()
    desk.with_run(cloud)
    desk.with_job(cloud)
    desk.trained(cloud)
    return cloud


def text(result: Result) -> str:
    return "\n".join(line.text for line in lay(result.blocks, 1000))


def test_a_run_that_is_under_way() -> None:
    """Phase, step, losses, dollars of all attempts, whole checkpoints, the execution; nothing is written."""
    cloud = half_way()
    desk.started(cloud)
    cloud.calls.clear()
    shown = status(place(cloud), None)
    said = text(shown)
    for words in (
        "running: training 20/100", "20 of 100", "1.500, best 1.400, before training 2.500", "$1.25 for all attempts",
        f"step 12 in gs://{desk.BUCKET}/gemmactl/runs/sql/{desk.RUN_ID}/checkpoints", "finetune-sql-00001: running", "deadline",
    ):  # fmt: skip
        assert words in said, said
    assert "600 s left" in said.replace("10 min", "600 s")
    assert "killed" not in said
    assert (cloud.writes, shown.data["state"], shown.data["usd"]) == ([], "running", 1.25)
    assert [one["step"] for one in shown.data["checkpoints"]] == [12]
    assert shown.next[0].startswith("gemmactl finetune logs sql -f")
    assert "at work" in said
    assert "yet known" not in said


@pytest.mark.parametrize(
    ("mark", "document", "state", "following"),
    [
        (None, None, "stopped", "gemmactl finetune resume sql --project demo-proj"),
        (FAILED, {"code": "data_invalid", "where": "d.jsonl:3", "detail": "not JSON", "advice": ["mend it"]}, "failed", "resume"),
        ("CANCELLED", {}, "cancelled", "gemmactl finetune resume sql"),
        (DONE, {}, "done", f"gemmactl deploy gs://{desk.BUCKET}/gemmactl/models/sql/{desk.RUN_ID} --name sql"),
        (DONE, {"deploy": "gemmactl deploy gs://b/x --engine vllm"}, "done", "gemmactl deploy gs://b/x --engine vllm"),
    ],
)
def test_a_run_that_is_not(mark: str | None, document: Any, state: str, following: str) -> None:
    """Its state, why, and what to type now."""
    cloud = half_way()
    cloud.jobs.end(desk.started(cloud), 0 if mark == DONE else 1)
    if mark:
        desk.put(cloud, mark, document)
    shown = status(place(cloud), desk.NAME)
    assert shown.data["state"] == state
    assert following in shown.next[0]
    assert "left" not in text(shown)
    assert "killed without a word" in text(shown)
    assert ("data_invalid: d.jsonl:3: not JSON" in text(shown)) == (mark == FAILED)


def test_what_a_run_wrote_is_data() -> None:
    """Lines that are none, fields of other types and control characters do no harm."""
    cloud = half_way()
    desk.put(cloud, "attempts.jsonl", b'nonsense\n[1]\n{"number": "x", "why": 3, "error": "a\\u001b[2Jb", "step": 7}\n\xff\n')
    desk.put(cloud, FAILED, b"not json")
    desk.put(cloud, "run.json", b"{}")
    shown = status(place(cloud), None)
    assert shown.data["attempts"][0]["step"] == 7
    assert "\x1b" not in text(shown)
    assert shown.data["model"] == ""


def test_an_older_run_by_its_id() -> None:
    """The execution of the job's own run is not shown as its."""
    cloud = half_way()
    desk.started(cloud)
    desk.with_run(cloud, "ffffffffffff")
    assert status(place(cloud), None).data["run"] == desk.RUN_ID
    older = status(place(cloud), desk.NAME, "ffffffffffff").data
    assert (older["run"], older["state"], older["execution"]) == ("ffffffffffff", "stopped", None)


def test_only_an_adapter_is_published_as_one() -> None:
    """Where nothing was merged no folder of models is named."""
    cloud = half_way()
    desk.put(cloud, DONE, {})
    document = json.loads(cloud.storage.read(desk.BUCKET, f"{desk.folder()}/run.json") or b"")
    document["wish"]["output"]["merged"] = False
    desk.put(cloud, "run.json", document)
    shown = status(place(cloud), None)
    assert shown.data["published"] == f"gs://{desk.BUCKET}/gemmactl/adapters/sql/{desk.RUN_ID}"
    assert "/models/sql" not in text(shown)


def test_why_a_run_ended_early_is_told() -> None:
    """What was published has the steps of the best, and the words of why no further ones were trained."""
    cloud = half_way()
    desk.put(cloud, DONE, {"figures": {"step": 20, "max_steps": 100, "ended": "patience"}})
    assert "20 of 100 steps: the held-out loss got no better" in text(status(place(cloud), None))


def test_which_is_latest() -> None:
    """The name's pointer is told, whichever run is looked at."""
    cloud = half_way()
    desk.put(cloud, DONE, {})
    cloud.storage.write(desk.BUCKET, "gemmactl/models/sql/LATEST", f"{desk.RUN_ID}\n".encode())
    assert f"models/sql/{desk.RUN_ID} (LATEST)" in text(status(place(cloud), None))


def test_all_names() -> None:
    """Those with a job and those of which runs are left; another program's job is none."""
    cloud = half_way()
    desk.with_job(cloud, name="new")
    desk.with_run(cloud, "aaaaaaaaaaaa", "old")
    cloud.jobs.create(desk.PARENT, "nightly", {"template": {"template": {"containers": [{"image": "x"}]}}})
    cloud.calls.clear()
    shown = listing(place(cloud))
    (table,) = [block for block in shown.blocks if isinstance(block, Table)]
    assert [row[:3] for row in table.rows] == [
        ("new", "", "never run"), ("old", "aaaaaaaaaaaa", "stopped"), ("sql", desk.RUN_ID, "stopped"),
    ]  # fmt: skip
    assert (cloud.writes, [one["name"] for one in shown.data["finetunes"]]) == ([], ["new", "old", "sql"])


def test_no_name_where_several_could_be_meant() -> None:
    """They are named; nothing at all has its own words, and so has a name that is not there."""
    cloud = half_way()
    desk.with_run(cloud, "aaaaaaaaaaaa", "old")
    for asked, code in ((None, "finetune-ambiguous"), ("nope", "finetune-missing")):
        with pytest.raises(Trouble) as caught:
            status(place(cloud), asked)
        assert caught.value.code == code
    with pytest.raises(Trouble) as caught:
        status(place(desk.cloud()), None)
    assert (caught.value.code, caught.value.exit) == ("finetune-none", Exit.USAGE)


def test_the_codelabs_job_is_found_in_its_own_bucket() -> None:
    """By the label, or by its own variables."""
    cloud = half_way()
    desk.with_job(cloud, name="text", BUCKET_NAME="other", NEW_MODEL="Text")
    assert status(place(cloud), "text").data["bucket"] == "other"


def test_the_jobs_log() -> None:
    """Of the job alone, as a service's."""
    cloud = half_way()
    wanted = 'resource.type="cloud_run_job" AND resource.labels.job_name="finetune-sql"'
    cloud.state.logs.append((wanted, LogEntry("2026-11-22T10:00:00Z", "INFO", {"message": "step 1"}, "a")))
    shown = logs(place(cloud), None, Wanted(), Ear())
    assert (shown.verb, shown.data["job"], len(shown.data["entries"])) == ("finetune logs", "finetune-sql", 1)
