"""What finetune run says and decides before the yes, on the in-memory cloud: estimate, dry run, rows, a base of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetune_image.contract import RUN_FILE, RUNS
from gemmactl.errors import Exit, Trouble
from gemmactl.resources.context import stage
from gemmactl.stack_tune import TUNE_PACKAGES
from gemmactl.tune.prepare import LIBRARIES, libraries
from tests.serving.ear import SAMPLE
from tests.tune.running import ROWS, Desk, train


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_measured_rate_of_an_earlier_run_makes_a_better_estimate(desk: Desk) -> None:
    """Same base, same settings of speed; the estimate says so."""
    desk.run(follow=False)
    desk.done()
    found = desk.run(dry=True, epochs=2.0).data["estimate"]
    assert (found["tokens_per_second"], "had before" in found["how"]) == ([1275.0, 1725.0], True)
    assert "not measured" in desk.run(dry=True, epochs=2.0, max_length=64).data["estimate"]["how"]


def test_what_a_run_measures_of_itself_changes_nothing(desk: Desk) -> None:
    """A slow GPU makes the estimate longer, and the job that is there stays as it is; a larger budget is a change."""
    desk.run(follow=False)
    desk.tell(train(5, 2.0, rate=0.01))
    assert desk.run(follow=False).data["changes"] == 0
    steps = {s["address"]: s["op"] for s in desk.run(dry=True, max_hours=8.0).data["steps"]}
    assert steps["job us-central1/finetune-sql"] == "update"


def test_what_the_budget_will_cut_off_is_said_before(desk: Desk) -> None:
    """A warning in the plan, not a refusal."""
    desk.run(follow=False, max_usd=0.001)
    assert any("--max-usd 0.001 ends it before all steps" in line for line in desk.ear.said)


def test_a_dry_run_changes_nothing(desk: Desk) -> None:
    """Plan, the job as it is sent, run.json and the estimate; read calls alone."""
    result = desk.run(dry=True)
    assert (desk.cloud.writes, result.exit) == ([], Exit.OK)
    body, made = result.data["job_body"], result.data["run_file"]
    task = body["template"]["template"]
    assert (task["maxRetries"], task["timeout"], task["nodeSelector"]) == (3, "3600s", {"accelerator": "nvidia-l4"})
    assert made["wish"]["name"] == "sql"
    assert result.data["estimate"]["usd"][0] > 0
    assert result.data["changes"] > 5
    json.dumps(result.document())


def test_a_row_that_can_not_be_used_is_refused_by_its_line(desk: Desk) -> None:
    """Exit 4 before any change."""
    (desk.folder / "sql.jsonl").write_text(ROWS + '{"prompt": "x"}\n')
    with pytest.raises(Trouble) as refused:
        desk.run()
    caught = refused.value
    assert (caught.exit, "sql.jsonl:41" in f"{caught.what} {caught.why}") == (Exit.REFUSED, True)
    assert desk.cloud.writes == []


def test_a_base_of_this_machine_is_uploaded(desk: Desk) -> None:
    """As deploy does it; the run is the same as with a copy of it that lies in a bucket already."""
    wanted = desk.run(dry=True).data["run"]
    desk.played = [desk.done]
    assert desk.run(model=str(SAMPLE)).data["run"] == wanted
    uploaded = {o.name.rpartition("/")[2] for o in desk.cloud.storage.list(desk.bucket, "model-")}
    assert uploaded == {path.name for path in SAMPLE.iterdir()}
    model = json.loads(desk.cloud.storage.read(desk.bucket, f"{RUNS}/sql/{wanted}/{RUN_FILE}") or b"")["wish"]["model"]
    assert model.startswith(f"gs://{desk.bucket}/model-")


def test_every_library_that_trains_is_part_of_a_run_s_identity() -> None:
    """torch, too, whose pin stands in the Dockerfile: with another one it is another run."""
    assert [pin.partition("==")[0] for pin in libraries(stage(TUNE_PACKAGES)).split()] == list(LIBRARIES)
