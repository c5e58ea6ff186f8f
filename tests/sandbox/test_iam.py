"""IAM: who may do what, how a denial reads, policies and their etags."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from conftest import PROJECT, Cloud
from google.api_core import exceptions
from google.cloud import artifactregistry_v1, resourcemanager_v3, secretmanager_v1, service_usage_v1

from gemmactl.sandbox import roles
from gemmactl.sandbox.wire import ApiError
from gemmactl.sandbox.world import Settings, World

DEV = "dev@sandbox.invalid"
ME = f"user:{DEV}"
REPOSITORY = f"{PROJECT}/locations/us-central1/repositories/gemma"


@pytest.mark.parametrize(
    ("role", "permission", "holds"),
    [
        ("roles/owner", "run.services.create", True),
        ("roles/owner", "secretmanager.versions.access", True),
        ("roles/owner", "iam.serviceAccounts.getAccessToken", False),
        ("roles/editor", "run.services.create", True),
        ("roles/editor", "secretmanager.versions.access", False),
        ("roles/editor", "resourcemanager.projects.setIamPolicy", False),
        ("roles/viewer", "run.services.get", True),
        ("roles/viewer", "run.services.update", False),
        ("roles/run.developer", "run.services.setIamPolicy", False),
        ("roles/run.admin", "run.services.setIamPolicy", True),
        ("roles/run.invoker", "run.routes.invoke", True),
        ("roles/run.servicesInvoker", "run.routes.invoke", True),
        ("roles/run.builder", "artifactregistry.repositories.uploadArtifacts", True),
        ("roles/artifactregistry.reader", "artifactregistry.repositories.uploadArtifacts", False),
        ("roles/artifactregistry.writer", "artifactregistry.repositories.create", False),
        ("roles/storage.objectViewer", "storage.objects.list", True),
        ("roles/storage.objectViewer", "storage.buckets.get", False),
        ("roles/storage.objectUser", "storage.objects.delete", True),
        ("roles/storage.objectCreator", "storage.objects.delete", False),
        ("roles/secretmanager.viewer", "secretmanager.versions.access", False),
        ("roles/iam.serviceAccountUser", "iam.serviceAccounts.actAs", True),
        ("roles/iam.serviceAccountTokenCreator", "iam.serviceAccounts.actAs", False),
        ("roles/cloudbuild.builds.editor", "cloudbuild.builds.create", True),
        ("roles/serviceusage.serviceUsageConsumer", "serviceusage.services.enable", False),
        ("roles/logging.logWriter", "logging.logEntries.create", True),
        ("roles/logging.viewer", "logging.logEntries.list", True),
        ("roles/browser", "resourcemanager.projects.getIamPolicy", True),
    ],
)
def test_roles_hold_what_googles_do(role: str, permission: str, holds: bool) -> None:
    """The table is Google's own: the traps of it included."""
    assert roles.holds(role, permission) is holds


def test_policies_inherit_from_the_project_and_not_the_other_way(cloud: Cloud) -> None:
    """A role on the project reaches every resource; one on a resource only that."""
    iam = cloud.world.iam
    iam.grant(ME, "roles/secretmanager.secretAccessor", f"{PROJECT}/secrets/one")
    assert iam.holds(ME, "secretmanager.versions.access", f"{PROJECT}/secrets/one/versions/1")
    assert not iam.holds(ME, "secretmanager.versions.access", f"{PROJECT}/secrets/one-more/versions/1")
    iam.grant(ME, "roles/secretmanager.secretAccessor", PROJECT)
    assert iam.holds(ME, "secretmanager.versions.access", f"{PROJECT}/secrets/two/versions/1")
    iam.revoke(ME, "roles/secretmanager.secretAccessor", PROJECT)
    assert not iam.holds(ME, "secretmanager.versions.access", f"{PROJECT}/secrets/two/versions/1")


def test_the_project_may_be_named_by_its_number(cloud: Cloud) -> None:
    """`projects/NUMBER` and `projects/ID` are one resource."""
    cloud.world.iam.grant(ME, "roles/viewer", "projects/100000000001")
    assert cloud.world.iam.holds(ME, "run.services.get", f"{PROJECT}/locations/l/services/s")


