"""The contract of the cloud on the in-memory cloud, and on the gateways with the sandbox behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl.gcp.cloud import connect
from gemmactl.gcp.storage import CloudStorage
from gemmactl.resources.cloud import BucketInfo, Cloud
from gemmactl.sandbox.assembly import assemble
from gemmactl.sandbox.endpoint import Endpoint
from gemmactl.sandbox.server import Server
from gemmactl.sandbox.world import World
from tests.contract.suite import CloudContract
from tests.contract.suite_jobs import JobsContract
from tests.contract.suite_keys import KeysContract
from tests.fakes.cloud import FakeCloud


def in_memory(_home: Path) -> Iterator[Cloud]:
    yield FakeCloud(enforce_apis=True)


def on_the_sandbox(home: Path) -> Iterator[Cloud]:
    world = assemble(World(home))
    server = Server(world)
    server.start()
    yield connect(world.project, Endpoint(world.base_url, world.project, world.number, secret=world.secret))
    server.shutdown()
    server.server_close()
    world.close()


@pytest.fixture(params=[in_memory, on_the_sandbox])
def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cloud]:
    yield from request.param(tmp_path / "home")


class TestCloud(CloudContract, KeysContract):
    """Both."""


class TestJobs(JobsContract):
    """The in-memory cloud so far."""

    @pytest.fixture
    def cloud(self) -> Cloud:
        cloud = FakeCloud(enforce_apis=True)
        cloud.apis.enable(["run.googleapis.com"])
        return cloud

    @pytest.fixture
    def image(self) -> str:
        return "us-central1-docker.pkg.dev/demo-proj/images/nothing@sha256:0"


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
