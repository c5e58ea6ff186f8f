"""Pins on the sandbox, with the real server: a shard overwritten between two cold starts, and a rollback across it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gemmactl.doctor.diagnose import diagnose
from gemmactl.errors import Exit
from gemmactl.gcp.cloud import connect
from gemmactl.resources.cloud import BucketInfo, Cloud
from gemmactl.sandbox.apis_api import switch_on
from gemmactl.sandbox.endpoint import Endpoint
from gemmactl.sandbox.wire import ApiError
from gemmactl.sandbox.world import World
from gemmactl.serving.deploy import deploy
from gemmactl.serving.place import Place
from gemmactl.serving.traffic import rollback
from gemmactl.settings import Value
from gemmactl.spec import Serve, parse_model
from inference_image.contract import Code, LoadFailure
from tests.sandbox_data.conftest import boot, shut
from tests.serving.ear import SAMPLE, Ear, settings

P, REGION, SHARD = "gemmactl-sandbox", "us-central1", "model-00002-of-00004.safetensors"
WISH = Serve(P, REGION, parse_model("gs://weights/m"), "gemma")
NAME = f"projects/{P}/locations/{REGION}/services/gemma"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made, server = boot(tmp_path / "home", pace=0.3)
    switch_on(made, "storage.googleapis.com")
    yield made
    shut(made, server)


@pytest.fixture
def here(world: World) -> Place:
    cloud = connect(P, Endpoint(world.base_url, P, world.number, secret=world.secret))
    cloud.storage.create_bucket(BucketInfo("weights", REGION))
    for path in SAMPLE.iterdir():
        cloud.storage.write("weights", f"m/{path.name}", path)
    return Place(Value(P, "--project"), Value(REGION, "default"), "sandbox", cloud)


def deployed(here: Place) -> str:
    """Full name of the revision that serves after a deploy."""
    done = deploy(WISH, here, Ear(), yes=True)
    assert done.exit is Exit.OK, [str(p) for p in done.problems]
    return str((here.cloud.run.get(NAME) or {})["latestReadyRevision"])


def overwritten(cloud: Cloud) -> tuple[int, int]:
    """A shard with its last byte another one; its generations before and after."""
    was = cloud.storage.stat("weights", f"m/{SHARD}")
    data = cloud.storage.read("weights", f"m/{SHARD}") or b""
    now = cloud.storage.write("weights", f"m/{SHARD}", data[:-1] + bytes([data[-1] ^ 1]))
    return (was.generation if was else 0), now.generation


@pytest.mark.timeout(120)
def test_a_shard_overwritten_between_two_cold_starts(world: World, here: Place) -> None:
    """The first start answers; the second, of the same revision, refuses before any request: by name, with both generations and
    the command that approves what is there, and doctor knows it.
    """
    revision = deployed(here)
    was, now = overwritten(here.cloud)
    world.containers.stop(revision)
    with pytest.raises(ApiError):
        world.containers.ensure(revision)
    entries = here.cloud.logs.entries('resource.type="cloud_run_revision"', newest=True, limit=200)
    (failure,) = {found for e in entries if isinstance(e.payload, dict) and (found := LoadFailure.parse(e.payload))}
    assert (failure.code, failure.object) == (Code.WEIGHTS_CHANGED, SHARD)
    assert f"{SHARD} was generation {was}" in failure.detail
    assert f"now generation {now}" in failure.detail
    assert f"gemmactl deploy gs://weights/m --name gemma --region {REGION} --project {P}" in failure.detail
    assert [found.code for found in diagnose(failure.line())] == ["load-weights-changed"]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_rollback_across_changed_weights(world: World, here: Place, tmp_path: Path) -> None:
    """The newer shard is deployed; rollback brings the older one back as a copy that serves; both revisions start afterwards."""
    first = deployed(here)
    overwritten(here.cloud)
    newer = here.cloud.storage.read("weights", f"m/{SHARD}")
    second = deployed(here)
    assert second != first
    done = rollback(here, settings(tmp_path), "gemma", Ear(), yes=True)
    assert done.exit is Exit.OK, [str(p) for p in done.problems]
    assert done.data["smoke"]["text"]
    live = here.cloud.run.get(NAME) or {}
    (model,) = (one["value"] for one in live["template"]["containers"][0]["env"] if one["name"] == "GEMMACTL_MODEL")
    prefix = model.removeprefix("gs://weights/")
    assert prefix.startswith("m-")
    assert here.cloud.storage.read("weights", f"{prefix}/{SHARD}") == (SAMPLE / SHARD).read_bytes()
    assert here.cloud.storage.read("weights", f"m/{SHARD}") == newer
    world.containers.stop(second)
    assert world.containers.ensure(second).alive
