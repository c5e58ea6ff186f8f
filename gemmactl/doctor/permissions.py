"""Curated: which role is the least that fits a permission, and what to bind it on. Knows no text and no principal.

"The smallest role that holds it" is wrong for half of these (serviceusage.services.use would be dlp.user), so the choice is
made by hand; tests verify against the public role data that each role does hold its permission.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal, cast

from gemmactl.doctor import running
from gemmactl.doctor.permissions_beyond import BEYOND

Scope = Literal[
    "project",
    "bucket",
    "repo",
    "secret",
    "service account",
    "service",
    "job",
    "key",
    "subnet",
    "folder",
    "organization",
    "billing account",
]


@dataclass(frozen=True)
class Least:
    """The proposed role, where to bind it, what else holds the permission, and what is tempting but wrong."""

    role: str
    scope: Scope
    also: tuple[str, ...] = ()
    trap: str = ""
    curated: bool = True
    """False: chosen by the data of all roles (by_data.py), by nobody's judgement."""


_OBJECTS: Final = Least(
    "roles/storage.objectViewer",
    "bucket",
    ("roles/storage.objectUser",),
    "not roles/storage.admin or objectAdmin: reading needs the viewer role on this one bucket",
)
_RUN_WRITE: Final = Least(
    "roles/run.developer", "project", ("roles/run.admin",), "not roles/run.admin unless it also sets who may call the service"
)
_WRITE_OBJECTS: Final = Least(
    "roles/storage.objectUser", "bucket", ("roles/storage.objectAdmin",), "not roles/storage.admin; objectCreator can't overwrite"
)

