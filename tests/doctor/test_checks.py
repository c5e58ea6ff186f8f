"""Live checks: three ends, all at once, in order; each row on a cloud that has exactly its fault."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl import stack
from gemmactl.doctor.checks.check import Check, Ground, Verdict
from gemmactl.doctor.checks.org_policy import ROWS
from gemmactl.doctor.checks.rows import CHECKS
from gemmactl.doctor.checks.run import run
from gemmactl.doctor.finding import Context
from gemmactl.errors import Trouble
from gemmactl.resources.cloud import Account, BucketInfo, PolicyTarget
from gemmactl.resources.service import Service
from gemmactl.resources.service_types import Vpc
from gemmactl.resources.surroundings import Login, SubnetInfo
from gemmactl.spec import SecretRef, Serve, parse_model
from tests.fakes.cloud import DIGEST, FakeCloud
from tests.fakes.refusal import refusal

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")
SUBNET = "projects/demo-proj/regions/us-central1/subnetworks/inner"


def cloud_with(**state: object) -> FakeCloud:
    cloud = FakeCloud()
    cloud.apis.enable(["run.googleapis.com"])
    cloud.storage.create_bucket(BucketInfo("weights", "us-central1"))
    for name, value in state.items():
        setattr(cloud.state, name, value)
    return cloud


def ground(cloud: FakeCloud, wish: Serve = WISH, *, live: bool = False, **service: object) -> Ground:
    made = stack.serving(wish)
    own = next(r for r in made if isinstance(r, Service))
    changed = tuple(replace(r, **service) if r is own else r for r in made)  # type: ignore[arg-type]  # fields by name
    return Ground(cloud, changed, wish.model.bucket, Context(project="demo-proj", caller=cloud.caller()), live)


def ends(cloud: FakeCloud, wish: Serve = WISH, *, live: bool = False, **service: object) -> dict[str, Verdict]:
    """The verdicts that are not ok."""
    return {v.check: v for v in run(CHECKS, ground(cloud, wish, live=live, **service)) if v.end != "ok"}


def test_on_good_ground_every_check_is_ok() -> None:
    """Nothing is found, nothing unknown, nothing written, and every check says what it saw."""
    cloud = cloud_with()
    cloud.calls.clear()
    verdicts = run(CHECKS, ground(cloud, live=True))
    assert {v.end for v in verdicts} == {"ok"}
    assert all(v.seen for v in verdicts)
    assert cloud.writes == []


def test_every_check_is_documented() -> None:
    """docs/preflight.md names each, and every organization policy."""
    page = (Path(__file__).parents[2] / "docs" / "preflight.md").read_text(encoding="utf-8")
    missing = [c.name for c in CHECKS if f"`{c.name.removeprefix('org policy ')}`" not in page]
    assert missing == []


def test_the_page_names_files_that_are_there() -> None:
    """Where each question is asked and tested: 25 rows, and no path of them has moved."""
    root = Path(__file__).parents[2]
    table = (root / "docs" / "preflight.md").read_text(encoding="utf-8").partition("## Where each question lives")[2]
    rows = [line.split("|")[2:4] for line in table.splitlines() if line.startswith("| ") and "`" in line]
    assert len(rows) == 25
    named = [
        (folder, path)
        for row in rows
        for folder, cell in zip(("gemmactl", "tests"), row, strict=True)
        for path in re.findall(r"`([^`]+)`", cell)
    ]
    assert [path for folder, path in named if not (root / folder / path).is_file()] == []


def test_the_order_is_that_of_the_checks_and_a_broken_one_harms_none() -> None:
    """A check that raises anything ends as unknown; the others end as they would."""

    def bug(_: Ground) -> str:
        raise ZeroDivisionError("oops")

    def network(_: Ground) -> str:
        raise Trouble("the API can't be reached", why="", remedy="")

    checks = (Check("a", bug), Check("b", lambda _: "fine"), Check("c", network), Check("d", lambda _: "x", when=lambda _: False))
    found = run(checks, ground(cloud_with()))
    assert [(v.check, v.end) for v in found] == [("a", "unknown"), ("b", "ok"), ("c", "unknown")]
    assert "ZeroDivisionError: oops" in found[0].seen


def test_all_are_asked_at_the_same_time() -> None:
    """Fifty checks that wait for each other all get their answer: none of them stands in a queue."""
    barrier = threading.Barrier(50, timeout=30)

    def meet(_: Ground) -> str:
        barrier.wait()
        return "met"

    assert {v.end for v in run([Check(str(n), meet) for n in range(50)], ground(cloud_with()))} == {"ok"}


def test_a_missing_right_is_unknown_and_named() -> None:
    """A refused read is never ok: the permission that the denial names, or else the one that the check knows."""

    def refuse(name: str) -> None:
        if name == "projects.billed":
            raise refusal(403, "The caller does not have permission")
        if name == "org_policies.effective":
            raise refusal(403, "denied", permission="orgpolicy.policy.get")

    cloud = cloud_with()
    cloud.before_call = refuse
    found = ends(cloud)
    assert (found["billing"].end, found["billing"].permission) == ("unknown", "resourcemanager.projects.get")
    assert found["org policy run.allowedIngress"].seen == "unknown (missing permission orgpolicy.policy.get)"
    assert len(found) == 1 + len(ROWS)


def test_a_disabled_api_is_unknown_until_it_is_enabled() -> None:
    """The verdict names the API; Cloud Run's own account can't be there before Cloud Run is."""
    cloud = FakeCloud(enforce_apis=True)
    cloud.apis.enable(["storage.googleapis.com", "iam.googleapis.com"])
    cloud.storage.create_bucket(BucketInfo("weights", "us-central1"))
    found = ends(cloud)
    assert found["service agent"].api == found["quota"].api.replace("cloudquotas", "run") == "run.googleapis.com"
    assert found["billing"].seen == "unknown until cloudbilling.googleapis.com is enabled"
    assert all(v.end == "unknown" for v in found.values())


def account(email: str, *, disabled: bool = False) -> dict[str, Account]:
    return {email: Account(email, disabled=disabled)}


FAULTS: tuple[tuple[dict[str, object], Serve, str, str, str], ...] = (
    ({"project_state": "DELETE_REQUESTED"}, WISH, "project", "project-inactive", "problem"),
    ({"project_state": ""}, WISH, "project", "project-missing", "problem"),
    ({"billed": False}, WISH, "billing", "billing-off", "problem"),
    ({"buckets": {}}, WISH, "bucket", "bucket-missing", "problem"),
    ({"buckets": {"weights": BucketInfo("weights", "EUROPE-WEST4")}}, WISH, "bucket", "bucket-far", "advice"),
    ({}, replace(WISH, hf_token=SecretRef("team", "3")), "secrets", "secret-missing", "problem"),
    (
        {"versions": {"projects/demo-proj/secrets/team": [("DISABLED", b"")]}},
        replace(WISH, secrets=(("KEY", SecretRef("team", "1")),)),
        "secrets",
        "secret-disabled",
        "problem",
    ),
    ({}, replace(WISH, service_account="x@demo-proj.iam.gserviceaccount.com"), "service accounts", "account-missing", "problem"),
    (
        {"accounts": account("x@demo-proj.iam.gserviceaccount.com", disabled=True)},
        replace(WISH, service_account="x@demo-proj.iam.gserviceaccount.com"),
        "service accounts",
        "account-disabled",
        "problem",
    ),
    ({}, replace(WISH, image="us-docker.pkg.dev/demo-proj/r/i:1"), "image", "image-missing", "problem"),
    ({}, replace(WISH, image=f"us-docker.pkg.dev/team-proj/r/i@{DIGEST}"), "image of another project", "missing-grant", "advice"),
    (
        {"limits": {("NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion", "us-central1"): 0.0}},
        WISH,
        "quota",
        "gpu-quota-none",
        "problem",
    ),
)


@pytest.mark.parametrize(("state", "wish", "check", "code", "weight"), FAULTS, ids=[f"{c}-{k}" for _, _, c, k, _ in FAULTS])
def test_each_fault_is_found_by_its_own_check(state: dict[str, object], wish: Serve, check: str, code: str, weight: str) -> None:
    """One thing is wrong: exactly one check says so, with a remedy that can be copied, and the others are ok."""
    found = ends(cloud_with(**state), wish)
    assert list(found) == [check]
    (only,) = found[check].findings
    assert (only.code, only.state, found[check].refuses) == (code, weight, weight == "problem")
    assert only.remedy
    assert only.commands


def test_a_model_of_another_region_is_copied_with_one_line() -> None:
    """The folder is the deployed one, and the bucket gemmactl's own of the service's region, made if need be."""
    found = ends(cloud_with(buckets={"weights": BucketInfo("weights", "EUROPE-WEST4")}), WISH)["bucket"].findings[0]
    near = "gs://demo-proj-gemmactl-models-us-central1/m"
    assert found.commands == (f"gemmactl copy gs://weights/m {near} --make-bucket --region us-central1",)


def test_a_teams_image_needs_one_grant_to_one_account() -> None:
    """Cloud Run's own account, on the repository alone, as a line to copy; once it has it, or all may read, nothing is said."""
    wish = replace(WISH, image=f"us-docker.pkg.dev/team-proj/r/i@{DIGEST}")
    found = ends(cloud_with(), wish)["image of another project"].findings[0]
    agent = "serviceAccount:service-123456789012@serverless-robot-prod.iam.gserviceaccount.com"
    grant = f"gcloud artifacts repositories add-iam-policy-binding r --member={agent} --role=roles/artifactregistry.reader"
    assert found.commands == (f"{grant} --project=team-proj --location=us",)
    target = PolicyTarget("repository", "projects/team-proj/locations/us/repositories/r")
    for member in (agent, "allUsers"):
        cloud = cloud_with(policies={target: {"roles/artifactregistry.reader": {member}}})
        assert ends(cloud, wish) == {}


