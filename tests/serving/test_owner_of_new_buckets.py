"""A project's owner deploys into an empty project although roles/owner holds no right on buckets: a new bucket is its maker's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gemmactl import stack
from gemmactl.doctor.checks import rights
from gemmactl.doctor.checks.check import Ground
from gemmactl.gcp.cloud import GoogleCloud, connect
from gemmactl.kernel.plan import make_plan
from gemmactl.sandbox.assembly import assemble
from gemmactl.sandbox.endpoint import YOU, Endpoint
from gemmactl.sandbox.server import Server
from gemmactl.sandbox.world import World
from gemmactl.spec import Serve, parse_model


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = assemble(World(tmp_path / "home"))
    server = Server(made)
    server.start()
    yield made
    server.shutdown()
    server.server_close()
    made.close()


@pytest.mark.parametrize(
    ("role", "lacks"), [("roles/owner", ()), ("roles/editor", ("setIamPolicy",)), ("roles/viewer", ("create",))]
)
def test_who_may_deploy_into_an_empty_project(world: World, role: str, lacks: tuple[str, ...]) -> None:
    """An owner may do all of it; an editor may not grant; a viewer may make nothing."""
    world.iam.revoke(f"user:{YOU}", "roles/owner", f"projects/{world.project}")
    world.iam.grant(f"user:{YOU}", role, f"projects/{world.project}")
    cloud: GoogleCloud = connect(world.project, Endpoint(world.base_url, world.project, world.number, secret=world.secret))
    wish = Serve(world.project, "us-central1", parse_model("hf:owner/model"), "gemma")
    ground = Ground(cloud, stack.serving(wish))
    verdict, *_ = rights.check(make_plan(ground.stack, cloud).work, ground)
    assert verdict.end == ("finding" if lacks else "ok"), verdict.seen
    for word in lacks:
        assert word in verdict.seen
    assert "storage.buckets.setIamPolicy" not in verdict.seen or role == "roles/viewer"