_NEAR: Final[dict[str, Least]] = {
    "cloudbuild.builds.create": Least(
        "roles/cloudbuild.builds.editor",
        "project",
        ("roles/run.sourceDeveloper",),
        "it is the caller who needs it, not the build's service account",
    ),
    "cloudbuild.builds.get": Least("roles/cloudbuild.builds.viewer", "project", ("roles/cloudbuild.builds.editor",)),
    "cloudbuild.builds.list": Least("roles/cloudbuild.builds.viewer", "project", ("roles/cloudbuild.builds.editor",)),
    "serviceusage.services.use": Least(
        "roles/serviceusage.serviceUsageConsumer",
        "project",
        (),
        "not Owner, Editor or Viewer, even where the message proposes them",
    ),
    "serviceusage.services.get": Least(
        "roles/serviceusage.serviceUsageConsumer", "project", ("roles/serviceusage.serviceUsageViewer",)
    ),
    "serviceusage.services.list": Least(
        "roles/serviceusage.serviceUsageConsumer", "project", ("roles/serviceusage.serviceUsageViewer",)
    ),
    "serviceusage.services.enable": Least(
        "roles/serviceusage.serviceUsageAdmin", "project", (), "serviceUsageConsumer does not include it"
    ),
    "iam.serviceAccounts.actAs": Least(
        "roles/iam.serviceAccountUser",
        "service account",
        (),
        "not on the whole project, and not serviceAccountTokenCreator or run.admin: neither includes it",
    ),
    "iam.serviceAccounts.getAccessToken": Least(
        "roles/iam.serviceAccountTokenCreator", "service account", ("roles/run.serviceAgent",), "serviceAccountUser lacks it"
    ),
    "iam.serviceAccounts.create": Least(
        "roles/iam.serviceAccountCreator", "project", ("roles/iam.serviceAccountAdmin",), "not serviceAccountUser"
    ),
    "iam.serviceAccounts.get": Least("roles/iam.serviceAccountViewer", "project", ("roles/iam.serviceAccountUser",)),
    "iam.serviceAccounts.setIamPolicy": Least("roles/iam.serviceAccountAdmin", "service account"),
    "run.services.get": Least(
        "roles/run.developer", "project", ("roles/run.viewer",), "viewer alone fails at the next call of a deploy"
    ),
    "run.services.list": Least("roles/run.viewer", "project", ("roles/run.developer",)),
    "run.services.create": _RUN_WRITE,
    "run.services.update": _RUN_WRITE,
    "run.services.delete": _RUN_WRITE,
    "run.operations.get": _RUN_WRITE,
    "run.jobs.create": _RUN_WRITE,
    "run.jobs.update": _RUN_WRITE,
    "run.jobs.get": _RUN_WRITE,
    "run.services.setIamPolicy": Least("roles/run.admin", "service", (), "roles/run.developer lacks it; not iam.securityAdmin"),
    "run.routes.invoke": Least(
        "roles/run.servicesInvoker", "service", ("roles/run.invoker",), "not allUsers: that opens the service to the internet"
    ),
    "run.jobs.run": Least("roles/run.jobsExecutor", "job", ("roles/run.invoker", "roles/run.jobsExecutorWithOverrides")),
    "run.jobs.runWithOverrides": Least(
        "roles/run.jobsExecutorWithOverrides", "job", ("roles/run.developer",), "roles/run.invoker does not include it"
    ),
    "artifactregistry.repositories.uploadArtifacts": Least(
        "roles/artifactregistry.writer", "repo", ("roles/run.builder",), "not artifactregistry.admin; reader lacks it"
    ),
    "artifactregistry.repositories.downloadArtifacts": Least(
        "roles/artifactregistry.reader", "repo", ("roles/artifactregistry.writer",), "the runtime account does not pull the image"
    ),
    "artifactregistry.repositories.get": Least(
        "roles/artifactregistry.reader", "repo", ("roles/artifactregistry.writer",), "not artifactregistry.admin"
    ),
    "artifactregistry.repositories.getIamPolicy": Least(
        "roles/artifactregistry.viewer", "repo", ("roles/artifactregistry.editor",)
    ),
    "artifactregistry.repositories.create": Least(
        "roles/artifactregistry.editor",
        "project",
        ("roles/artifactregistry.admin",),
        "artifactregistry.writer does not include it",
    ),
    "secretmanager.versions.access": Least(
        "roles/secretmanager.secretAccessor", "secret", (), "not secretmanager.admin; viewer and roles/editor can't read a value"
    ),
    "secretmanager.versions.add": Least(
        "roles/secretmanager.secretVersionAdder", "secret", ("roles/secretmanager.secretVersionManager",)
    ),
    "secretmanager.versions.get": Least("roles/secretmanager.viewer", "secret"),
    "secretmanager.secrets.get": Least("roles/secretmanager.viewer", "secret"),
    "secretmanager.secrets.create": Least(
        "roles/secretmanager.editor", "project", ("roles/secretmanager.admin",), "secretVersionAdder does not include it"
    ),
    "secretmanager.secrets.setIamPolicy": Least("roles/secretmanager.admin", "secret"),
    "storage.objects.get": _OBJECTS,
    "storage.objects.list": _OBJECTS,
    "storage.objects.create": _WRITE_OBJECTS,
    "storage.objects.update": _WRITE_OBJECTS,
    "storage.objects.delete": _WRITE_OBJECTS,
    "storage.buckets.get": Least(
        "roles/storage.bucketViewer",
        "bucket",
        ("roles/storage.legacyBucketReader",),
        "no object role includes it, objectAdmin neither",
    ),
    "storage.buckets.create": Least(
        "roles/storage.editor", "project", ("roles/storage.admin",), "storage.objectAdmin does not include it"
    ),
    "storage.buckets.setIamPolicy": Least("roles/storage.legacyBucketOwner", "bucket", ("roles/storage.admin",)),
    "logging.logEntries.create": Least("roles/logging.logWriter", "project", ("roles/run.builder",), "not logging.admin"),
    "logging.logEntries.list": Least("roles/logging.viewer", "project", (), "not roles/viewer or logging.admin"),
    "resourcemanager.projects.get": Least("roles/browser", "project"),
    "resourcemanager.projects.setIamPolicy": Least(
        "roles/resourcemanager.projectIamAdmin", "project", (), "nobody can grant it to himself; not roles/owner"
    ),
    "resourcemanager.projects.getIamPolicy": Least("roles/browser", "project", ("roles/iam.securityReviewer",)),
    "cloudquotas.quotas.get": Least("roles/cloudquotas.viewer", "project"),
    "run.executions.get": Least("roles/run.viewer", "project", ("roles/run.developer",)),
    "compute.subnetworks.use": Least("roles/compute.networkUser", "subnet"),
    "cloudkms.cryptoKeyVersions.useToEncrypt": Least(
        "roles/cloudkms.cryptoKeyEncrypterDecrypter", "key", (), "not cloudkms.admin: it can't use the key"
    ),
}