def test_cloud_runs_own_account_has_its_role() -> None:
    """Missing on a project that serves is a fault with a grant; before the first service Google may still give it."""
    cloud = cloud_with()
    cloud.agent = False
    assert [f.state for f in ends(cloud, live=True)["service agent"].findings] == ["problem"]
    (advice,) = ends(cloud)["service agent"].findings
    assert (advice.state, advice.role) == ("advice", "roles/run.serviceAgent")


def test_two_logins_are_told() -> None:
    """When gcloud runs as somebody else than gemmactl: that is advice, no refusal."""
    cloud = cloud_with()
    cloud.who = Login("authorized_user", gcloud_account="admin@sandbox.invalid")
    (only,) = ends(cloud)["credentials"].findings
    assert (only.code, only.state) == ("two-logins", "advice")
    cloud.who = Login("service_account", gcloud_account="admin@sandbox.invalid")
    assert ends(cloud) == {}


def test_a_quota_project_must_be_usable() -> None:
    """A person's calls count on it: without serviceusage.services.use there every call is refused."""
    cloud = cloud_with()
    cloud.who, cloud.held = Login("authorized_user", quota_project="elsewhere"), frozenset()
    (only,) = ends(cloud)["quota project"].findings
    assert (only.permission, only.resource) == ("serviceusage.services.use", "projects/elsewhere")