@pytest.mark.parametrize(
    ("member", "caller", "holds"),
    [
        ("allUsers", "", True),
        ("allUsers", ME, True),
        ("allAuthenticatedUsers", "", False),
        ("allAuthenticatedUsers", ME, True),
        ("domain:sandbox.invalid", ME, True),
        ("domain:elsewhere.invalid", ME, False),
        ("user:DEV@sandbox.invalid", ME, True),
        ("serviceAccount:dev@sandbox.invalid", ME, False),
    ],
)
def test_members_mean_what_they_mean_at_google(cloud: Cloud, member: str, caller: str, holds: bool) -> None:
    """AllUsers is everybody, allAuthenticatedUsers anybody with a token, kinds are told apart."""
    name = f"{PROJECT}/locations/l/services/s"
    cloud.world.iam.grant(member, "roles/run.invoker", name)
    assert cloud.world.iam.holds(caller, "run.routes.invoke", name) is holds


def test_the_owner_reaches_objects_through_the_buckets_own_bindings(cloud: Cloud) -> None:
    """Take the bucket's convenience bindings away and the owner of the project can't read its objects."""
    you, bucket = "user:you@sandbox.invalid", "projects/_/buckets/b"
    iam = cloud.world.iam
    assert iam.holds(you, "storage.objects.get", f"{bucket}/objects/x")
    iam.set_policy(bucket, {"bindings": [{"role": "roles/storage.objectViewer", "members": [ME]}]})
    assert not iam.holds(you, "storage.objects.get", f"{bucket}/objects/x")
    assert iam.holds(ME, "storage.objects.get", f"{bucket}/objects/x")
    assert iam.holds(you, "storage.buckets.delete", bucket)


@pytest.mark.parametrize(
    ("permission", "resource", "sentence"),
    [
        ("run.services.get", "R", "Permission 'run.services.get' denied on resource 'R' (or resource may not exist)."),
        (
            "artifactregistry.repositories.create",
            "R",
            (
                "Permission 'artifactregistry.repositories.create' denied on resource "
                "'//artifactregistry.googleapis.com/R' (or it may not exist)."
            ),
        ),
        (
            "secretmanager.versions.access",
            "R",
            "Permission 'secretmanager.versions.access' denied for resource 'R' (or it may not exist).",
        ),
        (
            "storage.objects.get",
            "R",
            (
                "dev@sandbox.invalid does not have storage.objects.get access to the Google Cloud Storage object. "
                "Permission 'storage.objects.get' denied on resource (or it may not exist)."
            ),
        ),
        (
            "iam.serviceAccounts.actAs",
            "projects/p/serviceAccounts/x@p.iam.gserviceaccount.com",
            "Permission 'iam.serviceaccounts.actAs' denied on service account x@p.iam.gserviceaccount.com (or it may not exist).",
        ),
        ("iam.serviceAccounts.create", "R", "Permission 'iam.serviceAccounts.create' denied on resource (or it may not exist)."),
    ],
)
def test_a_denial_reads_as_its_api_words_it(cloud: Cloud, permission: str, resource: str, sentence: str) -> None:
    """Google's sentence, and ErrorInfo with the permission and the resource."""
    with pytest.raises(ApiError) as caught:
        cloud.world.iam.require(ME, permission, resource)
    error = caught.value
    assert (error.code, error.status, error.message) == (403, "PERMISSION_DENIED", sentence)
    assert error.details[0]["reason"] == "IAM_PERMISSION_DENIED"
    assert error.details[0]["metadata"] == {"permission": permission, "resource": resource}


@pytest.mark.parametrize("permission", ["cloudbuild.builds.create", "resourcemanager.projects.get"])
def test_some_apis_do_not_say_what_was_missing(cloud: Cloud, permission: str) -> None:
    """Cloud Build and Resource Manager deny without naming the permission: the doctor has to know."""
    with pytest.raises(ApiError) as caught:
        cloud.world.iam.require(ME, permission, PROJECT)
    assert (caught.value.message, caught.value.details) == ("The caller does not have permission", ())


def test_the_official_client_sees_the_reason_of_a_denial(cloud: Cloud) -> None:
    """`reason`, `domain` and `metadata` of the client's exception come from ErrorInfo."""
    cloud.enable("artifactregistry")
    with pytest.raises(exceptions.Forbidden) as caught:
        cloud.client(artifactregistry_v1.ArtifactRegistryClient, DEV).get_repository(name=REPOSITORY)
    assert (caught.value.reason, caught.value.domain) == ("IAM_PERMISSION_DENIED", "artifactregistry.googleapis.com")
    assert caught.value.metadata == {"permission": "artifactregistry.repositories.get", "resource": REPOSITORY}


