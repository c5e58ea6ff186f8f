"""Organization policies as checks: what each forbids of a stack, what can't be judged here, what is met anyway."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gemmactl.doctor.checks.check import Ground
from gemmactl.doctor.checks.locations import allows
from gemmactl.doctor.checks.org_policy import ROWS, harmless
from gemmactl.doctor.checks.rows import CHECKS
from gemmactl.doctor.checks.run import run
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.service_types import Vpc
from gemmactl.resources.surroundings import OrgPolicy
from tests.doctor.test_checks import cloud_with, ends, ground
from tests.fakes.cloud import FakeCloud

ON = OrgPolicy(enforced=True)
ORGANIZATION = ("//cloudresourcemanager.googleapis.com/organizations/123456789012",)


def members(*subjects: str, sets: tuple[str, ...] = ()) -> OrgPolicy:
    """iam.managed.allowedPolicyMembers with its parameters."""
    return OrgPolicy(enforced=True, parameters=(("allowedMemberSubjects", subjects), ("allowedPrincipalSets", sets)))


def open_to(cloud: FakeCloud, member: str) -> Ground:
    """The stack with a grant to somebody by name."""
    made = ground(cloud)
    target = PolicyTarget("service", made.service.full_name)
    return replace(made, stack=(*made.stack, IamMember(target, "roles/run.invoker", member)))


BITES: tuple[tuple[str, OrgPolicy, Callable[[FakeCloud], Ground], str], ...] = (
    ("run.allowedIngress", OrgPolicy(allowed=("is:internal",)), ground, "--ingress internal"),
    ("run.allowedVPCEgress", OrgPolicy(allowed=("all-traffic",)), ground, "--vpc-egress all-traffic"),
    ("run.managed.requireInvokerIam", ON, lambda c: ground(c, invoker_iam_disabled=True), "--auth iam"),
    ("iam.disableServiceAccountCreation", ON, ground, "--service-account and --build-service-account"),
    ("iam.managed.disableServiceAccountCreation", ON, ground, "--service-account and --build-service-account"),
    ("iam.managed.allowedPolicyMembers", members(sets=ORGANIZATION), lambda c: open_to(c, "allUsers"), "--auth public"),
    (
        "iam.disableCrossProjectServiceAccountUsage",
        ON,
        lambda c: ground(c, service_account="x@other-proj.iam.gserviceaccount.com"),
        "Use an account of demo-proj",
    ),
    ("gcp.resourceLocations", OrgPolicy(allowed=("in:eu-locations",)), ground, "in:eu-locations"),
    ("gcp.restrictServiceUsage", OrgPolicy(denied=("cloudbuild.googleapis.com",)), ground, "allow these APIs"),
    ("cloudbuild.allowedWorkerPools", OrgPolicy(allowed=("projects/p/locations/l/workerPools/w",)), ground, "--image"),
)
MAY_BITE: tuple[tuple[str, OrgPolicy, Callable[[FakeCloud], Ground]], ...] = (
    ("run.allowedBinaryAuthorizationPolicies", OrgPolicy(allowed=("default",)), ground),
    ("gcp.restrictNonCmekServices", OrgPolicy(denied=("run.googleapis.com",)), ground),
    ("gcp.resourceLocations", OrgPolicy(allowed=("in:low-carbon-locations",)), ground),
    ("iam.managed.allowedPolicyMembers", members("user:ann@example.com"), ground),
    ("iam.managed.allowedPolicyMembers", members(sets=ORGANIZATION), lambda c: open_to(c, "user:ann@example.com")),
    (
        "iam.managed.preventPrivilegedBasicRolesForDefaultServiceAccounts",
        ON,
        lambda c: ground(c, service_account="123456789012-compute@developer.gserviceaccount.com"),
    ),
    (
        "iam.automaticIamGrantsForDefaultServiceAccounts",
        ON,
        lambda c: ground(c, service_account="123456789012-compute@developer.gserviceaccount.com"),
    ),
    ("iam.allowedPolicyMemberDomains", OrgPolicy(allowed=("C0abc",)), lambda c: open_to(c, "user:ann@example.com")),
    ("compute.skipDefaultNetworkCreation", ON, lambda c: ground(c, vpc=Vpc("default", "default"))),
)


@pytest.mark.parametrize(("constraint", "policy", "on", "way"), BITES, ids=[b[0] for b in BITES])
def test_a_policy_that_forbids_the_stack_refuses(
    constraint: str, policy: OrgPolicy, on: Callable[[FakeCloud], Ground], way: str
) -> None:
    """It is named with what it forbids and the way out; without the policy the same stack is fine, and a grant never helps."""
    cloud = cloud_with(org_policies={constraint: policy})
    row = [check for check in CHECKS if check.name == f"org policy {constraint}"]
    (verdict,) = run(row, on(cloud))
    (only,) = verdict.findings
    assert (only.state, constraint in only.title, way in only.remedy) == ("problem", True, True)
    assert only.not_fix == ("any IAM grant",)
    cloud.state.org_policies.clear()
    assert run(row, on(cloud))[0].end == "ok"


@pytest.mark.parametrize(("constraint", "policy", "on"), MAY_BITE, ids=[b[0] for b in MAY_BITE])
def test_a_policy_that_can_not_be_judged_here_is_advice(
    constraint: str, policy: OrgPolicy, on: Callable[[FakeCloud], Ground]
) -> None:
    """Told before the yes, never a refusal."""
    (verdict,) = run(
        [c for c in CHECKS if c.name == f"org policy {constraint}"], on(cloud_with(org_policies={constraint: policy}))
    )
    assert [f.state for f in verdict.findings] == ["advice"]


def test_every_policy_has_something_that_it_forbids() -> None:
    """But for those that ask for what gemmactl does anyway."""
    assert {name for name, judge in ROWS if judge is not harmless} == {row[0] for row in (*BITES, *MAY_BITE)}


def test_policies_that_gemmactl_meets_anyway_are_met() -> None:
    """Private buckets with uniform access, accounts of its own: what hardened organizations ask for is no obstacle."""
    names = (
        "storage.publicAccessPrevention",
        "storage.uniformBucketLevelAccess",
        "iam.automaticIamGrantsForDefaultServiceAccounts",
    )
    cloud = cloud_with(org_policies=dict.fromkeys(names, ON) | {"iam.allowedPolicyMemberDomains": OrgPolicy(allowed=("C0abc",))})
    assert ends(cloud) == {}


def test_members_that_a_managed_policy_names_are_met() -> None:
    """Accounts of the project by its organization's set, people by their subject; one that is not enforced forbids nothing."""
    ann = "user:ann@example.com"
    for policy in (members(ann, sets=ORGANIZATION), replace(members(), enforced=False)):
        cloud = cloud_with(org_policies={"iam.managed.allowedPolicyMembers": policy})
        (verdict,) = run([c for c in CHECKS if c.name == "org policy iam.managed.allowedPolicyMembers"], open_to(cloud, ann))
        assert verdict.end == "ok"


@pytest.mark.parametrize(
    ("policy", "region", "answer"),
    [
        (OrgPolicy(), "us-central1", True),
        (OrgPolicy(allowed=("in:us-locations",)), "us-central1", True),
        (OrgPolicy(allowed=("is:us-east4", "europe-west4")), "us-central1", False),
        (OrgPolicy(allowed=("in:us-central1-locations",)), "us-central1", True),
        (OrgPolicy(allowed=("in:eu-locations",)), "europe-west2", False),
        (OrgPolicy(allowed=("in:europe-locations",)), "europe-west2", True),
        (OrgPolicy(denied=("in:us-locations",)), "us-central1", False),
        (OrgPolicy(denied=("in:eu-locations",)), "us-central1", True),
        (OrgPolicy(allowed=("in:canada-locations",)), "us-central1", None),
        (OrgPolicy(deny_all=True), "us-central1", False),
    ],
)
def test_value_groups_of_locations(policy: OrgPolicy, region: str, answer: bool | None) -> None:
    """Regions, continents and the Union are known; any other group is not guessed at."""
    assert allows(policy, region) is answer
