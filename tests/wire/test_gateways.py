"""The gateways on the wire: an unmodified process reaches Google's real host names through a proxy it was told by environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gemmactl.sandbox.assembly import assemble
from gemmactl.sandbox.endpoint import YOU
from gemmactl.sandbox.server import Server
from gemmactl.sandbox.world import World
from tests.fakes.recorder import OAUTH, Recorder

TOUCH_ALL = """
from gemmactl.gcp.cloud import connect
from gemmactl.resources.cloud import PolicyTarget
c = connect("gemmactl-sandbox")
every = ("run", "iam", "artifactregistry", "cloudbuild", "secretmanager", "cloudresourcemanager", "cloudquotas")
c.apis.enable([f"{n}.googleapis.com" for n in every])
assert c.number() == "100000000001", c.number()
assert c.accounts.get("none@gemmactl-sandbox.iam.gserviceaccount.com") is None
assert c.policies.members(PolicyTarget("bucket", "none"), "roles/viewer") == frozenset()
assert c.repositories.get("projects/gemmactl-sandbox/locations/us-central1/repositories/none") is None
assert c.storage.bucket("none") is None
assert c.secrets.newest_version("projects/gemmactl-sandbox/secrets/none") is None
assert c.builds.running("us-central1", "none") is None
assert c.run.list("us-central1") == ()
assert c.quotas.limits(["CpuAllocPerProjectRegion"])
assert c.logs.entries('severity>=ERROR') == ()
"""


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    world = assemble(World(tmp_path / "home"))
    server = Server(world)
    server.start()
    made = Recorder(tmp_path, world.base_url.removeprefix("http://"), lambda: world.tokens.access(YOU))
    yield made
    made.close()
    server.shutdown()
    server.server_close()
    world.close()


def test_every_gateway_speaks_to_its_real_host_through_the_proxy(recorder: Recorder) -> None:
    """HTTPS_PROXY, REQUESTS_CA_BUNDLE and a credentials file are all it takes; each API is asked under its own name."""
    env = {**os.environ, **recorder.environment(), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", TOUCH_ALL], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    apis = "run iam artifactregistry cloudbuild secretmanager cloudresourcemanager serviceusage storage logging cloudquotas"
    assert recorder.hosts == {OAUTH, *(f"{name}.googleapis.com" for name in apis.split())}


def test_without_the_authority_nothing_is_sent(recorder: Recorder) -> None:
    """A proxy whose certificate is not trusted ends in a Trouble that names REQUESTS_CA_BUNDLE."""
    env = {**os.environ, **recorder.environment(), "PYTHONPATH": str(Path(__file__).parents[2])}
    del env["REQUESTS_CA_BUNDLE"]
    code = (
        "from gemmactl.errors import Trouble\nfrom gemmactl.gcp.cloud import connect\n"
        "try: connect('gemmactl-sandbox').run.list('us-central1')\nexcept Trouble as t: print(t.code, t.remedy)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert "network" in done.stdout, done.stderr
    assert "REQUESTS_CA_BUNDLE" in done.stdout
    assert recorder.exchanges == []
