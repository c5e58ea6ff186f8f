"""How each API words a denial. Knows no policy.

Source of the sentences, unless marked as a guess: the shared corpus of real error texts (reproduced or verbatim).
"""

from __future__ import annotations

from typing import Any, Final

from gemmactl.sandbox.wire import ApiError, failed

DOMAIN: Final = {"resourcemanager": "cloudresourcemanager.googleapis.com"}

_SILENT: Final = ("cloudbuild.", "resourcemanager.")
"""APIs whose denial names neither permission nor resource, in words or in details."""


def denied(caller: str, permission: str, resource: str) -> ApiError:
    """403 in the words of the permission's API."""
    details = () if permission.startswith(_SILENT) else (_error_info(permission, resource),)
    return failed("PERMISSION_DENIED", _sentence(caller, permission, resource), *details)


def _error_info(permission: str, resource: str) -> dict[str, Any]:
    api = permission.partition(".")[0]
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "IAM_PERMISSION_DENIED",
        "domain": DOMAIN.get(api, f"{api}.googleapis.com"),
        "metadata": {"permission": permission, "resource": resource},
    }


def _sentence(caller: str, permission: str, resource: str) -> str:
    api = permission.partition(".")[0]
    if permission == "resourcemanager.projects.setIamPolicy":
        return "Policy update access denied."
    if permission.startswith(_SILENT):
        return "The caller does not have permission"
    if permission == "iam.serviceAccounts.actAs":
        # Cloud Run prints the permission in its own spelling
        email = resource.rpartition("/")[2]
        return f"Permission 'iam.serviceaccounts.actAs' denied on service account {email} (or it may not exist)."
    denied_on = f"Permission '{permission}' denied on resource"
    return {
        "run": f"{denied_on} '{resource}' (or resource may not exist).",
        "artifactregistry": f"{denied_on} '//artifactregistry.googleapis.com/{resource}' (or it may not exist).",
        "secretmanager": f"Permission '{permission}' denied for resource '{resource}' (or it may not exist).",
        "storage": _storage(caller, permission),
    }.get(api, f"{denied_on} (or it may not exist).")


def _storage(caller: str, permission: str) -> str:
    who = caller.partition(":")[2] or "Anonymous caller"
    kind = "object" if permission.startswith("storage.objects.") else "bucket"
    return (
        f"{who} does not have {permission} access to the Google Cloud Storage {kind}. "
        f"Permission '{permission}' denied on resource (or it may not exist)."
    )
