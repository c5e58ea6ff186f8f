"""Each binding and each API of a deployed stack, taken away alone: doctor names exactly it, --fix brings exactly it back."""

from __future__ import annotations

import copy
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl import stack
from gemmactl.doctor.checks.rows import CHECKS
from gemmactl.doctor.finding import Context
from gemmactl.doctor.fix import Fixed, Proposal
from gemmactl.doctor.granting import grant_finding
from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.apply import Outcome
from gemmactl.local.hub_account import HubAccount
from gemmactl.resources.apis import Apis
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.iam_member import IamMember
from gemmactl.result import Result
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.repair import Seen, concluded, repair
from gemmactl.spec import SecretRef, Serve, Token, parse_model
from tests.fakes.cloud import DIGEST, FakeCloud
from tests.serving.ear import Ear, place, settings, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma", hf_token=Token("hf_canary"))
STACK = stack.serving(WISH)
GRANTS = [resource for resource in STACK if isinstance(resource, IamMember)]
APIS = next(resource for resource in STACK if isinstance(resource, Apis)).names
BESIDE = {f"{api}.googleapis.com" for api in ("cloudbilling", "cloudquotas", "orgpolicy")}
"""What only checks ask."""
NO_ADMIN = frozenset({"serviceusage.services.enable"}) | {
    f"{kind}.setIamPolicy"
    for kind in ("resourcemanager.projects", "storage.buckets", "artifactregistry.repositories", "secretmanager.secrets")
}


@pytest.fixture
def cloud() -> FakeCloud:
    """Where the wish was deployed."""
    made = with_model(FakeCloud())
    assert deploy(WISH, place(made), Ear(), yes=True).exit is Exit.OK
    made.enforce_apis = True
    made.state.apis |= BESIDE
    return made


def doctor(cloud: FakeCloud, folder: Path, *, fix: bool = False) -> Result:
    return repair(place(cloud), settings(folder), "gemma", Ear(), fix=fix, yes=fix)


def refused(cloud: FakeCloud) -> str:
    """What a deploy says whose caller may neither grant nor enable; nothing is written."""
    cloud.lacking, before = NO_ADMIN, len(cloud.writes)
    try:
        done = deploy(WISH, place(cloud), Ear(), yes=True)
        said, code = "\n".join(str(problem) for problem in done.problems), done.exit
    except Trouble as trouble:  # the model itself can't be looked at
        said, code = str(trouble), trouble.exit
    cloud.lacking = frozenset()
    assert code is not Exit.OK
    assert len(cloud.writes) == before
    return said


def healed(cloud: FakeCloud, folder: Path, whole: Any) -> list[dict[str, Any]]:
    """--fix, then: one write, all as it was, nothing left to do or to find. Returns what doctor had named."""
    seen = doctor(cloud, folder)
    assert seen.exit is Exit.FOUND
    before = len(cloud.writes)
    fixed = doctor(cloud, folder, fix=True)
    assert (fixed.exit, len(fixed.data["done"]), len(cloud.writes) - before) == (Exit.OK, 1, 1)
    assert cloud.state == whole
    assert doctor(cloud, folder).data["findings"] == []
    assert plan(WISH, place(cloud), again="", detailed=True).exit is Exit.OK
    assert deploy(WISH, place(cloud), Ear(), yes=True).exit is Exit.OK
    return [finding for finding in seen.data["findings"] if finding["state"] != "advice"]


@pytest.mark.parametrize("grant", GRANTS, ids=lambda grant: grant.address)
def test_a_binding(cloud: FakeCloud, tmp_path: Path, grant: IamMember) -> None:
    """One finding with this member, role and thing; afterwards the policies are those from before."""
    whole = copy.deepcopy(cloud.state)
    cloud.state.policies[grant.target][grant.role].discard(grant.member)
    assert grant.address in refused(cloud)
    (only,) = healed(cloud, tmp_path, whole)
    assert (only["code"], only["principal"], only["role"]) == ("missing-grant", grant.member, grant.role)
    assert grant.target.name in only["resource"]


@pytest.mark.parametrize("api", APIS)
def test_an_api(cloud: FakeCloud, tmp_path: Path, api: str) -> None:
    """However many reads it stops, it is one finding that names it; only it is enabled again, Cloud Run's own too."""
    whole = copy.deepcopy(cloud.state)
    cloud.state.apis.discard(api)
    assert "serviceusage.services.enable" in (said := refused(cloud)) or f"{api.partition('.')[0]} is disabled" in said
    (only,) = healed(cloud, tmp_path, whole)
    assert (only["code"], only["title"]) == ("api-disabled", f"an API is not enabled: {api}")
    assert only["fix"]["commands"] == [f"gcloud services enable {api} --project=demo-proj"]


def test_what_depends_on_a_binding_is_no_second_fault(cloud: FakeCloud, tmp_path: Path) -> None:
    """An image that could not be pushed and the service that waits for it are told, but as what the next deploy makes."""
    writer = next(grant for grant in GRANTS if grant.role == "roles/artifactregistry.writer")
    cloud.state.policies[writer.target][writer.role].clear()
    cloud.state.images.clear()
    found = doctor(cloud, tmp_path).data["findings"]
    assert [(f["state"], f["code"]) for f in found] == [
        ("problem", "missing-grant"),
        ("advice", "missing-image"),
        ("advice", "differs-service"),
    ]
    assert writer.address in found[1]["remedy"]


