"""Denials that name no permission: `The caller does not have permission`, known by the command that was run."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import CONSEQUENCE, Row

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    r"builds\.(?:submit|create)": ("cloudbuild.builds.create", "build_caller"),
    r"builds\.list": ("cloudbuild.builds.list", "build_caller"),
    r"builds\.(?:describe|log)": ("cloudbuild.builds.get", "build_caller"),
    r"run\.deploy": ("run.services.create", "deploy_caller"),
    r"run\.services\.(?:update|replace)": ("run.services.update", "deploy_caller"),
    r"run\.services\.(?:describe|list)": ("run.services.get", "deploy_caller"),
    r"run\.jobs\.(?:create|deploy|update|replace)": ("run.jobs.create", "jobs"),
    r"run\.jobs\.execute": ("run.jobs.run", "jobs"),
    r"run\.services\.(?:add|remove|set)-iam-policy(?:-binding)?": ("run.services.setIamPolicy", "deploy_caller"),
    r"artifacts\.repositories\.create": ("artifactregistry.repositories.create", "provision"),
    r"secrets\.create": ("secretmanager.secrets.create", "provision"),
    r"secrets\.versions\.add": ("secretmanager.versions.add", "provision"),
    r"secrets\.versions\.access": ("secretmanager.versions.access", "runtime_secret"),
    r"iam\.service-accounts\.create": ("iam.serviceAccounts.create", "provision"),
    r"(?:storage\.)?buckets\.create": ("storage.buckets.create", "provision"),
    r"services\.enable": ("serviceusage.services.enable", "provision"),
    r"logging\.read|run\.services\.logs\.read": ("logging.logEntries.list", "deploy_caller"),
}
"""gcloud command -> the permission it needs first, and the family's name."""

_DENIED: Final = (
    r"(?:\[?[\w.+@-]{3,120}\]? does not have permission to access \w+ instance \[?[\w.-]{1,120}\]? \(or it may not exist\): )?"
    r"(?:PERMISSION_DENIED: )?(?:The )?caller does not have permission(?! to act)"
)


def _caller(command: str, permission: str, family: str) -> Row:
    verb = permission.rpartition(".")[2]
    return Row(
        code=f"caller-{permission.replace('.', '-').lower()}",
        category="iam",
        subcategory=family,
        title=f"The account that ran the command lacks {permission}",
        cause=f"The command needs {permission} ({verb}); the account it is authenticated as has no role with it.",
        remedy="Grant the role to that account, not to a build or runtime service account.",
        patterns=(rf"\(gcloud\.(?:alpha\.|beta\.)?{command}\) {_DENIED}",),
        unless=r"(?:Step #\d|build step \d+ )",
        permission=permission,
        principal="$CALLER",
        fix_kind="iam_grant",
        confidence=0.85,
        not_fix=(
            "roles/owner or roles/editor on the project",
            "granting the role to the build service account: the caller is another",
        ),
    )


