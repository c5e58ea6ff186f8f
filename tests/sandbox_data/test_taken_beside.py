"""The rights beside a deploy's own: to store a token and to see it, to try the service, to pull from another project.

Each is taken away alone on the sandbox with IAM on: the deploy says which, the printed command gives it back, it then ends well.
What stands in for vLLM is served: nothing is built, and it starts at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.resources import service_traffic
from gemmactl.result import Result
from gemmactl.sandbox import images
from gemmactl.sandbox.apis_api import switch_on
from gemmactl.sandbox.keys_api import agent_of
from gemmactl.sandbox.public_images import VERTEX
from gemmactl.sandbox.roles import permissions
from gemmactl.sandbox.world import World
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.for_admin import for_admin
from gemmactl.spec import Serve, Token
from tests.fakes.gcloud import replay
from tests.sandbox_data.conftest import boot, shut
from tests.sandbox_data.test_two_hands import DEV, REGION, WISH, Office, P
from tests.serving.ear import Ear

MEMBER = f"user:{DEV}"
PROJECT = f"projects/{P}"
SECRET = f"{PROJECT}/secrets/gemma-hf-token-{REGION}"
SERVICE = f"{PROJECT}/locations/{REGION}/services/gemma"
TEAM = f"projects/team-proj/locations/{REGION}/repositories/shared"
IMAGE = f"{REGION}-docker.pkg.dev/team-proj/shared/vllm:1"
pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]


class Site(Office):
    """What two hands deployed; the developer holds what `plan --for-admin` asked for, and nothing else."""

    def __init__(self, world: World, folder: Path) -> None:
        super().__init__(world)
        self.folder = folder
        self.wish = replace(WISH, engine="vllm", engine_given=True)
        script = for_admin(self.wish, self.dev, Ear(), form="gcloud", again="again").data["script"]
        self.run(str(script))
        assert self.deploy(self.wish).exit is Exit.OK
        self.wish = replace(self.wish, hf_token=None)

    def run(self, script: str) -> None:
        """The administrator's half, as printed."""
        (place := self.folder / str(len(list(self.folder.iterdir())))).mkdir()
        replay(script, place, self.admin.cloud)

    def deploy(self, wish: Serve) -> Result:
        return deploy(wish, self.of(DEV), Ear(), yes=True)

    def refused(self, wish: Serve) -> list[Trouble]:
        """What a deploy says that changed nothing."""
        before = self.world.store.items("revisions"), self.world.store.items("secret_versions")
        try:
            problems = list((done := self.deploy(wish)).problems)
            code = done.exit
        except Trouble as trouble:
            problems, code = [trouble], trouble.exit
        assert code is Exit.REFUSED
        assert before == (self.world.store.items("revisions"), self.world.store.items("secret_versions"))
        return problems


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    world, server = boot(tmp_path_factory.mktemp("beside") / "home", pace=0.3)
    yield Site(world, tmp_path_factory.mktemp("scripts"))
    shut(world, server)


def commands(problems: list[Trouble]) -> str:
    """Those of the findings behind a refusal."""
    found: list[dict[str, Any]] = [one.facts["finding"] for one in problems]
    return "\n".join(command for one in found for command in one["fix"]["commands"])


def test_to_store_a_token(site: Site) -> None:
    """A new token is a new version of the secret: without the right to add one nothing changes, with it there are two."""
    wish = replace(site.wish, hf_token=Token("hf_canary_another"), rotate_hf_token=True)
    site.world.iam.revoke(MEMBER, "roles/secretmanager.secretVersionAdder", SECRET)
    problems = site.refused(wish)
    assert "secretmanager.versions.add" in str(problems[0])
    site.run(commands(problems))
    assert site.world.iam.holds(MEMBER, "secretmanager.versions.add", SECRET)
    assert site.deploy(wish).exit is Exit.OK
    assert site.dev.cloud.secrets.newest_version(SECRET) == "2"


def test_to_see_a_token(site: Site) -> None:
    """Without the right to see the secret it can't be told whether it is as wished: said with the permission, not guessed."""
    site.world.iam.revoke(MEMBER, "roles/secretmanager.viewer", SECRET)
    wish = replace(site.wish, hf_token=Token("hf_canary_another"))
    problems = site.refused(wish)
    assert "lacks secretmanager.secrets.get, secretmanager.versions.list on secret gemma-hf-token" in str(problems[0])
    assert "hf_canary" not in str(problems)
    site.run(commands(problems))
    assert plan(wish, site.of(DEV), again="", detailed=True).exit is Exit.OK


def test_to_try_the_service(site: Site) -> None:
    """Who may deploy and not call is told before; the revision gets no request, exit 5 with the role; with it it ends well."""
    own = permissions("roles/run.developer") - {"run.routes.invoke"}
    site.world.iam.define(f"{PROJECT}/roles/silent", own)
    site.world.iam.revoke(MEMBER, "roles/run.developer", PROJECT)
    site.world.iam.grant(MEMBER, f"{PROJECT}/roles/silent", PROJECT)
    wish = replace(site.wish, timeout=900)
    before = service_traffic.shares(site.admin.cloud.run.get(SERVICE) or {})
    checks = {one["check"]: one for one in plan(wish, site.of(DEV), again="").data["checks"]}
    assert checks["smoke test"]["findings"][0]["permission"] == "run.routes.invoke"
    ended = site.deploy(wish)
    assert ended.exit is Exit.GATE
    assert "roles/run.invoker" in str([*ended.problems, *(one.remedy for one in ended.problems)])
    assert service_traffic.shares(site.admin.cloud.run.get(SERVICE) or {}) == before
    site.world.iam.grant(MEMBER, "roles/run.invoker", SERVICE)
    assert site.deploy(wish).exit is Exit.OK
    site.world.iam.grant(MEMBER, "roles/run.developer", PROJECT)


def test_to_pull_from_another_project(site: Site) -> None:
    """Cloud Run's own account reads a repository of another project by a grant there: told before, refused in Google's words."""
    world = site.world
    shared = images.resolve(world, VERTEX)
    assert shared
    switch_on(world, "artifactregistry.googleapis.com")
    world.store.put("repositories", TEAM, {"name": TEAM, "format": "DOCKER"})
    images.push(world, IMAGE, shared["digest"], shared["root"], shared["config"])
    world.iam.grant(MEMBER, "roles/artifactregistry.admin", TEAM)
    wish = replace(site.wish, image=IMAGE)
    agent = agent_of(world, "run.googleapis.com")
    checks = {one["check"]: one for one in plan(wish, site.of(DEV), again="").data["checks"]}
    (told,) = checks["image of another project"]["findings"]
    assert (told["principal"], told["role"]) == (f"serviceAccount:{agent}", "roles/artifactregistry.reader")
    made = len(world.store.items("revisions"))
    refused = site.deploy(wish)
    assert refused.exit is Exit.FAILURE
    assert f"Service Agent {agent} must have permission to read the image, {IMAGE.partition(':')[0]}" in str(refused.problems[0])
    assert len(world.store.items("revisions")) == made
    world.iam.grant(f"serviceAccount:{agent}", "roles/artifactregistry.reader", TEAM)
    assert site.deploy(wish).exit is Exit.OK
