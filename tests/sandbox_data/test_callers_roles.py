"""The caller's own roles, one taken away at a time: his deploy is refused, doctor names that one, an administrator gives it back.

He has what `plan --for-admin` asked for and nothing else; IAM is on. Doctor's command is run by the administrator as printed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl.commands.doctor import examined
from gemmactl.errors import Exit, Trouble
from gemmactl.sandbox.roles import holds
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.explain import causes
from tests.fakes.gcloud import replay
from tests.sandbox_data.conftest import boot, shut
from tests.sandbox_data.test_two_hands import ADMIN, DEV, REGION, WISH, Office, P
from tests.serving.ear import Ear, settings

MEMBER = f"user:{DEV}"
BUILDS = f"projects/_/buckets/{P}-gemmactl-build-{REGION}"
PROJECT = f"projects/{P}"
ACCOUNTS = f"{PROJECT}/serviceAccounts/"
TAKEN = {
    "build": (PROJECT, "roles/cloudbuild.builds.editor", "cloudbuild.builds.create"),
    "pull": (PROJECT, "roles/artifactregistry.writer", "artifactregistry.tags.get"),
    "see the bucket of contexts": (BUILDS, "roles/storage.bucketViewer", "storage.buckets.get"),
    "look into it": (BUILDS, "roles/storage.objectViewer", "storage.objects.get"),
    "upload into it": (BUILDS, "roles/storage.objectCreator", "storage.objects.create"),
    "build as its account": (f"{ACCOUNTS}gemmactl-build@", "roles/iam.serviceAccountUser", "iam.serviceAccounts.actAs"),
    "run as the service's": (f"{ACCOUNTS}gm-gemma-", "roles/iam.serviceAccountUser", "iam.serviceAccounts.actAs"),
}
Binding = tuple[str, str]
"""resource, role"""


class Site(Office):
    """What the two hands deployed. From then on its image is to be built again, and nobody starts a container."""

    def __init__(self, world: Any, folder: Path) -> None:
        super().__init__(world)
        self.folder = folder
        self.run_by_admin(self.script())
        assert deploy(WISH, self.of(DEV), Ear(), yes=True).exit is Exit.OK
        self.again = replace(WISH, hf_token=None, env=(("TURN", "2"),))
        for tag in [name for name, _ in world.store.items("tags")]:
            world.store.delete("tags", tag)

    def run_by_admin(self, script: str) -> None:
        (place := self.folder / str(len(list(self.folder.iterdir())))).mkdir()
        replay(script, place, self.of(ADMIN).cloud)

    def mine(self) -> set[Binding]:
        """The developer's bindings."""
        policies = [(name, document["policy"]["bindings"]) for name, document in self.world.store.items("policies")]
        return {(name, one["role"]) for name, bound in policies for one in bound if MEMBER in one["members"]}

    def others(self) -> dict[str, Any]:
        """All bindings that are not his."""
        found = {}
        for name, document in self.world.store.items("policies"):
            rows = {b["role"]: sorted(set(b["members"]) - {MEMBER}) for b in document["policy"]["bindings"]}
            found[name] = {role: members for role, members in rows.items() if members}
        return found

    def take(self, where: str, role: str) -> Binding:
        (found,) = (one for one in self.mine() if one[0].startswith(where) and one[1] == role)
        self.world.iam.revoke(MEMBER, role, found[0])
        return found

    def refused(self) -> tuple[Exit, str]:
        """The developer's deploy: its end and what it says; nothing was built or rolled out."""
        before = [len(self.world.store.items(kind)) for kind in ("builds", "revisions")]
        try:
            done = deploy(self.again, self.of(DEV), Ear(), yes=True)
            said = done.exit, "\n".join(str(problem) for problem in done.problems)
        except Trouble as trouble:
            said = trouble.exit, str(trouble)
        assert [len(self.world.store.items(kind)) for kind in ("builds", "revisions")] == before
        return said

    def problems(self) -> list[dict[str, Any]]:
        """What the developer's own doctor holds against it; what he may not look at is no fault."""
        how = {"fix": False, "yes": False, "retry": False, "for_admin": False}
        seen = examined(self.of(DEV), settings(self.folder), WISH.name, Ear(), **how)
        return [finding for finding in seen.data["findings"] if finding["state"] == "problem"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    world, server = boot(tmp_path_factory.mktemp("callers") / "home", pace=1.0)
    yield Site(world, tmp_path_factory.mktemp("scripts"))
    shut(world, server)


def mended(site: Site, found: Binding, named: dict[str, Any], others: dict[str, Any]) -> None:
    """The command as printed gives that role on that thing to him alone, and a plan is not refused any more."""
    site.run_by_admin("\n".join(named["fix"]["commands"]))
    assert (site.mine() & {(found[0], named["role"])}) == {(found[0], named["role"])}
    assert site.others() == others
    assert plan(site.again, site.of(DEV), again="", detailed=True).exit is Exit.PENDING


@pytest.mark.long
@pytest.mark.timeout(120)
@pytest.mark.parametrize("case", TAKEN)
def test_a_role_of_the_callers(site: Site, case: str) -> None:
    """Refused before any change with the permission's name; one problem: who, what, on which thing, a role that holds it."""
    where, role, permission = TAKEN[case]
    before, others = site.mine(), site.others()
    found = site.take(where, role)
    code, said = site.refused()
    assert (code, permission in said) == (Exit.REFUSED, True), said
    # what is to be built waits for its own steps alone: that its image is gone stays a problem of its own
    problems = [one for one in site.problems() if where != f"{ACCOUNTS}gm-gemma-" or one["code"] != "missing-image"]
    named = problems[-1]
    assert [(one["code"], one["resource"], one["permission"]) for one in problems] == [
        ("caller-lacks-permission", named["resource"], permission)
    ]
    assert (named["code"], named["principal"]) == ("caller-lacks-permission", MEMBER)
    assert named["resource"].rpartition("/")[2] in found[0] or case == "pull"
    assert holds(named["role"], permission)
    site.world.iam.grant(MEMBER, role, found[0]) if case == "pull" else mended(site, found, named, others)
    if (found[0], named["role"]) != found and case != "pull":
        site.world.iam.revoke(MEMBER, named["role"], found[0])
        site.world.iam.grant(MEMBER, role, found[0])
    assert (site.mine(), site.others()) == (before, others)


@pytest.mark.long
@pytest.mark.timeout(120)
def test_the_right_to_read_the_model(site: Site) -> None:
    """Nothing can be said of a model that he may not read: the deploy ends there, in words of which doctor makes the role."""
    before, others = site.mine(), site.others()
    found = site.take("projects/_/buckets/weights", "roles/storage.objectViewer")
    with pytest.raises(Trouble) as caught:
        deploy(site.again, site.of(DEV), Ear(), yes=True)
    (named,) = (one.facts["finding"] for one in causes(caught.value))
    assert (named["permission"], named["principal"], named["role"]) == ("storage.objects.list", MEMBER, found[1])
    mended(site, found, named, others)
    assert site.mine() == before


@pytest.mark.long
@pytest.mark.timeout(120)
def test_the_role_to_deploy_at_all(site: Site) -> None:
    """Without Cloud Run's role he may not even see the service, nor ask it a prompt: doctor names the right that it takes."""
    before, others = site.mine(), site.others()
    found = site.take(PROJECT, "roles/run.developer")
    with pytest.raises(Trouble) as caught:
        deploy(site.again, site.of(DEV), Ear(), yes=True)
    (named,) = (one.facts["finding"] for one in causes(caught.value))
    assert (named["permission"], holds("roles/run.developer", named["permission"])) == ("run.services.get", True)
    site.world.iam.grant(MEMBER, *reversed(found))
    assert (site.mine(), site.others()) == (before, others)


@pytest.mark.long
@pytest.mark.timeout(120)
def test_afterwards_the_same_deploy_passes(site: Site) -> None:
    """With all of them: built, rolled out, asked one prompt; nothing is left to do."""
    done = deploy(site.again, site.of(DEV), Ear(), yes=True)
    assert (done.exit, bool(done.data["smoke"]["text"])) == (Exit.OK, True), [str(p) for p in done.problems]
    assert plan(site.again, site.of(DEV), again="", detailed=True).exit is Exit.OK
