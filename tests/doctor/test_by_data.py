"""Roles by data: what is proposed for a permission that no table has."""

from __future__ import annotations

import gzip
import json
from importlib.resources import files

import pytest

from gemmactl.doctor import by_data
from gemmactl.doctor.diagnose import diagnose
from gemmactl.doctor.permissions import TABLE
from gemmactl.doctor.roles.refresh import collect, packed
from tests.doctor.test_permissions import NO_DATA

AGENT_ROLES = {"roles/run.serviceAgent"}
"""The data leaves agents' roles out."""


def test_every_curated_role_holds_its_permission_by_the_shipped_data() -> None:
    """The hand-made choices and the data agree: each role named for a permission contains it."""
    known = {permission: choice for permission, choice in TABLE.items() if not permission.startswith(NO_DATA)}
    held = {permission: {holder.role for holder in by_data.holders(permission)} for permission in known}
    assert len(known) > 300
    assert [p for p, choice in known.items() if not {choice.role, *choice.also} - AGENT_ROLES <= held[p]] == []


@pytest.mark.parametrize(
    ("permission", "role", "scope"),
    [
        ("run.executions.cancel", "roles/run.jobsExecutor", "job"),
        ("run.revisions.delete", "roles/run.developer", "service"),
        ("run.workerpools.create", "roles/run.developer", "project"),
        ("compute.networks.get", "roles/compute.networkUser", "project"),
        ("compute.subnetworks.get", "roles/compute.networkUser", "subnet"),
        ("compute.firewalls.create", "roles/compute.securityAdmin", "project"),
        ("storage.multipartUploads.abort", "roles/storage.objectCreator", "bucket"),
        ("storage.objects.restore", "roles/storage.objectUser", "bucket"),
        ("pubsub.topics.publish", "roles/pubsub.publisher", "project"),
        ("monitoring.timeSeries.list", "roles/monitoring.viewer", "project"),
        ("cloudkms.cryptoKeyVersions.viewPublicKey", "roles/cloudkms.publicKeyViewer", "key"),
        ("secretmanager.versions.destroy", "roles/secretmanager.secretVersionManager", "secret"),
    ],
)
def test_the_narrowest_fitting_role(permission: str, role: str, scope: str) -> None:
    """A role of the permission's own service that is made for it, not the smallest that happens to hold it."""
    found = by_data.narrowest(permission)
    assert found is not None
    assert (found.role, found.scope, found.curated) == (role, scope, False)


def test_a_permission_that_no_role_holds_gets_no_guess() -> None:
    """Unknown permissions, unknown services and words that are no service have no role."""
    for permission in ("run.services.paint", "nosuch.things.get", "../../etc.passwd.get", ""):
        assert by_data.narrowest(permission) is None


def test_a_denial_of_an_uncurated_permission_is_marked() -> None:
    """Principal, scope and role are there, the role is said to be by data, and --fix does not offer it."""
    text = "ERROR: (gcloud.run.jobs.executions.cancel) PERMISSION_DENIED: Permission 'run.executions.cancel' denied on resource \
'projects/my-proj/locations/us-central1/jobs/tune' (or resource may not exist)."
    first = diagnose(text)[0]
    assert (first.permission, first.role, first.scope, first.principal) == (
        "run.executions.cancel",
        "roles/run.jobsExecutor",
        "job",
        "$CALLER",
    )
    assert "by data, not curated" in first.remedy
    assert not first.safe
    assert first.remedies == ()


def test_spelling_does_not_matter() -> None:
    """A permission in another case is found and told as IAM spells it."""
    assert by_data.spelled("RUN.EXECUTIONS.CANCEL") == "run.executions.cancel"
    assert by_data.spelled("compute.globaloperations.get") == "compute.globalOperations.get"


def test_the_shipped_files_are_what_refresh_writes() -> None:
    """A page read and packed again gives the same bytes; agents', basic and deprecated roles are left out."""
    raw = (files("gemmactl.doctor.roles") / "run.json.gz").read_bytes()
    lean = json.loads(gzip.decompress(raw))
    roles = {name: [size, stage] for name, size, stage in lean["roles"]}
    names = list(roles)
    page = {"roles": roles, "permissions": {p: [names[n] for n in held] for p, held in lean["permissions"].items()}}
    assert packed(page) == raw
    some = [
        {"name": "roles/run.developer", "stage": "GA", "includedPermissions": ["run.jobs.get", "x.y.z"]},
        {"name": "roles/run.serviceAgent", "stage": "GA", "includedPermissions": ["run.jobs.get"]},
        {"name": "roles/editor", "stage": "GA", "includedPermissions": ["run.jobs.get"]},
        {"name": "roles/run.old", "stage": "DEPRECATED", "includedPermissions": ["run.jobs.get"]},
    ]
    assert collect(some) == {
        "run": {"roles": {"roles/run.developer": [2, "GA"]}, "permissions": {"run.jobs.get": ["roles/run.developer"]}}
    }


@pytest.mark.parametrize(
    ("permission", "resource", "scope", "told"),
    [
        ("run.widgets.polish", "projects/my-proj/locations/us-central1/widgets/w1", "project", ""),
        (
            "fancynew.gadgets.spin",
            "//fancynew.googleapis.com/projects/my-proj/gadgets/g1",
            "project",
            "projects/my-proj/gadgets/g1",
        ),
        ("secretmanager.secrets.polish", "projects/my-proj/secrets/hf", "secret", ""),
        ("storage.buckets.polish", "projects/_/buckets/my-models", "bucket", "gs://my-models"),
    ],
)
def test_a_permission_that_no_data_knows_keeps_scope_and_resource(permission: str, resource: str, scope: str, told: str) -> None:
    """No role can be told, but what it is about is the whole name in the text."""
    found = diagnose(f"Permission '{permission}' denied on resource '{resource}'.")[0]
    assert (found.permission, found.scope, found.role) == (permission, scope, "")
    assert found.resource == (told or resource)
