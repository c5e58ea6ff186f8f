"""Secret Manager: access, versions that are gone. Knows no value of any secret."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.principal import EMAIL
from gemmactl.doctor.row import Row

_STATE: Final = (
    r"Secret (?:Version )?\[?(?:projects/(?P<project>[\w-]+)/)?secrets/(?P<secret>[\w-]+)/versions/(?P<version>\w+)\]?"
    r" is in {} state"
)

ROWS: Final = (
    Row(
        code="secret-denied",
        category="iam",
        subcategory="runtime_secret",
        title="The service's own account may not read the secret",
        cause="Cloud Run reads the secret as the revision's service account, which has no accessor role on it.",
        remedy="Grant secretAccessor on this one secret to that account.",
        patterns=(
            rf"Permission denied on secret: (?P<resource>projects/[\w/.-]+?) for Revision service account (?P<member>{EMAIL})",
        ),
        permission="secretmanager.versions.access",
        fix_kind="iam_grant",
        confidence=0.95,
        not_fix=("roles/editor for the account: it can't read values", "roles/secretmanager.admin"),
    ),
    Row(
        code="secret-denied",
        category="iam",
        subcategory="runtime_secret",
        title="The service's own account may not read the secret",
        cause="Cloud Run reads the secret as the revision's service account, which has no accessor role on it.",
        remedy="Grant secretAccessor on this one secret to that account.",
        patterns=(r"Permission denied on secret:? (?P<resource>projects/[\w/.-]+)(?! for Revision|[\w/.-])",),
        permission="secretmanager.versions.access",
        principal="$RUNTIME_SA",
        fix_kind="iam_grant",
    ),
    Row(
        code="secret-destroyed",
        category="config",
        subcategory="secret_version",
        title="The version of the secret is destroyed",
        cause="`latest` is the newest version even when it is destroyed; access does not fall back to an older one.",
        remedy="Add a new version, then deploy with its number.",
        patterns=(_STATE.format("DESTROYED"),),
        fix_kind="user_action",
        commands=("gcloud secrets versions add {secret} --data-file=- --project={project}",),
        not_fix=("roles/secretmanager.secretAccessor: access is fine",),
    ),
    Row(
        code="secret-disabled",
        category="config",
        subcategory="secret_version",
        title="The version of the secret is disabled",
        cause="`latest` is the newest version even when it is disabled.",
        remedy="Enable that version again, or add a new one.",
        patterns=(_STATE.format("DISABLED"),),
        fix_kind="user_action",
        commands=("gcloud secrets versions enable {version} --secret={secret} --project={project}",),
        not_fix=("roles/secretmanager.secretAccessor: access is fine",),
    ),
    Row(
        code="secret-missing",
        category="config",
        subcategory="secret_missing",
        title="The secret, or the version of it, does not exist",
        cause="A wrong name or project, or a secret without any version.",
        remedy="List the versions; add one if there is none.",
        patterns=(
            r"Secret \[(?:projects/(?P<project>[\w-]+)/)?secrets/(?P<secret>[\w-]+)\] not found",
            (
                r"Secret (?:Version )?\[?(?:projects/(?P<project>[\w-]+)/)?secrets/(?P<secret>[\w-]+)/versions/\w+\]?"
                " (?:was )?not found"
            ),
            r"Secret projects/(?P<project>[\w-]+)/secrets/(?P<secret>[\w-]+)/versions/\w+ was not found",
        ),
        fix_kind="user_action",
        commands=("gcloud secrets versions list {secret} --project={project}",),
        not_fix=("any IAM grant",),
    ),
)