ROWS: Final = (
    *(_caller(command, permission, family) for command, (permission, family) in COMMANDS.items()),
    Row(
        code="caller-denied",
        category="iam",
        subcategory="denied",
        title="The caller lacks a permission that the text does not name",
        cause="`The caller does not have permission` hides which one; the call or the lines around it tell what was asked for.",
        remedy="Run `gemmactl doctor NAME`: it tests what each step needs and names the missing permission.",
        patterns=(r"\b(?:403|PERMISSION_DENIED)\b.{0,200}?The caller does not have permission(?! to act)",),
        principal="$CALLER",
        fix_kind="diagnose",
        rank=CONSEQUENCE,
        confidence=0.5,
        not_fix=("roles/owner or roles/editor on the project",),
    ),
    Row(
        code="build-step-deploys",
        category="iam",
        subcategory="build_sa",
        title="A build step deploys to Cloud Run and may not",
        cause="Inside a build the caller is the build's service account, not whoever submitted the build; it has no"
        " Cloud Run role.",
        remedy="Grant run.developer to the build's service account; it also needs serviceAccountUser on the runtime account.",
        patterns=(rf"\(gcloud\.(?:alpha\.|beta\.)?run\.(?:deploy|services\.\w+)\) {_DENIED}",),
        only_with=r"build step \d+ |Finished Step #\d|Starting Step #\d",
        permission="run.services.create",
        principal="$BUILD_SA",
        fix_kind="iam_grant",
        confidence=0.8,
        not_fix=("run.admin for the user who submitted the build", "roles/owner or roles/editor on the project"),
    ),
    Row(
        code="run-policy-not-set",
        category="iam",
        subcategory="deploy_caller",
        title="The service is deployed, but who may call it was not changed",
        cause="Either the caller lacks run.services.setIamPolicy or an organization policy forbids allUsers; gcloud hides which.",
        remedy="Run the binding once by itself to see the reason. Keep the service private unless it must be public.",
        patterns=(r"Setting IAM policy failed, try \"?gcloud",),
        permission="run.services.setIamPolicy",
        principal="$CALLER",
        fix_kind="iam_grant",
        confidence=0.55,
    ),
    Row(
        code="logs-denied",
        category="iam",
        subcategory="deploy_caller",
        title="The caller may not read logs",
        cause="Deploying does not include reading logs; without them the cause of a container failure stays hidden.",
        remedy="Grant logging.viewer to the caller.",
        patterns=(r"Permission denied for all log views",),
        permission="logging.logEntries.list",
        principal="$CALLER",
        fix_kind="iam_grant",
    ),
    Row(
        code="enable-denied",
        category="iam",
        subcategory="provision",
        title="The caller may not enable APIs",
        cause="Enabling an API needs serviceusage.services.enable.",
        remedy="Check first whether the API is enabled already; otherwise grant serviceUsageAdmin, or have an admin enable it.",
        patterns=(r"Permission denied to (?:enable|list|get) services? ?\[",),
        reasons=("AUTH_PERMISSION_DENIED",),
        permission="serviceusage.services.enable",
        principal="$CALLER",
        fix_kind="iam_grant",
    ),
    Row(
        code="quota-project-denied",
        category="iam",
        subcategory="quota_project",
        title="The caller may not use the project as quota project",
        cause="Calls are counted against a project, and using it for that needs serviceusage.services.use there.",
        remedy="Grant serviceUsageConsumer on that project to the caller.",
        patterns=(
            r"does not have required permission to use project (?P<project>[a-z0-9-]+)",
            r"Caller must have (?:the )?'?serviceusage\.services\.use'? permission",
        ),
        reasons=("USER_PROJECT_DENIED",),
        permission="serviceusage.services.use",
        principal="$CALLER",
        fix_kind="iam_grant",
        explains=("iam-denied",),
    ),
    Row(
        code="invoke-denied",
        category="iam",
        subcategory="invoke",
        title="The service refused the call: the caller may not invoke it",
        cause="The service is private; the call carried no ID token, or its account has no invoker role on the service.",
        remedy="Call it with an ID token (`gemmactl generate` does), and grant the role on this one service.",
        patterns=(
            r"The request was not (?:authenticated|authorized to invoke this service)",
            r"Your client does not have permission to get URL .{0,200}? from this server",
        ),
        permission="run.routes.invoke",
        principal="$CALLER",
        fix_kind="iam_grant",
        confidence=0.8,
        not_fix=("allUsers as invoker: that opens the service to the internet",),
    ),
    Row(
        code="services-list-denied",
        category="iam",
        subcategory="provision",
        title="The caller may not look which APIs are enabled",
        cause="Looking needs serviceusage.services.list on the project.",
        remedy="Grant the consumer role on the project.",
        patterns=(r"Permission denied to (?:list|get) services? (?:for|from) (?:the )?consumer(?: container)?",),
        permission="serviceusage.services.list",
        principal="$CALLER",
        fix_kind="iam_grant",
        confidence=0.85,
    ),
)