def test_an_api_that_is_off_answers_before_any_permission(cloud: Cloud) -> None:
    """SERVICE_DISABLED in Google's words, with the link that enables it, also for the owner."""
    with pytest.raises(exceptions.Forbidden) as caught:
        cloud.client(secretmanager_v1.SecretManagerServiceClient).get_secret(name=f"{PROJECT}/secrets/s")
    assert caught.value.reason == "SERVICE_DISABLED"
    assert caught.value.metadata == {"service": "secretmanager.googleapis.com", "consumer": "projects/100000000001"}
    assert "Secret Manager API has not been used in project 100000000001 before or it is disabled." in str(caught.value)


def test_project_policy_read_edit_write(cloud: Cloud) -> None:
    """The official client's read-modify-write with the etag; testIamPermissions needs no permission."""
    owner = cloud.client(resourcemanager_v3.ProjectsClient)
    policy = owner.get_iam_policy(request={"resource": PROJECT, "options": {"requested_policy_version": 3}})
    policy.bindings.add(role="roles/run.viewer", members=[ME])
    written = owner.set_iam_policy(request={"resource": PROJECT, "policy": policy})
    assert written.etag != policy.etag
    dev = cloud.client(resourcemanager_v3.ProjectsClient, DEV)
    held = dev.test_iam_permissions(request={"resource": PROJECT, "permissions": ["run.services.get", "run.services.create"]})
    assert list(held.permissions) == ["run.services.get"]
    with pytest.raises(exceptions.Forbidden, match="Policy update access denied"):
        dev.set_iam_policy(request={"resource": PROJECT, "policy": written})


def test_a_stale_etag_is_a_conflict(cloud: Cloud) -> None:
    """Whoever writes what somebody else changed in the meantime gets 409 ABORTED and nothing is lost."""
    owner = cloud.client(resourcemanager_v3.ProjectsClient)
    stale = owner.get_iam_policy(request={"resource": PROJECT})
    cloud.world.iam.grant(ME, "roles/viewer", PROJECT)
    stale.bindings.add(role="roles/run.viewer", members=[ME])
    with pytest.raises(exceptions.Conflict, match="There were concurrent policy changes"):
        owner.set_iam_policy(request={"resource": PROJECT, "policy": stale})
    assert cloud.world.iam.holds(ME, "run.services.get", PROJECT)


@pytest.mark.parametrize(
    ("role", "member", "text"),
    [
        ("roles/run.everything", ME, "Role roles/run.everything is not supported"),
        ("roles/run.viewer", "dev@sandbox.invalid", "unknown type"),
        ("roles/run.viewer", "serviceAccount:none@gemmactl-sandbox.iam.gserviceaccount.com", "does not exist"),
    ],
)
def test_a_binding_that_can_not_be_is_a_400(cloud: Cloud, role: str, member: str, text: str) -> None:
    """Unknown role, member without a kind, service account that was never made."""
    owner = cloud.client(resourcemanager_v3.ProjectsClient)
    policy = owner.get_iam_policy(request={"resource": PROJECT})
    policy.bindings.add(role=role, members=[member])
    with pytest.raises(exceptions.BadRequest, match=text):
        owner.set_iam_policy(request={"resource": PROJECT, "policy": policy})


class Hand:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def test_a_grant_can_take_effect_late(tmp_path) -> None:
    """With a delay set, both a grant and a revocation are told at once and work later."""
    clock = Hand()
    world = World(tmp_path / "home", clock=clock, settings=Settings(grant_delay=60))
    world.iam.grant(ME, "roles/viewer", PROJECT)
    assert not world.iam.holds(ME, "run.services.get", PROJECT)
    assert any(b["role"] == "roles/viewer" for b in world.iam.policy(PROJECT)["bindings"])
    clock.sleep(61)
    assert world.iam.holds(ME, "run.services.get", PROJECT)
    world.iam.revoke(ME, "roles/viewer", PROJECT)
    assert world.iam.holds(ME, "run.services.get", PROJECT)
    clock.sleep(61)
    assert not world.iam.holds(ME, "run.services.get", PROJECT)


def test_enabling_needs_its_own_permission(cloud: Cloud) -> None:
    """Service Usage denies in its own form: AUTH_PERMISSION_DENIED with the services."""
    with pytest.raises(exceptions.Forbidden) as caught:
        cloud.client(service_usage_v1.ServiceUsageClient, DEV).batch_enable_services(
            request={"parent": PROJECT, "service_ids": ["run.googleapis.com"]}
        )
    assert (caught.value.reason, caught.value.metadata) == ("AUTH_PERMISSION_DENIED", {"services": "run.googleapis.com"})
