"""The loop on the sandbox with IAM on: one role or API is taken away, deploy fails, doctor names and mends just that one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.resources.apis import Apis
from gemmactl.resources.iam_member import IamMember
from gemmactl.result import Result
from gemmactl.sandbox.roles import permissions
from gemmactl.sandbox.world import World
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.repair import repair
from gemmactl.spec import Serve
from gemmactl.stack import serving
from tests.sandbox_data.conftest import boot, shut
from tests.sandbox_data.test_two_hands import ADMIN, DEV, WISH, Office, P
from tests.serving.ear import Ear, settings

DEPLOYER = f"projects/{P}/roles/deployer"
Binding = tuple[str, str, str]
"""resource, role, member"""


class Site(Office):
    """What the administrator deployed, and a developer who may do everything but read policies, grant and enable."""

    def __init__(self, world: World, folder: Path) -> None:
        super().__init__(world)
        self.folder, self.wish = folder, WISH
        held = set().union(*(permissions(f"roles/{role}") for role in ("owner", "storage.admin", "storage.objectAdmin")))
        held = {one for one in held if not one.endswith("IamPolicy")} - {"serviceusage.services.enable"}
        world.iam.define(DEPLOYER, held)
        world.iam.grant(f"user:{DEV}", DEPLOYER, f"projects/{P}")
        assert deploy(self.wish, self.admin, Ear(), yes=True).exit is Exit.OK
        self.wish = replace(WISH, hf_token=None)

    def bindings(self) -> set[Binding]:
        """Every binding of every policy."""
        policies = [(name, document["policy"]["bindings"]) for name, document in self.world.store.items("policies")]
        return {(name, one["role"], member) for name, bound in policies for one in bound for member in one["members"]}

    def apis(self) -> set[str]:
        return {name for name, _ in self.world.store.items("apis")}

    def deploy(self) -> tuple[Exit, str]:
        """The developer's deploy, as a new process: its end and what it says."""
        try:
            done = deploy(self.wish, self.of(DEV), Ear(), yes=True)
        except Trouble as trouble:
            return trouble.exit, str(trouble)
        return done.exit, "\n".join(str(problem) for problem in done.problems)

    def doctor(self, *, fix: bool = False) -> Result:
        return repair(self.of(ADMIN), settings(self.folder), WISH.name, Ear(), fix=fix, yes=fix)

    def named(self) -> dict[str, Any]:
        """The only thing that doctor holds against the service."""
        seen = self.doctor()
        assert seen.exit is Exit.FOUND
        (only,) = (finding for finding in seen.data["findings"] if finding["state"] != "advice")
        found: dict[str, Any] = only
        return found

    def whole(self) -> None:
        """The developer's deploy passes, answers a prompt, and leaves nothing to do."""
        assert self.deploy() == (Exit.OK, "")
        assert plan(self.wish, self.of(DEV), again="", detailed=True).exit is Exit.OK


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    world, server = boot(tmp_path_factory.mktemp("taken") / "home", pace=0.3)
    yield Site(world, tmp_path_factory.mktemp("settings"))
    shut(world, server)


def forget_image(site: Site) -> Serve:
    """The image must be built again."""
    tags = [name for name, _ in site.world.store.items("tags") if not name.endswith(":cache")]
    for tag in tags:
        site.world.store.delete("tags", tag)
    return site.wish


def new_revision(site: Site) -> Serve:
    return replace(site.wish, env=(("TURN", str(len(site.bindings())) + str(site.wish.env)),))


BUILDER, RUNNER, AGENT = "serviceAccount:gemmactl-build@", "serviceAccount:gm-gemma-", "serviceAccount:service-"
ROLES = {
    "the builder reads its context": (BUILDER, "roles/storage.objectViewer", forget_image, "storage.objects.get"),
    "the builder pushes its image": (BUILDER, "roles/artifactregistry.writer", forget_image, "error pushing image"),
    "the service reads its model": (RUNNER, "roles/storage.objectViewer", new_revision, "access_denied"),
    "the service reads its token": (RUNNER, "roles/secretmanager.secretAccessor", new_revision, "Permission denied on secret"),
    "Cloud Run's own account": (AGENT, "roles/run.serviceAgent", new_revision, "roles/run.serviceAgent"),
}
LONG = {"the service reads its model", "the service reads its token", "Cloud Run's own account"}  # containers start


def taken(site: Site, who: str, role: str) -> Binding:
    """The one binding, which is no more."""
    (found,) = (one for one in site.bindings() if one[1] == role and one[2].startswith(who))
    resource, role, member = found
    site.world.iam.revoke(member, role, resource)
    return found


@pytest.mark.timeout(180)
@pytest.mark.parametrize("case", [pytest.param(n, marks=pytest.mark.long if n in LONG else ()) for n in ROLES])
def test_a_role(site: Site, case: str) -> None:
    """Its lack fails the deploy in Google's words; doctor names account, role and thing; --fix makes that binding alone."""
    who, role, use, words = ROLES[case]
    before, apis = site.bindings(), site.apis()
    resource, _, member = taken(site, who, role)
    site.wish = use(site)
    code, said = site.deploy()
    assert code is not Exit.OK
    assert words in said
    found = site.named()
    assert (found["code"], found["principal"], found["role"]) == ("missing-grant", member, role)
    assert found["resource"].rpartition("/")[2] == resource.rpartition("/")[2]
    fixed = site.doctor(fix=True)
    assert (fixed.exit, len(fixed.data["done"]), len(fixed.data["undo"])) == (Exit.OK, 1, 1)
    assert (site.bindings(), site.apis()) == (before, apis)
    site.whole()


@pytest.mark.timeout(120)
def test_the_role_to_write_the_builds_log(site: Site) -> None:
    """Without it a build ends well and says nothing: doctor names the lack all the same, and mends it."""
    before = site.bindings()
    _, role, member = taken(site, BUILDER, "roles/logging.logWriter")
    site.wish = forget_image(site)
    assert site.deploy() == (Exit.OK, "")
    found = site.named()
    assert (found["code"], found["principal"], found["role"]) == ("missing-grant", member, role)
    assert site.doctor(fix=True).exit is Exit.OK
    assert site.bindings() == before
    site.whole()


APIS = ("artifactregistry", "cloudbuild", "cloudresourcemanager", "iam", "logging", "run", "secretmanager", "storage")
SHORT = {"run", "cloudbuild"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in SHORT else pytest.mark.long) for n in APIS])
def test_an_api(site: Site, name: str) -> None:
    """Who may not enable it is refused before any change; doctor names it alone; --fix enables it and grants nothing."""
    api = f"{name}.googleapis.com"
    before, apis = site.bindings(), site.apis()
    site.world.store.delete("apis", api)
    code, said = site.deploy()
    assert code is Exit.REFUSED or api in said
    found = site.named()
    assert (found["code"], found["title"]) == ("api-disabled", f"an API is not enabled: {api}")
    assert site.doctor(fix=True).exit is Exit.OK
    assert (site.bindings(), site.apis()) == (before, apis)
    site.whole()


def test_nothing_of_the_stack_is_without_a_case() -> None:
    """Each API that a deploy enables and each role that it binds is taken away above."""
    things = serving(WISH)
    apis = {name for thing in things if isinstance(thing, Apis) for name in thing.names}
    assert {f"{name}.googleapis.com" for name in APIS} == apis
    bound = sorted(thing.role for thing in things if isinstance(thing, IamMember))
    assert sorted([*(role for _, role, _, _ in ROLES.values()), "roles/logging.logWriter"]) == sorted(
        [*bound, "roles/run.serviceAgent"]
    )
