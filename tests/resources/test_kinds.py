"""Each kind of resource on the in-memory cloud: made, read back, drift per field, brought back, removed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gemmactl.errors import Trouble
from gemmactl.kernel.plan import Op, decide
from gemmactl.kernel.resource import Resource
from gemmactl.resources import quantity
from gemmactl.resources.apis import Apis
from gemmactl.resources.bucket import BuildBucket, ModelBucket
from gemmactl.resources.cloud import Account, BucketInfo, PolicyTarget, RepositoryInfo
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.repository import Repository
from gemmactl.resources.secret import Secret
from gemmactl.resources.service_account import ServiceAccount
from gemmactl.spec import Token
from tests.fakes.cloud import FakeCloud, refusal
from tests.resources.wishes import work

PROJECT, REGION = "demo-proj", "us-central1"
REPOSITORY = f"projects/{PROJECT}/locations/{REGION}/repositories/gemmactl"
SECRET = f"projects/{PROJECT}/secrets/s"


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud()


SIMPLE: dict[str, Resource] = {
    "apis": Apis(("run.googleapis.com", "iam.googleapis.com")),
    "account": ServiceAccount(PROJECT, "worker", "A worker"),
    "bucket": BuildBucket("b", REGION, delete_after_days=30),
    "models": ModelBucket("m", REGION),
    "repository": Repository(PROJECT, REGION, "gemmactl"),
    "secret": Secret(PROJECT, "s", REGION, value=Token("hf_x")),
    "grant": IamMember(PolicyTarget("project", PROJECT), "roles/logging.logWriter", "user:a@b.invalid"),
}


@pytest.mark.parametrize("wish", SIMPLE.values(), ids=SIMPLE)
def test_what_is_made_is_read_back_as_wished(cloud: FakeCloud, wish: Resource) -> None:
    """Absent it is a CREATE; made, it is a KEEP."""
    assert decide(wish, wish.read(cloud)).op is Op.CREATE
    wish.create(cloud, work())
    assert decide(wish, wish.read(cloud)).op is Op.KEEP


RUNNER = "serve-x@demo-proj.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    ("facts", "cured"),
    [
        ({"message": f"Permission denied on secret: s for Revision service account {RUNNER}."}, True),
        ({"logs": [f"ERROR 403: {RUNNER} does not have storage.objects.get access"]}, True),
        ({"message": "other@demo-proj.iam.gserviceaccount.com does not have storage.objects.get access"}, False),
        ({"message": f"'iam.serviceaccounts.actAs' denied on {RUNNER}", "permission": "iam.serviceAccounts.actAs"}, False),
        ({"reason": "SERVICE_DISABLED", "service": "run.googleapis.com"}, False),
    ],
)
def test_a_grant_cures_what_its_member_is_refused(facts: dict[str, Any], cured: bool) -> None:
    """By its name in the refusal; who may not act as the member lacks a right of his own."""
    grant = IamMember(PolicyTarget("bucket", "b"), "roles/storage.objectViewer", f"serviceAccount:{RUNNER}")
    assert grant.cures(Trouble("no", why="w", remedy="r", code="denied", facts=facts)) is cured


@pytest.mark.parametrize("service", ["run.googleapis.com", "other.googleapis.com"])
def test_an_enabled_api_cures_its_own_denial_alone(service: str) -> None:
    """It may call itself disabled for minutes after it was enabled."""
    apis = Apis(("run.googleapis.com",))
    assert apis.cures(refusal(403, "no", reason="SERVICE_DISABLED", service=service)) is (service == "run.googleapis.com")
    assert not apis.cures(refusal(403, "no", service=service))


@pytest.mark.parametrize("key", ["account", "bucket", "repository", "secret", "grant"])
def test_what_is_removed_is_gone(cloud: FakeCloud, key: str) -> None:
    """After a delete nothing is read."""
    wish = SIMPLE[key]
    wish.create(cloud, work())
    live = wish.read(cloud)
    assert live is not None
    wish.delete(cloud, live, work())
    assert wish.read(cloud) is None


def drift(cloud: FakeCloud, wish: Resource) -> tuple[Op, tuple[str, ...]]:
    step = decide(wish, wish.read(cloud))
    return step.op, tuple(c.field for c in step.changes)


@pytest.mark.parametrize(
    ("field", "info"),
    [
        ("uniform_access", {"uniform_access": False}),
        ("public_access_prevention", {"public_access_prevention": False}),
        ("delete_after_days", {"delete_after_days": None}),
        ("labels", {"labels": {"team": "x"}}),
    ],
)
def test_drift_of_a_bucket(cloud: FakeCloud, field: str, info: dict[str, Any]) -> None:
    """Each field that somebody changed is seen alone and brought back; labels of others stay."""
    wish = SIMPLE["bucket"]
    right = BucketInfo("b", REGION, labels={"managed-by": "gemmactl", "team": "x"}, delete_after_days=30)
    cloud.state.buckets["b"] = replace(right, **info)
    assert drift(cloud, wish) == (Op.UPDATE, (field,))
    live = wish.read(cloud)
    assert live is not None
    wish.update(cloud, live, work())
    assert cloud.state.buckets["b"] == right


def test_a_bucket_in_another_region_blocks(cloud: FakeCloud) -> None:
    """A bucket can't move: the step is BLOCKED and says what to do."""
    cloud.state.buckets["b"] = BucketInfo("b", "europe-west1", labels={"managed-by": "gemmactl"}, delete_after_days=30)
    assert drift(cloud, SIMPLE["bucket"]) == (Op.BLOCKED, ("location",))


