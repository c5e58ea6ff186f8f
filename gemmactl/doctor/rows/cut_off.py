"""Texts without the line that says what failed: what the rest still tells, and how likely. Knows no message."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.finding import Category, FixKind
from gemmactl.doctor.principal import EMAIL
from gemmactl.doctor.row import LAST, Row

_WHOLE: Final = "Paste the whole text, with the line that says what failed: the rest alone only tells what is likely."
_FRAME: Final = r"^with (?:module\.[\w.\[\]\"-]{1,200}\.)?(?:data\.)?"
_ON: Final = r"[\w.\[\]\"-]{1,120},(?: on \S{1,200} line \d+|$)"
"""Terraform's frame of where a failure is: the message stands above it. At the beginning of a text the message is cut off."""
_SAID: Final = (
    r"\b[45]\d\d [A-Z]|(?:Error|Exception|Denied|Found|Forbidden|Exceeded|Unavailable|Argument|Exists|Precondition): "
    r"|status = StatusCode|\bWarning: "
)
"""Somewhere the failure does say what it is."""


def _row(
    code: str,
    category: Category,
    family: str,
    title: str,
    cause: str,
    *patterns: str,
    permission: str = "",
    fix_kind: FixKind = "diagnose",
    remedy: str = _WHOLE,
    commands: tuple[str, ...] = ("terraform apply -no-color",),
    needs_permission: bool = False,
) -> Row:
    return Row(
        code=code,
        category=category,
        subcategory=family,
        title=title,
        cause=cause,
        remedy=remedy,
        patterns=patterns,
        unless=_SAID,
        permission=permission,
        principal="$CALLER" if category == "iam" else "",
        fix_kind=fix_kind,
        commands=commands,
        not_fix=("any role before the whole message was read",),
        rank=LAST,
        confidence=0.4,
        needs_permission=needs_permission,
    )


ROWS: Final = (
    _row(
        "cut-off-login",
        "auth",
        "reauth",
        "gcloud asks for a login",
        "It ends so when the active account has no valid login, or when no account is active.",
        r"Please run: \$ gcloud auth login to obtain new credentials",
        r"to select an already authenticated account to use",
        fix_kind="user_action",
        remedy="Log in again, or make another account the active one with `gcloud config set account`.",
        commands=("gcloud auth login",),
    ),
    _row(
        "cut-off-public",
        "orgpolicy",
        "allusers",
        "Terraform could not let everybody call the service",
        "The resource binds who may call the service, and by its name that is the public: an organization policy usually"
        " forbids it.",
        rf"{_FRAME}google_cloud_run\w{{0,30}}_iam_(?:member|binding|policy)\."
        rf"(?=\w{{0,60}}(?:invoker|public|no_?auth|unauth|all_?users|everyone|anonymous))\w{_ON}",
    ),
    _row(
        "cut-off-secret",
        "iam",
        "runtime_secret",
        "Terraform could not read the version of a secret",
        "Terraform reads the value of every version that it keeps, as whoever runs it; most often the role for that is missing.",
        rf"{_FRAME}google_secret_manager_secret_version(?:_access)?\.{_ON}",
        permission="secretmanager.versions.access",
    ),
    _row(
        "cut-off-account",
        "iam",
        "denied",
        "{member} lacks a permission whose name is cut off",
        "The text names the account that was refused, and ends within what it was refused.",
        rf"(?P<member>{EMAIL}) (?:does not have|lacks) (?:permission )?['\"]?[a-z]{{3,30}}\.[a-zA-Z.]{{0,60}}$",
        commands=(),
    ),
    _row(
        "cut-off-terraform",
        "iam",
        "denied",
        "Terraform failed at this resource, and its message is cut off",
        "A missing role is the most frequent reason; an organization policy, a quota or a wrong field look the same from here.",
        rf"{_FRAME}google_\w{{3,60}}\.{_ON}",
    ),
    _row(
        "cut-off-call",
        "iam",
        "library",
        "A call to Google Cloud failed in the program, and its message is cut off",
        "The lines are those of a refused call. A missing role is the most frequent reason; what does not exist looks the same.",
        (
            r"error_remapped_callable\b.{0,900}?[. ](?P<method>[a-z]\w{2,60}) \( ?\S{0,200}google/cloud/"
            r"(?P<service_name>[a-z_]{2,40})_v\d"
        ),
        (
            r"google/cloud/(?P<service_name>[a-z_]{2,40})_v\d\w{0,8}/services/\w{2,60}/(?:async_)?client\.py\"?, line \d+,"
            r" in (?P<method>[a-z]\w{2,60})\b.{0,2500}?(?:error_remapped_callable|from_grpc_error)"
        ),
        commands=("gcloud run services logs read {service} --region={region} --project={project} --limit=200",),
        needs_permission=True,
    ),
    _row(
        "cut-off-bucket",
        "iam",
        "runtime_storage",
        "The program asked for the bucket itself and failed, and the message is cut off",
        "get_bucket() needs a permission that no role for objects holds; a bucket that does not exist ends in the same lines.",
        r"google/cloud/storage/client\.py\"?, line \d+, in get_bucket\b.{0,900}?from_http_response",
        permission="storage.buckets.get",
        commands=("gcloud run services logs read {service} --region={region} --project={project} --limit=200",),
    ),
    _row(
        "cut-off-binding",
        "iam",
        "binding",
        "The IAM policy was not changed, and the reason is cut off",
        "gcloud proposes to lint the condition after every refused binding: most often the member or the role is misspelled.",
        r"Policy modification failed\. For a binding with condition, run",
        fix_kind="config_change",
        commands=("gcloud iam service-accounts list --project={project}",),
    ),
    _row(
        "cut-off-service",
        "api_billing",
        "api_disabled",
        "Google Cloud refused the project, and the reason is cut off",
        "The detail names a project and an API and no permission: most often the API is switched off there, or billing is.",
        r"^domain: ?\"googleapis\.com\" ?metadata \{ ?key: \"(?:consumer|service)\" ?value: \"[^\"]{3,200}\" ?\} ?"
        r"metadata \{ ?key: \"(?:consumer|service)\" ?value: \"[^\"]{3,200}\"",
        commands=("gcloud services list --enabled --project={project}", "gcloud billing projects describe {project}"),
    ),
    _row(
        "cut-off-consumer",
        "api_billing",
        "billing",
        "Google Cloud refused the project, and the reason is cut off",
        "The detail names a project and no API and no permission: most often its billing is switched off.",
        r"^domain: ?\"googleapis\.com\" ?metadata \{ ?key: \"consumer\" ?value: \"projects/(?P<project>[\w:.-]{3,64})\"",
        fix_kind="user_action",
        commands=("gcloud billing projects describe {project}",),
    ),
)
