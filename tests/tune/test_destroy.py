"""finetune destroy: what was made for it goes, what was trained stays, and what others stand on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from finetune_image.contract import CHECKPOINTS
from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.plan import make_plan
from gemmactl.resources import names
from gemmactl.result import Item, Result
from gemmactl.serving.deploy import deploy
from gemmactl.serving.destroy import Extent
from gemmactl.serving.destroy import destroy as destroy_service
from gemmactl.spec import SecretRef, Serve, Token, parse_model
from gemmactl.stack_tune import tuning
from gemmactl.tune.destroy import destroy
from gemmactl.tune_spec import Tune
from tests.fakes.cloud import FakeCloud
from tests.resources.wishes import TOKEN, go
from tests.serving.ear import SAMPLE, Ear, place, settings, with_model
from tests.serving.test_latest import WHOLE
from tests.tune import desk

MODEL = f"gs://{desk.BUCKET}/gemmactl/models/sql/{desk.RUN_ID}"
WISH = Tune(desk.PROJECT, desk.REGION, desk.NAME, desk.BUCKET, f"gs://{desk.BUCKET}/{desk.folder()}", reads=("weights",))
SERVICE = Serve(desk.PROJECT, desk.REGION, parse_model("gs://weights/m"), "gemma")


def made(wish: Tune = WISH) -> FakeCloud:
    """A fine-tune with everything that was made for it, a run and a published model."""
    cloud = with_model(FakeCloud())
    outcome = go(make_plan(tuning(wish), cloud), cloud)
    assert outcome.ok, outcome.failed
    run = desk.with_run(cloud)
    text = replace(run, wish=replace(run.wish, model="gs://weights/m")).text()
    cloud.storage.write(desk.BUCKET, f"{desk.folder()}/run.json", text.encode())
    desk.trained(cloud)
    cloud.storage.write(desk.BUCKET, f"{MODEL.removeprefix(f'gs://{desk.BUCKET}/')}/model.safetensors", b"w" * 10)
    cloud.storage.write(desk.BUCKET, "gemmactl/data/00/d.jsonl", b"{}")
    return cloud


def stays(result: Result) -> dict[str, str]:
    return {one.head.removeprefix("kept "): one.lines[0] for one in result.blocks if isinstance(one, Item)}


def test_what_was_made_goes_and_what_was_trained_stays() -> None:
    """Job, account, bindings on both buckets, the token's secret, image and what builds it; every object of the bucket stays."""
    cloud = made(replace(WISH, hf_token=Token(TOKEN)))
    before = {name for bucket, name in cloud.state.objects if bucket == desk.BUCKET}
    assert {"finetune-sql-hf-token-us-central1"} <= {one.rpartition("/")[2] for one in cloud.state.secrets}
    done = destroy(place(cloud), None, Ear(), yes=True)
    assert done.exit is Exit.OK, done.problems
    state = cloud.state
    assert (state.jobs, state.accounts, state.repositories, state.secrets) == ({}, {}, {}, {})
    assert not any(members for roles in state.policies.values() for members in roles.values())
    assert {name for bucket, name in state.objects if bucket == desk.BUCKET} == before
    assert list(stays(done)) == [
        f"gs://{desk.BUCKET}/gemmactl/{what}" for what in ("models/sql", "runs/sql", "data")
    ]  # fmt: skip
    again = destroy(place(cloud), desk.NAME, Ear(), yes=True)
    assert "nothing of sql is left to remove" in str(again.blocks)


def test_without_its_job_the_secret_goes_by_either_name() -> None:
    """Nothing says any more what it was called."""
    for name in ("", "finetune-sql-hf-token"):
        cloud = made(replace(WISH, hf_token=Token(TOKEN), token_secret=name))
        cloud.state.jobs.clear()
        assert len(cloud.state.secrets) == 1
        assert destroy(place(cloud), desk.NAME, Ear(), yes=True).exit is Exit.OK
        assert cloud.state.secrets == {}