@pytest.mark.parametrize(
    ("field", "info"),
    [
        ("keep_newest", {"keep_newest": None}),
        ("delete_after_days", {"delete_after_days": 7}),
        ("labels", {"labels": {}}),
    ],
)
def test_drift_of_a_repository(cloud: FakeCloud, field: str, info: dict[str, Any]) -> None:
    """Each field that somebody changed is seen alone and brought back."""
    wish = SIMPLE["repository"]
    right = RepositoryInfo(REPOSITORY, "DOCKER", {"managed-by": "gemmactl"}, 10, 90)
    cloud.state.repositories[REPOSITORY] = replace(right, **info)
    assert drift(cloud, wish) == (Op.UPDATE, (field,))
    live = wish.read(cloud)
    assert live is not None
    wish.update(cloud, live, work())
    assert cloud.state.repositories[REPOSITORY] == right


def test_a_repository_of_another_format_blocks(cloud: FakeCloud) -> None:
    """A repository for packages can't hold images."""
    cloud.state.repositories[REPOSITORY] = RepositoryInfo(REPOSITORY, "PYTHON", {"managed-by": "gemmactl"}, 10, 90)
    assert drift(cloud, SIMPLE["repository"]) == (Op.BLOCKED, ("format",))


def test_missing_apis_are_enabled_alone(cloud: FakeCloud) -> None:
    """Only what is missing is enabled."""
    cloud.state.apis.add("iam.googleapis.com")
    wish = SIMPLE["apis"]
    assert drift(cloud, wish) == (Op.UPDATE, ("enabled",))
    wish.update(cloud, wish.read(cloud), work())  # type: ignore[arg-type]  # it was read a line above
    assert decide(wish, wish.read(cloud)).op is Op.KEEP


def test_a_disabled_account_blocks(cloud: FakeCloud) -> None:
    """Somebody disabled it on purpose: gemmactl says how to enable it and does not do it."""
    email = f"worker@{PROJECT}.iam.gserviceaccount.com"
    cloud.state.accounts[email] = Account(email, disabled=True)
    step = decide(SIMPLE["account"], SIMPLE["account"].read(cloud))
    assert step.op is Op.BLOCKED
    assert f"gcloud iam service-accounts enable {email}" in step.note


