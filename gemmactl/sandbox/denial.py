"""How each API words a denial. Knows no policy."""

from __future__ import annotations

from typing import Any, Final

from gemmactl.sandbox.wire import ApiError, failed

DOMAIN: Final = {
    "artifactregistry": "artifactregistry.googleapis.com",
    "cloudbuild": "cloudbuild.googleapis.com",
    "iam": "iam.googleapis.com",
    "logging": "logging.googleapis.com",
    "resourcemanager": "cloudresourcemanager.googleapis.com",
    "run": "run.googleapis.com",
    "secretmanager": "secretmanager.googleapis.com",
    "serviceusage": "serviceusage.googleapis.com",
    "storage": "storage.googleapis.com",
}


def error_info(permission: str, resource: str) -> dict[str, Any]:
    """google.rpc.ErrorInfo as the IAM check gives it."""
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "IAM_PERMISSION_DENIED",
        "domain": DOMAIN.get(permission.partition(".")[0], "googleapis.com"),
        "metadata": {"permission": permission, "resource": resource},
    }


def denied(caller: str, permission: str, resource: str) -> ApiError:
    """403 in the words of the permission's API."""
    return failed("PERMISSION_DENIED", _sentence(caller, permission, resource), error_info(permission, resource))


def _sentence(caller: str, permission: str, resource: str) -> str:
    api = permission.partition(".")[0]
    who = caller.partition(":")[2] or "Anonymous caller"
    if api == "storage":
        kind = "object" if permission.startswith("storage.objects.") else "bucket"
        return (
            f"{who} does not have {permission} access to the Google Cloud Storage {kind}. "
            f"Permission '{permission}' denied on resource (or it may not exist)."
        )
    if api == "secretmanager":
        return f"Permission '{permission}' denied for resource '{resource}' (or it may not exist)."
    if permission == "resourcemanager.projects.setIamPolicy":
        return "Policy update access denied."
    if permission == "iam.serviceAccounts.actAs":
        return f"Permission '{permission}' denied on service account {resource.rpartition('/')[2]} (or it may not exist)."
    return f"Permission '{permission}' denied on resource '{resource}' (or it may not exist)."
