"""The contract of the cloud on the in-memory cloud, and on the gateways with the sandbox behind them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gemmactl.gcp.cloud import connect
from gemmactl.resources.cloud import Cloud
from gemmactl.sandbox.assembly import assemble
from gemmactl.sandbox.endpoint import Endpoint
from gemmactl.sandbox.server import Server
from gemmactl.sandbox.world import World
from tests.contract.suite import CloudContract
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