def test_a_secret_without_an_enabled_version_is_filled(cloud: FakeCloud) -> None:
    """A secret whose making was cut off gets its version; without a value that is refused with the way out."""
    cloud.state.secrets[SECRET] = {"managed-by": "gemmactl"}
    wish = SIMPLE["secret"]
    assert drift(cloud, wish) == (Op.UPDATE, ("filled",))
    wish.update(cloud, wish.read(cloud), work())  # type: ignore[arg-type]  # it was read a line above
    assert cloud.state.versions[SECRET] == [("ENABLED", b"hf_x")]
    cloud.state.versions[SECRET] = [("DISABLED", b"hf_x")]
    empty = Secret(PROJECT, "s", REGION)
    with pytest.raises(Trouble) as refused:
        empty.update(cloud, empty, work())
    assert refused.value.code == "secret-value-missing"


def test_a_tokens_newline_is_dropped(cloud: FakeCloud) -> None:
    """A token read from a file with a line end works all the same."""
    Secret(PROJECT, "s", REGION, value=Token("hf_x\n")).create(cloud, work())
    assert cloud.state.versions[SECRET] == [("ENABLED", b"hf_x")]


@pytest.mark.parametrize(
    ("member", "description", "label", "ours"),
    [
        ("user:a@b.invalid", "", "gemmactl", False),
        ("serviceAccount:theirs@demo-proj.iam.gserviceaccount.com", "", "", False),
        ("serviceAccount:theirs@demo-proj.iam.gserviceaccount.com", "", "gemmactl", True),
        ("serviceAccount:theirs@demo-proj.iam.gserviceaccount.com", "managed-by=gemmactl", "", True),
    ],
)
def test_whose_a_binding_is(cloud: FakeCloud, member: str, description: str, label: str, ours: bool) -> None:
    """Ours: a service account's, when we made the account or the thing. Never a person's."""
    email = member.partition(":")[2]
    cloud.state.accounts[email] = Account(email, description=description)
    cloud.state.buckets["b"] = BucketInfo("b", REGION, labels={"managed-by": label})
    grant = IamMember(PolicyTarget("bucket", "b"), "roles/storage.objectViewer", member)
    assert grant.ours(cloud, grant) is ours


def test_grants_on_one_policy_share_a_lock_and_differ_in_address() -> None:
    """Two writes of one policy never run together; secrets of one name in two projects are two things."""
    one = IamMember(PolicyTarget("secret", "projects/a/secrets/s"), "roles/x", "user:a@b.invalid")
    two = IamMember(PolicyTarget("secret", "projects/b/secrets/s"), "roles/x", "user:a@b.invalid")
    assert one.lock == replace(one, role="roles/y").lock != two.lock
    assert one.address != two.address


# --- model files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "same"),
    [
        (quantity.cpu, ("8", "8.0", "8000m")),
        (quantity.cpu, ("500m", "0.5", ".5".rjust(3, "0"))),
        (quantity.memory, ("32Gi", "32768Mi", "34359738368")),
        (quantity.memory, ("1500M", "1.5G", "1500000000")),
        (quantity.memory, ("4k", "4000", "4K")),
    ],
)
def test_quantities_are_compared_by_value(function: Any, same: tuple[str, ...]) -> None:
    """Every spelling of one amount has one canonical text."""
    assert len({function(text) for text in same}) == 1


def test_an_amount_that_is_none_stays_as_it_is() -> None:
    """What can't be read is left for the server to refuse."""
    assert (quantity.cpu("many"), quantity.memory("much")) == ("many", "much")


def test_a_strangers_bucket_is_no_trouble_for_destroy(cloud: FakeCloud) -> None:
    """A model in a bucket of another project, or in one that may not be looked at: the binding there is not ours to judge."""
    cloud.state.accounts["a@demo-proj.iam.gserviceaccount.com"] = Account("a@demo-proj.iam.gserviceaccount.com")
    member = "serviceAccount:a@demo-proj.iam.gserviceaccount.com"
    grant = IamMember(PolicyTarget("bucket", "theirs"), "roles/storage.objectViewer", member)
    for refused in (refusal(403, "no"), Trouble("x", why="x", remedy="x", code="bucket-of-another-project")):

        def refuse(name: str, said: Trouble = refused) -> None:
            if name == "storage.bucket":
                raise said

        cloud.before_call = refuse
        assert grant.ours(cloud, grant) is False