NO_LESS: Final[dict[tuple[str, str], str]] = {
    ("run.services.get", "roles/run.viewer"): "a deploy fails at its next call",
    ("artifactregistry.repositories.uploadArtifacts", "roles/run.builder"): "it brings rights on logs, sources and objects",
    ("logging.logEntries.create", "roles/run.builder"): "it brings rights on images, sources and objects",
    ("serviceusage.services.get", "roles/serviceusage.serviceUsageViewer"): "the consumer's role is needed anyway",
    ("serviceusage.services.list", "roles/serviceusage.serviceUsageViewer"): "the consumer's role is needed anyway",
    ("iam.serviceAccounts.get", "roles/iam.serviceAccountUser"): "it also allows acting as the account",
    ("iam.serviceAccounts.getAccessToken", "roles/run.serviceAgent"): "it is for an account of Google's own",
}
"""Permission and another role that holds it -> why that one is not the least, although it holds no more permissions by data."""


def _spread(line: str) -> list[str]:
    """`run.{jobs,services}.{get}` -> both."""
    parts = [part.strip("{}").split(",") for part in re.findall(r"\{[^}]*\}|[^.{}]+", line)]
    return [".".join(choice) for choice in product(*parts)]


TABLE: Final[dict[str, Least]] = _NEAR | {
    permission: Least(role, cast(Scope, scope))
    for role, scope, lines in BEYOND
    for line in lines.split()
    for permission in _spread(line)
    if permission not in running.ROLES
}

_RUNNING: Final[dict[str, Least]] = {name: Least(role, scope, (), trap) for name, (role, scope, trap) in running.ROLES.items()}
_BY_LOWER: Final[dict[str, str]] = {name.lower(): name for name in (*TABLE, *_RUNNING)}


def known() -> tuple[str, ...]:
    """Every permission with a choice made by hand."""
    return tuple(_BY_LOWER.values())


def canonical(permission: str) -> str:
    """The permission as IAM spells it: Cloud Run prints `iam.serviceaccounts.actAs`."""
    return _BY_LOWER.get(permission.lower(), permission)


ABOVE: Final[dict[str, str]] = {
    "iam.roles": "roles/iam.organizationRoleAdmin",
    "iam.workloadIdentityPools": "roles/iam.workloadIdentityPoolAdmin",
    "resourcemanager.projects": "roles/resourcemanager.projectCreator",
    "logging.sinks": "roles/logging.configWriter",
}
"""Roles for kinds of things that live in an organization or a folder too."""


def least(permission: str) -> Least | None:
    """The curated choice, or None for a permission that is in no table."""
    return TABLE.get(canonical(permission)) or _RUNNING.get(canonical(permission))


_OF_A_STEP: Final[dict[str, Least]] = {
    "storage.objects.create": Least(
        "roles/storage.objectCreator",
        "bucket",
        ("roles/storage.objectUser",),
        "objectUser also replaces and deletes what is there",
    ),
}
"""What a step of ours writes has a name of its own; a failure of unknown origin may be about replacing an object."""


def least_of_step(permission: str) -> Least | None:
    """The choice for a step of a plan: the one source of preflight and of the administrator's half."""
    return _OF_A_STEP.get(permission) or least(permission)
