"""Two hands on the sandbox with IAM on: a caller prints, an administrator runs it, the caller finishes the deploy."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.gcp.cloud import connect
from gemmactl.resources.cloud import BucketInfo
from gemmactl.sandbox.apis_api import switch_on
from gemmactl.sandbox.endpoint import Endpoint
from gemmactl.sandbox.world import World
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.for_admin import for_admin
from gemmactl.serving.place import Place
from gemmactl.settings import Value
from gemmactl.spec import Serve, Token, parse_model
from tests.fakes.gcloud import replay
from tests.sandbox_data.conftest import boot, shut
from tests.serving.ear import SAMPLE, Ear

P, REGION = "gemmactl-sandbox", "us-central1"
ADMIN, DEV = "you@sandbox.invalid", "dev@sandbox.invalid"
ROLES = ("run.developer", "cloudbuild.builds.editor", "artifactregistry.writer")
WISH = Serve(P, REGION, parse_model("gs://weights/m"), "gemma", hf_token=Token("hf_canary_two_hands"))
AGAIN = "gemmactl deploy gs://weights/m"


class Office:
    """One sandbox, seen by an administrator and by a developer."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.admin, self.dev = self.of(ADMIN), self.of(DEV)
        switch_on(world, "storage.googleapis.com")
        self.admin.cloud.storage.create_bucket(BucketInfo("weights", REGION))
        for path in SAMPLE.iterdir():
            self.admin.cloud.storage.write("weights", f"m/{path.name}", path)
        for role in ROLES:
            world.iam.grant(f"user:{DEV}", f"roles/{role}", f"projects/{P}")

    def of(self, email: str) -> Place:
        endpoint = Endpoint(self.world.base_url, P, self.world.number, email, self.world.secret)
        return Place(Value(P, "--project"), Value(REGION, "default"), "sandbox", connect(P, endpoint))

    def script(self) -> str:
        return str(for_admin(WISH, self.dev, Ear(), form="gcloud", again=AGAIN).data["script"])


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    world, server = boot(tmp_path / "home", pace=0.3)
    yield Office(world)
    shut(world, server)


def finish(office: Office) -> None:
    """The developer's half: refused before, whole after."""
    done = deploy(WISH, office.dev, Ear(), yes=True)
    assert done.exit is Exit.OK, [str(p) for p in done.problems]
    assert done.data["smoke"]["text"]
    kinds = {s["kind"] for s in done.data["steps"] if s["op"] in ("create", "update")}
    assert kinds == {"image", "secret", "service"}
    assert plan(WISH, office.dev, again="", detailed=True).exit is Exit.OK


@pytest.mark.long
@pytest.mark.timeout(120)
def test_a_developer_finishes_what_an_administrator_began(office: Office, tmp_path: Path) -> None:
    """Before the script the developer is refused without a change; after it his deploy ends with the smoke test."""
    with pytest.raises(Trouble) as early:
        deploy(WISH, office.dev, Ear(), yes=True)
    assert early.value.facts["status"] == 403 or early.value.exit is Exit.REFUSED
    replay(office.script(), tmp_path, office.admin.cloud)
    finish(office)
    again = for_admin(WISH, office.dev, Ear(), form="gcloud", again=AGAIN).data
    assert {s["kind"] for s in again["steps"]} == {"iam_member"}  # policies are nothing that a developer may read
    assert again["grants"] == []


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is not installed here")
def test_the_real_gcloud_runs_the_script(office: Office, tmp_path: Path) -> None:
    """Twice, the second time without a change; then the developer finishes."""
    base, token = office.world.base_url, tmp_path / "token"
    token.write_text(office.world.tokens.access(ADMIN))
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{base}/storage/v1/",
        **{
            f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}": f"{base}/"
            for api in ("ARTIFACTREGISTRY", "IAM", "SECRETMANAGER", "SERVICEUSAGE", "CLOUDRESOURCEMANAGER")
        },
    }
    script = office.script()
    states = []
    for _ in range(2):
        done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stderr
        store = office.world.store
        states.append(
            [{k: set(b["members"]) for b in d["policy"]["bindings"] for k in [b["role"]]} for _, d in store.items("policies")]
        )
    assert states[0] == states[1]
    finish(office)