def test_with_its_runs() -> None:
    """Checkpoints, metrics and attempts go too; models and data don't."""
    cloud = made()
    done = destroy(place(cloud), None, Ear(), yes=True, with_runs=True)
    left = {name for bucket, name in cloud.state.objects if bucket == desk.BUCKET}
    assert left == {f"gemmactl/models/sql/{desk.RUN_ID}/model.safetensors", "gemmactl/data/00/d.jsonl"}
    assert not any(CHECKPOINTS in where for where in stays(done))


def test_nobody_confirms() -> None:
    """Nothing is removed."""
    cloud = made()
    cloud.calls.clear()
    with pytest.raises(Trouble) as caught:
        destroy(place(cloud), None, Ear(yes=False), yes=False)
    assert (caught.value.code, cloud.writes) == ("not-confirmed", [])


def test_while_a_run_is_under_way() -> None:
    """It is to be cancelled first."""
    cloud = made()
    cloud.ending = replace(cloud.ending, polls=-1)
    desk.started(cloud)
    with pytest.raises(Trouble) as caught:
        destroy(place(cloud), None, Ear(), yes=True)
    assert (caught.value.code, caught.value.exit) == ("run-under-way", Exit.REFUSED)
    assert "gemmactl finetune cancel sql" in caught.value.remedy


def test_a_service_and_a_fine_tune_keep_what_the_other_stands_on(tmp_path: Path) -> None:
    """The account that builds, the repository and the bucket of contexts go with the last of them."""
    cloud = made()
    assert deploy(SERVICE, place(cloud), Ear(), yes=True).exit is Exit.OK
    destroy(place(cloud), desk.NAME, Ear(), yes=True)
    build = names.BUILD_ACCOUNT
    assert any(build in email for email in cloud.state.accounts)
    assert cloud.state.repositories
    cloud = made()
    assert deploy(SERVICE, place(cloud), Ear(), yes=True).exit is Exit.OK
    destroy_service(place(cloud), settings(tmp_path), "gemma", Ear(), yes=True)
    assert any(build in email for email in cloud.state.accounts)
    assert cloud.state.repositories
    assert desk.JOB in cloud.state.jobs
    assert make_plan(tuning(WISH), cloud).work == ()


def test_a_token_that_another_fine_tune_was_given_by_name_stays() -> None:
    """--hf-token NAME of this one's secret: the other's job starts with it."""
    cloud = made(replace(WISH, hf_token=Token(TOKEN)))
    other = replace(WISH, name="other", hf_token=SecretRef("finetune-sql-hf-token-us-central1", "1"))
    assert go(make_plan(tuning(other), cloud), cloud).ok
    destroy(place(cloud), desk.NAME, Ear(), yes=True)
    assert [one.rpartition("/")[2] for one in cloud.state.secrets] == ["finetune-sql-hf-token-us-central1"]


def test_a_trained_model_is_no_upload(tmp_path: Path) -> None:
    """With destroy --all of the service that serves it, too: nobody could make it again."""
    cloud = made()
    prefix = MODEL.removeprefix(f"gs://{desk.BUCKET}/")
    cloud.storage.delete(desk.BUCKET, f"{prefix}/model.safetensors")
    for path in SAMPLE.iterdir():
        cloud.storage.write(desk.BUCKET, f"{prefix}/{path.name}", path)
    cloud.storage.write(desk.BUCKET, f"{prefix}/gemmactl/manifest.json", WHOLE)
    wish = replace(SERVICE, model=parse_model(MODEL))
    assert deploy(wish, place(cloud), Ear(), yes=True).exit is Exit.OK
    extent = Extent(everything=True, confirm="gemma")
    destroy_service(place(cloud), settings(tmp_path), "gemma", Ear(), yes=True, extent=extent)
    assert (desk.BUCKET, f"gemmactl/models/sql/{desk.RUN_ID}/model-00001-of-00004.safetensors") in cloud.state.objects
