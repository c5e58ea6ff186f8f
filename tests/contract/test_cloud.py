"""The contract of the cloud on the in-memory cloud, and on the gateways with the sandbox behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl.gcp.cloud import connect
from gemmactl.gcp.storage import CloudStorage
from gemmactl.resources.cloud import BucketInfo, Cloud, RepositoryInfo
from gemmactl.sandbox import images
from gemmactl.sandbox.assembly import assemble
from gemmactl.sandbox.endpoint import Endpoint
from gemmactl.sandbox.server import Server
from gemmactl.sandbox.world import Settings, World
from tests.contract.suite import SIZE, CloudContract
from tests.contract.suite_builds import BuildsContract
from tests.contract.suite_jobs import JobsContract
from tests.contract.suite_keys import KeysContract
from tests.contract.suite_rights import RightsContract
from tests.fakes.cloud import FakeCloud

IMAGE = "us-central1-docker.pkg.dev/{}/ready/nothing:v1"
BOTH = "us-central1-docker.pkg.dev/{}/ready/both:v1"
PLATFORMS = ("linux/amd64", "linux/arm64")


def in_memory(_home: Path) -> Iterator[Cloud]:
    cloud = FakeCloud(enforce_apis=True)
    cloud.state.images = dict.fromkeys((IMAGE.format(cloud.project), BOTH.format(cloud.project)), f"sha256:{'0' * 64}")
    ready = f"projects/{cloud.project}/locations/us-central1/repositories/ready"
    cloud.state.repositories[ready] = RepositoryInfo(ready, size=SIZE)
    cloud.state.platforms[BOTH.format(cloud.project)] = PLATFORMS
    yield cloud


def put_image(world: World, root: Path) -> None:
    """What IMAGE names, as if it had been built: a program that ends at once."""
    root.mkdir()
    parent = f"projects/{world.project}/locations/us-central1/repositories/ready"
    world.store.put("repositories", parent, {"name": parent, "format": "DOCKER"})
    image = IMAGE.format(world.project)
    images.push(world, image, f"sha256:{'0' * 64}", str(root), {"entrypoint": ["true"]}, size=SIZE)
    images.push(world, BOTH.format(world.project), f"sha256:{'1' * 64}", str(root), {"platforms": list(PLATFORMS)})


def on_the_sandbox(home: Path) -> Iterator[Cloud]:
    world = assemble(World(home, settings=Settings(pace=0)))
    put_image(world, home.parent / "image")
    server = Server(world)
    server.start()
    yield connect(world.project, Endpoint(world.base_url, world.project, world.number, secret=world.secret))
    server.shutdown()
    server.server_close()
    world.close()


@pytest.fixture(params=[in_memory, on_the_sandbox])
def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cloud]:
    yield from request.param(tmp_path / "home")


@pytest.fixture
def image(cloud: Cloud) -> str:
    return IMAGE.format(cloud.project)


class TestCloud(CloudContract, BuildsContract, KeysContract, JobsContract, RightsContract):
    """Both."""


def test_the_life_cycle_that_others_set_stays(tmp_path: Path) -> None:
    """A rule for noncurrent versions alone is not read as one for all objects, and a change leaves it as it is."""
    theirs = {"action": {"type": "Delete"}, "condition": {"age": 30, "isLive": False}}
    for cloud in on_the_sandbox(tmp_path / "home"):
        cloud.apis.enable(["storage.googleapis.com"])
        info = BucketInfo(f"{cloud.project}-b", "us-central1")
        cloud.storage.create_bucket(info)
        assert isinstance(cloud.storage, CloudStorage)
        raw = cloud.storage._client().get_bucket(info.name)
        raw.lifecycle_rules = [theirs]
        raw.patch()
        live = cloud.storage.bucket(info.name)
        assert live == info
        cloud.storage.update_bucket(replace(live, labels={"a": "b"}, delete_after_days=7))
        raw.reload()
        assert [dict(rule) for rule in raw.lifecycle_rules] == [theirs, {**theirs, "condition": {"age": 7}}]