@pytest.mark.parametrize(
    ("lacking", "role"),
    [
        (("cloudbuild.builds.create", "cloudbuild.builds.get", "cloudbuild.builds.list"), "roles/cloudbuild.builds.editor"),
        (("cloudbuild.builds.get", "cloudbuild.builds.list"), "roles/cloudbuild.builds.viewer"),
    ],
)
def test_what_the_caller_may_not_do_is_one_fault_with_one_role(
    cloud: FakeCloud, tmp_path: Path, lacking: tuple[str, ...], role: str
) -> None:
    """An image that is to be built again: one role, and no second one of which it brings all; what waits for it is advice."""
    cloud.state.images.clear()
    cloud.lacking = frozenset(lacking)
    found = doctor(cloud, tmp_path).data["findings"]
    (only,) = (f for f in found if f["state"] == "problem")
    assert (only["code"], only["principal"], only["role"]) == ("caller-lacks-permission", cloud.caller(), role)
    assert all(permission in only["title"] for permission in lacking)
    assert "missing-image" in [f["code"] for f in found if f["state"] == "advice"]


def test_the_role_of_cloud_runs_own_account(cloud: FakeCloud, tmp_path: Path) -> None:
    """Google's own account is one of the deploy: it is named, and gets its one role back."""
    cloud.agent = False
    assert "roles/run.serviceAgent" in refused(cloud)
    (only,) = (f for f in doctor(cloud, tmp_path).data["findings"] if f["state"] != "advice")
    agent = f"serviceAccount:service-{cloud.number()}@serverless-robot-prod.iam.gserviceaccount.com"
    assert (only["code"], only["principal"], only["role"]) == ("missing-grant", agent, "roles/run.serviceAgent")
    before = copy.deepcopy(cloud.state.policies)
    assert doctor(cloud, tmp_path, fix=True).exit is Exit.OK
    added = {t: {r: m for r, m in roles.items() if m != before.get(t, {}).get(r)} for t, roles in cloud.state.policies.items()}
    assert [(t.kind, roles) for t, roles in added.items() if roles] == [("project", {"roles/run.serviceAgent": {agent}})]
    assert doctor(cloud, tmp_path).data["findings"] == []


def test_off_cloud_run_and_retry(cloud: FakeCloud, tmp_path: Path) -> None:
    """With --retry a service that could not even be asked for is deployed again once its API is back."""
    cloud.state.apis.discard("run.googleapis.com")
    again = repair(place(cloud), settings(tmp_path), "gemma", Ear(), fix=True, yes=True, retry=True)
    assert (again.verb, again.exit) == ("deploy", Exit.OK)


def test_a_grant_that_does_not_hold_yet_is_no_repair(cloud: FakeCloud) -> None:
    """Exit 5, said to wait, looked at again next; what failed is not deployed again on it."""
    target, role, member = (grant := GRANTS[0]).target, grant.role, grant.member
    cloud.state.policies[target][role].discard(member)
    context = Context("demo-proj", caller=cloud.caller())
    seen = Seen("gemma", context, (grant_finding(grant),), frozenset({member}), "gemmactl generate")

    def slow(_proposal: Proposal, _cloud: object, **_: object) -> Fixed:
        return Fixed(Outcome((grant.address,)), (), (grant.address,), ("undo it",))

    def again() -> Result:
        raise AssertionError("it does not hold yet")

    here = place(cloud)
    done = concluded(seen, here, Ear(), fix=True, yes=True, for_admin=False, again=again, carry=slow)
    assert (done.exit, done.data["waiting"]) == (Exit.GATE, [grant.address])
    assert done.next == (f"gemmactl doctor gemma {here.flags}",)


class Rounds:
    """Before each call: it begins when no other came for a moment. So calls that stand beside each other are one round."""

    MOMENT = 0.05

    def __init__(self) -> None:
        self.calls = self.number = 0
        self._changed = threading.Condition()

    def __call__(self, _name: str) -> None:
        with self._changed:
            mine = self.number
            self.calls += 1
            while self.number == mine:
                seen = self.calls
                if not self._changed.wait(self.MOMENT) and (self.number, self.calls) == (mine, seen):
                    self.number += 1
                    self._changed.notify_all()


def test_a_look_is_a_few_rounds_of_calls(cloud: FakeCloud, tmp_path: Path) -> None:
    """Every live check, with 300 ms injected into each call: less than 5 s in all; one after the other, thrice that."""
    image, secret = "us-docker.pkg.dev/team-proj/r/i:1", "projects/demo-proj/secrets/team"
    cloud.state.images[image] = DIGEST
    target = PolicyTarget("repository", "projects/team-proj/locations/us/repositories/r")
    agent = f"serviceAccount:service-{cloud.number()}@serverless-robot-prod.iam.gserviceaccount.com"
    cloud.state.policies[target] = {"roles/artifactregistry.reader": {agent}}
    cloud.state.apis.add("compute.googleapis.com")
    cloud.secrets.create(secret, "us-central1", {})
    cloud.secrets.add_version(secret, b"key")
    wish = replace(WISH, image=image, network="default", subnet="default", secrets=(("KEY", SecretRef("team", "1")),))
    here = replace(place(cloud), hf_token="hf_canary", whoami=lambda _token: counted("hub") or HubAccount("ada"))
    counted = Rounds()
    assert deploy(wish, here, Ear(), yes=True).exit is Exit.OK
    cloud.before_call = counted = Rounds()
    looked = repair(here, settings(tmp_path), "gemma", Ear(), fix=False, yes=False)
    assert looked.data["findings"] == []
    # what was deployed names its image by digest, which `image platform` looks for; the tag is a plan's question
    assert {check.name for check in CHECKS} - {one["check"] for one in looked.data["checked"]} == {"image"}
    assert counted.calls * 0.3 > 15
    assert counted.number * 0.3 < 5
