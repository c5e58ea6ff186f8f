"""Organization policies that can refuse a deploy: one row for each constraint, with what of this stack it forbids.

Source of constraints and values: Google's list of organization policy constraints and the pages of each product, November 2026.
The managed ones (`iam.managed...`) are asked beside those that they follow: an organization may have set either or both. Cloud
Run's others (`run.managed.disable...`: ephemeral disks, inlined source) forbid nothing that gemmactl makes.
A value that can't be judged here (a customer id, an unknown group of locations) is advice, never a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from gemmactl.doctor.checks.check import Answer, Check, Ground
from gemmactl.doctor.checks.locations import allows
from gemmactl.doctor.finding import Finding
from gemmactl.resources.job import Job
from gemmactl.resources.service_account import project_of
from gemmactl.resources.surroundings import OrgPolicy

PERMISSION: Final = "orgpolicy.policy.get"
API: Final = "orgpolicy.googleapis.com"
INGRESS: Final = {
    "INGRESS_TRAFFIC_ALL": "all",
    "INGRESS_TRAFFIC_INTERNAL_ONLY": "internal",
    "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER": "internal-and-cloud-load-balancing",
}
EGRESS: Final = {"ALL_TRAFFIC": "all-traffic", "PRIVATE_RANGES_ONLY": "private-ranges-only"}
EVERYBODY: Final = frozenset({"allUsers", "allAuthenticatedUsers"})


@dataclass(frozen=True)
class Bite:
    """What a policy forbids of this stack, and the way out. Not sure: it may bite."""

    what: str
    remedy: str
    sure: bool = True


Judge = Callable[[OrgPolicy, Ground], Bite | None]


def permits(policy: OrgPolicy, value: str) -> bool:
    """A list policy on one value; `is:` before a value changes nothing."""
    said = {value, f"is:{value}"}
    if policy.deny_all or said & set(policy.denied):
        return False
    return not policy.allowed or bool(said & set(policy.allowed))


def limits(policy: OrgPolicy) -> bool:
    """Whether a list policy says anything at all."""
    return policy.deny_all or bool(policy.allowed) or bool(policy.denied)


def ingress(policy: OrgPolicy, ground: Ground) -> Bite | None:
    if isinstance(ground.service, Job):
        return None  # nobody calls a job
    wanted = INGRESS.get(ground.service.ingress or "INGRESS_TRAFFIC_ALL", "all")
    if permits(policy, wanted):
        return None
    legal = [value for value in INGRESS.values() if permits(policy, value)]
    way = f"--ingress {legal[0]}" if legal else "an exception from whoever keeps the policy"
    return Bite(f"ingress {wanted}", f"Deploy with {way}; then only callers inside reach the service.")


def egress(policy: OrgPolicy, ground: Ground) -> Bite | None:
    if not limits(policy):
        return None
    vpc = ground.service.vpc
    wanted = EGRESS.get((vpc.egress if vpc else None) or "PRIVATE_RANGES_ONLY", "")
    if vpc is not None and permits(policy, wanted):
        return None
    legal = next((value for value in EGRESS.values() if permits(policy, value)), "all-traffic")
    what = f"egress {wanted}" if vpc else f"a {ground.what} without VPC egress"
    return Bite(what, f"Deploy with --network, --subnet and --vpc-egress {legal}.")


def members(policy: OrgPolicy, ground: Ground) -> Bite | None:
    if not limits(policy):
        return None
    bound = {grant.member for grant in ground.of_kind("iam_member")}
    if bound & EVERYBODY:
        return _to_everybody()
    people = sorted(m for m in bound if not m.startswith("serviceAccount:"))
    if people:
        return Bite(
            f"perhaps {people[0]}, whose customer id can't be seen here", "Name members of your organization.", sure=False
        )
    return None


def _to_everybody() -> Bite:
    return Bite("a grant to allUsers", "Keep the service private, or open it by switching its invoker check off: --auth public.")


def managed_members(policy: OrgPolicy, ground: Ground) -> Bite | None:
    """The constraint that follows allowedPolicyMemberDomains: members by name, organizations as sets of principals."""
    given = dict(policy.parameters)
    subjects, sets = given.get("allowedMemberSubjects", ()), given.get("allowedPrincipalSets", ())
    bound = {grant.member for grant in ground.of_kind("iam_member")} - set(subjects)
    if not policy.enforced:
        return None
    if bound & EVERYBODY:
        return _to_everybody()
    # the accounts of a project belong to its organization's set; whom else that set holds can't be seen here
    strangers = sorted(member for member in bound if not (sets and member.startswith("serviceAccount:")))
    if strangers:
        return Bite(f"perhaps {strangers[0]}, who is not named in it", "Name members that the policy allows.", sure=False)
    return None


def invoker(policy: OrgPolicy, ground: Ground) -> Bite | None:
    if isinstance(ground.service, Job) or not (policy.enforced and ground.service.invoker_iam_disabled):
        return None
    return Bite("a service without the invoker check", "Keep the service private: --auth iam, and name callers with --invoker.")


def account_creation(policy: OrgPolicy, ground: Ground) -> Bite | None:
    if not policy.enforced:
        return None
    made = [a for a in ground.of_kind("service_account") if ground.cloud.accounts.get(a.email) is None]
    if not made:
        return None
    flag = "--service-account" + (" and --build-service-account" if len(made) > 1 else "")
    return Bite(
        f"new service accounts ({', '.join(a.account_id for a in made)})", f"Use accounts that are there, with {flag} EMAIL."
    )


def cross_project(policy: OrgPolicy, ground: Ground) -> Bite | None:
    strangers = [a for a in accounts(ground) if project_of(a) not in (ground.cloud.project, "-", ground.cloud.number())]
    if not (policy.enforced and strangers):
        return None
    return Bite(f"{strangers[0]}, an account of another project", f"Use an account of {ground.cloud.project}.")


def automatic_grants(policy: OrgPolicy, ground: Ground) -> Bite | None:
    ours = [a for a in accounts(ground) if a.endswith("-compute@developer.gserviceaccount.com")]
    if not (policy.enforced and ours):
        return None
    return Bite(
        f"the Editor role that {ours[0]} had in older projects",
        "Grant that account what it needs, or leave --service-account out: a dedicated one is made.",
        sure=False,
    )


def locations(policy: OrgPolicy, ground: Ground) -> Bite | None:
    region = ground.service.region
    allowed = allows(policy, region)
    if allowed is True:
        return None
    named = ", ".join((*policy.allowed, *(f"not {value}" for value in policy.denied))) or "none"
    said = f"region {region}" if allowed is False else f"perhaps region {region}"
    return Bite(said, f"Choose an allowed --region; the policy says: {named}.", sure=allowed is False)


def services(policy: OrgPolicy, ground: Ground) -> Bite | None:
    apis = sorted({name for one in ground.of_kind("apis") for name in one.names})
    refused = [name for name in apis if not permits(policy, name)]
    return Bite(", ".join(refused), "Ask whoever keeps the policy to allow these APIs.") if refused else None


def workers(policy: OrgPolicy, ground: Ground) -> Bite | None:
    if not (limits(policy) and ground.of_kind("image")):
        return None
    return Bite("a build outside private worker pools", "Build the image where that is allowed and give it with --image.")


def binary_authorization(policy: OrgPolicy, _ground: Ground) -> Bite | None:
    if not limits(policy):
        return None
    return Bite("a service without a Binary Authorization policy", "Ask whoever keeps the policy how it is met.", sure=False)


def unencrypted(policy: OrgPolicy, ground: Ground) -> Bite | None:
    kinds = {"service": "run", "repository": "artifactregistry", "bucket": "storage", "secret": "secretmanager"}
    bare = [r for r in ground.stack if r.kind in kinds and not getattr(r, "kms_key", None)]
    apis = sorted({f"{kinds[r.kind]}.googleapis.com" for r in bare})
    refused = [name for name in apis if not permits(policy, name)]
    return (
        Bite(f"resources of {', '.join(refused)} without a key of yours", "Deploy with --kms-key KEY.", sure=False)
        if refused
        else None
    )


def no_default_network(policy: OrgPolicy, ground: Ground) -> Bite | None:
    vpc = ground.service.vpc
    named = (vpc.subnetwork or vpc.network or "") if vpc else ""
    if not (policy.enforced and named.rpartition("/")[2] == "default"):
        return None
    return Bite(
        "a network `default` that comes with a project", "Name a network that somebody made: --network, --subnet.", sure=False
    )


def harmless(_policy: OrgPolicy, _ground: Ground) -> Bite | None:
    """A policy that asks for what gemmactl does anyway: it is named so that nobody has to look it up."""
    return None


def accounts(ground: Ground) -> tuple[str, ...]:
    """E-mails of the accounts that the stack runs and builds as."""
    runs = (ground.service.service_account,) if ground.service.service_account else ()
    return (*runs, *(image.account for image in ground.of_kind("image")))


ROWS: Final[tuple[tuple[str, Judge], ...]] = (
    ("run.allowedIngress", ingress),
    ("run.allowedVPCEgress", egress),
    ("run.managed.requireInvokerIam", invoker),
    ("run.allowedBinaryAuthorizationPolicies", binary_authorization),
    ("iam.allowedPolicyMemberDomains", members),
    ("iam.managed.allowedPolicyMembers", managed_members),
    ("iam.disableServiceAccountCreation", account_creation),
    ("iam.managed.disableServiceAccountCreation", account_creation),
    ("iam.disableCrossProjectServiceAccountUsage", cross_project),
    ("iam.automaticIamGrantsForDefaultServiceAccounts", automatic_grants),
    ("iam.managed.preventPrivilegedBasicRolesForDefaultServiceAccounts", automatic_grants),
    ("gcp.resourceLocations", locations),
    ("gcp.restrictServiceUsage", services),
    ("gcp.restrictNonCmekServices", unencrypted),
    ("cloudbuild.allowedWorkerPools", workers),
    ("compute.skipDefaultNetworkCreation", no_default_network),
    ("storage.publicAccessPrevention", harmless),
    ("storage.uniformBucketLevelAccess", harmless),
)


def checks(rows: Iterable[tuple[str, Judge]] = ROWS) -> tuple[Check, ...]:
    """One check for each row, so that each is asked at the same time and ends by itself."""
    return tuple(Check(f"org policy {constraint}", _ask(constraint, judge), PERMISSION) for constraint, judge in rows)


def _ask(constraint: str, judge: Judge) -> Callable[[Ground], Answer]:
    def ask(ground: Ground) -> Answer:
        policy = ground.cloud.org_policies.effective(constraint)
        bite = judge(policy, ground)
        if bite is None:
            return "is met" if policy.enforced or limits(policy) else "is not set"
        return (_finding(constraint, bite, ground),)

    return ask


def _finding(constraint: str, bite: Bite, ground: Ground) -> Finding:
    state: Literal["problem", "advice"] = "problem" if bite.sure else "advice"
    return Finding(
        code="org-policy",
        category="orgpolicy",
        subcategory=constraint.rpartition(".")[2],
        title=f"The organization policy {constraint} forbids {bite.what}",
        cause="It is set on the project, a folder above it or the organization; no role lifts it.",
        remedy=bite.remedy,
        commands=(f"gcloud org-policies describe {constraint} --effective --project={ground.cloud.project}",),
        resource=f"projects/{ground.cloud.project}",
        scope="project",
        fix_kind="config_change",
        not_fix=("any IAM grant",),
        confidence=1.0 if bite.sure else 0.5,
        state=state,
    )


CHECKS: Final = checks()