VPC = Vpc("net", "inner", egress="ALL_TRAFFIC")


@pytest.mark.parametrize(
    ("subnet", "vpc", "codes"),
    [
        (None, VPC, ["network-missing"]),
        (SubnetInfo("net", "10.0.0.0/24"), VPC, ["subnet-without-google-access"]),
        (SubnetInfo("net", "10.0.0.0/24"), replace(VPC, egress="PRIVATE_RANGES_ONLY"), []),
        (SubnetInfo("net", "10.0.0.0/28", private_google_access=True), VPC, ["subnet-small"]),
        (SubnetInfo("net", "10.0.0.0/24", private_google_access=True), VPC, []),
        (SubnetInfo("net", "10.0.0.0/24", private_google_access=True, free=16), VPC, []),
        (SubnetInfo("net", "10.0.0.0/24", private_google_access=True, free=15), VPC, ["subnet-full"]),
        (SubnetInfo("other", "10.0.0.0/24", private_google_access=True), VPC, ["subnet-of-another-network"]),
        (SubnetInfo("other", "10.0.0.0/24", private_google_access=True), Vpc("", "inner", egress="ALL_TRAFFIC"), []),
    ],
)
def test_the_subnet_of_vpc_egress(subnet: SubnetInfo | None, vpc: Vpc, codes: list[str]) -> None:
    """There, of the network that is named, with a way to Cloud Storage when all traffic takes it, large, and not full."""
    found = ends(cloud_with(subnets={SUBNET: subnet} if subnet else {}), vpc=vpc)
    assert [f.code for v in found.values() for f in v.findings] == codes


def test_without_vpc_egress_no_subnet_is_asked_for() -> None:
    """Compute Engine's API is often off: it is not called without need."""
    cloud = cloud_with()
    run(CHECKS, ground(cloud))
    assert not any(c.name == "subnets.get" for c in cloud.calls)


@pytest.mark.parametrize(
    ("facts", "end", "said"),
    [
        ({"location": "US-CENTRAL1"}, "ok", "gs://weights is in us-central1"),
        ({"location": "EUROPE-WEST4"}, "finding", "gs://weights is in europe-west4, the service in us-central1"),
        ({}, "unknown", "unknown: bucket weights belongs to another project"),
    ],
)
def test_a_bucket_of_another_project_is_judged_by_where_it_is(facts: dict[str, str], end: str, said: str) -> None:
    """Weights are read from there all the same: near or far counts, and an unknown place is no good one."""
    cloud = cloud_with()

    def squatted(call: str) -> None:
        if call == "storage.bucket":
            raise Trouble(
                "bucket weights belongs to another project", why="", remedy="", code="bucket-of-another-project", facts=facts
            )

    cloud.before_call = squatted
    (verdict,) = [v for v in run(CHECKS, ground(cloud)) if v.check == "bucket"]
    assert (verdict.end, verdict.seen) == (end, said)
