"""Denials in the words of single tools: acting as an account, impersonating it, creating above projects, keys, agents."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.principal import EMAIL
from gemmactl.doctor.row import LAST, Row

_PERMISSION: Final = r"(?P<permission>[a-z]{2,30}\.[a-z]{2,60}\.[a-z]{2,60})"
_ACCOUNT: Final = rf"['\"`\[(]?(?P<resource>(?:projects/[\w.:-]+/serviceAccounts/)?{EMAIL})"
_WHERE: Final = r"(?:projects|organizations|folders)/[\w-]+"
_BROAD: Final = ("roles/owner or roles/editor on the project",)


def denied(code: str, title: str, cause: str, remedy: str, permission: str, *patterns: str, **more: object) -> Row:
    """A denial in words of its own; `more`: other fields of Row, by their names."""
    return Row(
        code=code,
        category="iam",
        subcategory=str(more.pop("subcategory", "denied")),
        title=title,
        cause=cause,
        remedy=remedy,
        patterns=patterns,
        permission=permission,
        principal=str(more.pop("principal", "$CALLER")),
        fix_kind="iam_grant",
        confidence=float(str(more.pop("confidence", 0.8))),
        **more,  # type: ignore[arg-type]  # the remaining fields of Row, by their names
    )


ROWS: Final = (
    Row(
        code="deny-policy",
        category="iam",
        subcategory="deny_policy",
        title="A deny policy forbids it",
        cause="A deny policy, or a boundary on what the principal may reach, stands above every role.",
        remedy="Ask whoever keeps the policy for an exception, or do it in a way that needs no such permission.",
        patterns=(
            (
                rf"Permission ['\"`]?{_PERMISSION}['\"`]? .{{0,80}}?(?:by|to|because of) (?:an? |the )?(?:IAM )?deny"
                rf" polic(?:y|ies)"
            ),
            r"(?:due to|denied by|because of) (?:an? |the )?(?:IAM )?deny polic(?:y|ies)",
            rf"Permission ['\"`]?{_PERMISSION}['\"`]? .{{0,80}}?(?:by|to|because of) (?:an? |the )?principal access boundary",
            r"(?:due to|denied by|because of) (?:an? |the )?principal access boundary",
        ),
        fix_kind="admin_action",
        barred=True,
        explains=("iam-denied", "iam-denied-somehow"),
        not_fix=("any IAM role",),
        confidence=0.9,
    ),
    denied(
        "actas-denied",
        "The caller may not act as {resource}",
        "Deploying something that runs as a service account means acting as it; run.admin alone does not include that.",
        "Grant serviceAccountUser on that one account, not on the project.",
        "iam.serviceAccounts.actAs",
        rf"(?:not|n't|cannot) have impersonation permission on (?:the )?[\w ]{{0,40}}service account(?:"
        rf" specified)?:? {_ACCOUNT}",
        rf"permission (?:to )?['\"`]?(?:iam\.serviceAccounts\.)?act ?as['\"`]?:? (?:on |as )?(?:the )?(?:service"
        rf" ?account )?{_ACCOUNT}",
        rf"(?:user|caller|principal)\b.{{0,80}}? (?:does not have|lacks|has no) access to (?:the )?service"
        rf" account {_ACCOUNT}",
        r"does not have permission to act as (?:the )?(?:service ?account )?['\"`\[]?(?P<resource>[\w/.@:-]{3,200})",
        rf"grant you the ['\"`]?(?:roles/)?iam\.serviceAccountUser['\"`]? role on the service account:? {_ACCOUNT}",
        r"\bSERVICE_ACCOUNT_ACCESS_DENIED\b",
        subcategory="actas",
        explains=("iam-denied", "iam-denied-somehow"),
    ),
    denied(
        "impersonation-denied",
        "The caller may not impersonate the service account",
        "A token of the account was asked for, and the caller has no tokenCreator role on it.",
        "Grant serviceAccountTokenCreator on that one account; roles that contain only actAs do not help.",
        "iam.serviceAccounts.getAccessToken",
        rf"Failed to impersonate {_ACCOUNT}(?!.{{0,600}}?getOpenIdToken)",
        rf"(?:unable|failed|could not|cannot) (?:to )?impersonate(?: service account)?:? {_ACCOUNT}"
        rf"(?!.{{0,600}}?getOpenIdToken)(?=.{{0,500}}?(?:\b403\b|denied))",
        r"impersonate: status code 403(?!.{0,400}?Permission 'iam\.)",
        rf"Failed to generate Google Cloud (?:federated |OAuth 2\.0 )?access token for {_ACCOUNT}"
        r"(?=.{0,300}?\b403\b.{0,60}?caller does not have permission)",
        r"generateAccessToken.{0,400}?(?:\b403\b|PERMISSION_DENIED).{0,200}?caller does not have permission",
        r"(?:\b403\b|PERMISSION_DENIED).{0,300}?generateAccessToken(?!.{0,400}?Permission 'iam\.)",
        r"Unable to acquire impersonated credentials.{0,200}?(?:\b403\b|PERMISSION_DENIED)(?!.{0,400}?"
        r"(?:Permission 'iam\.|serviceusage|use project))",
        subcategory="impersonation",
        explains=("iam-denied", "caller-denied", "call-gcloud", "role-named"),
    ),
    denied(
        "role-above-denied",
        "The caller may not keep custom roles at {where}",
        "Custom roles of an organization need organizationRoleAdmin there; those of a project roleAdmin.",
        "Grant it there, or have an administrator of the organization make the role.",
        "iam.roles.create",
        rf"don't have permission to create (?:a|the) role (?:in|at) (?P<resource>(?P<where>{_WHERE}))",
        subcategory="policy_admin",
    ),
    denied(
        "role-above-denied",
        "The caller may not read custom roles at {where}",
        "Custom roles of an organization need organizationRoleViewer or organizationRoleAdmin there.",
        "Grant it there, or have an administrator of the organization look after the role.",
        "iam.roles.get",
        rf"don't have permission to (?:get|list|update|delete|undelete) (?:the|a) roles? (?:in|at) (?P<resource>"
        rf"(?P<where>{_WHERE}))",
        subcategory="policy_admin",
    ),
    denied(
        "project-not-seen",
        "The caller can't see the project",
        "There is no project of that id, or the account has no role in it: the API answers both alike.",
        "Check the id and the account first; then grant browser, or the role that the next step needs.",
        "resourcemanager.projects.get",
        r"not have permission to access (?:the )?project ['\"`\[]?(?P<project>[a-z][\w-]{4,61})['\"`\]]?(?! instance)",
        r"Permission denied on resource project (?P<project>(?-i:[a-z][a-z0-9-]{4,61}))\b",
        r"(?:do|does|may) not (?:appear to )?have access to project \[?['\"]?(?P<project>[a-z][\w-]{4,61})",
        r"(?:make sure|check|ensure) (?:that )?the project exists and (?:that )?your account has permission to access it",
        r"[Pp]roject ['\"`\[]?(?P<project>[a-z][\w-]{4,61})['\"`\]]? (?:is )?not found or (?:the )?"
        r"(?:user|caller) (?:does not have|lacks)",
        subcategory="project",
        confidence=0.65,
    ),
    denied(
        "project-create-denied",
        "The caller may not make projects",
        "Making a project needs projectCreator on the organization or the folder above it.",
        "Have an administrator make the project, or grant projectCreator there.",
        "resourcemanager.projects.create",
        r"error creating project .{0,120}?(?:User is not authorized|caller does not have permission)",
        r"(?:not authorized|not allowed|permission) to create projects? (?:in|under) (?:the )?(?P<resource>"
        r"(?:organizations|folders)/\d+)",
        subcategory="provision",
    ),
    denied(
        "billing-project-denied",
        "The caller may not change the billing of the project",
        "Linking needs projectManager for billing on the project, besides billing.user on the billing account.",
        "Grant it on the project; ask whoever keeps the billing account for billing.user on it.",
        "resourcemanager.projects.createBillingAssignment",
        r"\(gcloud\.(?:beta\.|alpha\.)?billing\.projects\.(?:un)?link\) .{0,160}?permission to access projects? instance"
        r" \[(?P<project>[a-z][\w-]{4,61})\]",
        role="roles/billing.projectManager",
        scope="project",
        subcategory="billing",
        explains=("call-gcloud", "iam-denied", "billing-link-denied"),
    ),
    denied(
        "billing-link-denied",
        "The caller may not link projects to the billing account",
        "It needs billing.user on the billing account and projectManager for billing on the project; roles/editor has neither.",
        "Ask whoever keeps the billing account for billing.user on it.",
        "billing.resourceAssociations.create",
        r"\(gcloud\.(?:beta\.|alpha\.)?billing\.projects\.link\) .{0,200}?(?:does not have"
        r" permission|PERMISSION_DENIED|denied)",
        r"missing permission on ['\"]?(?P<resource>billingAccounts/[0-9A-F-]{20})",
        r"(?:setting|updating) billing account ['\"]?(?P<billing_account>[0-9A-F-]{20})['\"]?.{0,200}?"
        r"(?:\b403\b|does not have permission)",
        r"(?:no|not have|lacks?) (?:\w+ )?permissions? (?:on|to (?:use|access|link)) (?:the )?billing account",
        subcategory="billing",
        explains=("call-gcloud", "iam-denied"),
    ),
    denied(
        "key-agent-denied",
        "A service agent may not read with the key",
        "What it reads was encrypted with the key, which the service uses as its own agent; the agent has no role on it.",
        "Grant cryptoKeyEncrypterDecrypter on that key to the agent of the service, not to yourself.",
        "cloudkms.cryptoKeyVersions.useToDecrypt",
        r"\bGET https://storage\.googleapis\.com/\S{1,400}:? .{0,40}?Permission denied on Cloud KMS key",
        role="roles/cloudkms.cryptoKeyEncrypterDecrypter",
        scope="key",
        principal="SERVICE_AGENT",
        subcategory="kms",
        explains=("iam-denied", "role-named"),
    ),
    denied(
        "key-agent-denied",
        "A service agent may not use the key",
        "The service encrypts with the key as its own agent (Cloud Storage's, Artifact Registry's, Cloud Run's),"
        " which has no role on"
        " it.",
        "Grant cryptoKeyEncrypterDecrypter on that key to the agent of the service, not to yourself.",
        "cloudkms.cryptoKeyVersions.useToEncrypt",
        r"Permission denied on Cloud KMS key",
        rf"(?:service agent|service account) (?P<member>{EMAIL}).{{0,80}}? (?:use|encrypt|decrypt)\b.{{0,60}}?\bkey\b",
        r"(?:not|n't) have (?:the )?(?:required )?(?:access|permissions?) to (?:use )?(?:the )?(?:Cloud )?"
        r"(?:KMS|CMEK|encryption) key",
        r"roles/cloudkms\.cryptoKeyEncrypterDecrypter\b.{0,60}?(?:missing|not granted|required|must)",
        principal="SERVICE_AGENT",
        subcategory="kms",
        explains=("iam-denied", "role-named"),
    ),
    denied(
        "apis-agent-role",
        "The Google APIs service agent lost its role",
        "NUMBER@cloudservices makes connectors, templates and managed groups in your name; somebody removed its Editor role.",
        "Give it back, or the narrower role that the operation needs.",
        "",
        rf"Google APIs Service Agent \(?(?P<member>{EMAIL})?\)? ?needs? (?:the )?editor role",
        role="roles/editor",
        scope="project",
        principal="APIS_SERVICE_AGENT",
        subcategory="agent",
    ),
    denied(
        "build-log-bucket",
        "The build's service account may not write its logs",
        "The account of the build has no builder role (yet), or the default bucket of logs refuses it.",
        "Grant the builder role, or build with --default-buckets-behavior or `logging: CLOUD_LOGGING_ONLY`.",
        "",
        r"service account does not have access to (?:the|logs) bucket",
        r"invalid bucket ['\"]\S{3,120}cloudbuild-logs",
        role="roles/cloudbuild.builds.builder",
        scope="project",
        principal="$BUILD_SA",
        subcategory="build_sa",
        explains=("field-illegal",),
    ),
    denied(
        "build-secret-denied",
        "The build's service account may not read the secret",
        "A step reads the secret through availableSecrets, as the account of the build.",
        "Grant secretAccessor on this one secret to that account.",
        "secretmanager.versions.access",
        r"failed to access secret version for secret (?P<resource>projects/[\w/.-]+).{0,120}?(?:PermissionDenied|denied)",
        r"Permission '(?P<permission>secretmanager\.versions\.access)' denied (?:for|on) (?:resource )?'?"
        r"(?P<resource>projects/[\w/.-]+)"
        r"(?=.{0,400}?cloudbuild)",
        principal="$BUILD_SA",
        only_with=(
            r"build step \d|Step #\d|availableSecrets|cloud-builders|cloudbuild|build failed to run"
            r"|failed to access secret version for secret "
        ),
        subcategory="build_secret",
        explains=("secret-denied-process", "iam-denied"),
    ),
    denied(
        "api-state-denied",
        "The caller may not look whether an API is enabled",
        "Tools look up the state of the APIs that they need first, which needs serviceusage.services.get; it"
        " says nothing of the API.",
        "Grant the consumer role on the project.",
        "serviceusage.services.get",
        r"Permission denied to get services? ?\[",
        subcategory="provision",
        explains=("enable-denied",),
    ),
    Row(
        code="role-named",
        category="iam",
        subcategory="role_named",
        title="A role is missing, by the message's own words",
        cause="The message names the role that it expects; a narrower one may do, and Owner or Editor never is the answer.",
        remedy="Grant that role on the narrowest resource, after a look at what it holds.",
        patterns=(
            (
                r"(?:must|needs?(?: to)?|should|requires?|missing|lacks?|grant|does not have|assign)\b[^.]{0,120}?"
                r"['\"`\[( ](?P<named_role>roles/(?!owner\b|editor\b|viewer\b)[a-zA-Z][\w.]{3,80}\w)"
            ),
            (
                r"(?:must|needs?|should|requires?|missing|lacks?|grant|does not have|assign)\b[^.]{0,80}?"
                r"the ['\"`](?P<title_of_role>[A-Z][A-Za-z]+(?: [A-Z&][A-Za-z]*){1,5})['\"`]? (?:IAM )?role\b"
            ),
        ),
        only_with=r"denied|forbidden|\b403\b|error|failed|unauthorized|insufficient",
        principal="$CALLER",
        fix_kind="diagnose",
        rank=LAST,
        not_fix=_BROAD,
        confidence=0.5,
    ),
)
