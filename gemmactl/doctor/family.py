"""To which family a denial belongs, by the permission and by who was refused. Knows no text and no row."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from gemmactl.doctor.finding import FixKind

_WORDINGS: Final = frozenset({"denied", "call", "request", "library", "terraform", "audit", "access_denied"})
"""Families of rows that know a wording and no matter: what it is about is told by the permission alone."""
_MATTERS: Final = (
    (r"serviceusage\.services\.use", "quota_project"),
    (r"iam\.serviceAccounts\.actAs", "actas"),
    (r"resourcemanager\.\w+\.[gs]etIamPolicy", "policy_admin"),
    (r"run\.(?:jobs|executions|tasks)\.\w+", "jobs"),
    (r"run\.routes\.invoke", "invoke"),
    (r"run\.\w+\.\w+|logging\.logEntries\.list", "deploy_caller"),
    (r"cloudbuild\.\w+\.\w+", "build_caller"),
    (r"secretmanager\.versions\.access", "runtime_secret"),
    (r"storage\.(?:objects|folders|managedFolders|multipartUploads)\.\w+|storage\.buckets\.get", "runtime_storage"),
    (r"artifactregistry\.(?!repositories\.(?:create|delete|update|setIamPolicy))\w+\.\w+", "registry"),
    (r"(?:artifactregistry|secretmanager|iam|storage|resourcemanager)\.\w+\.create|serviceusage\.services\.enable", "provision"),
    (r"(?:compute|vpcaccess|cloudkms|dns|networkservices)\.\w+\.\w+", "network"),
    (r"billing\.\w+\.\w+", "billing"),
)
_OF_ADMINISTRATORS: Final = r"resourcemanager\.(?:projects|folders|organizations)\.setIamPolicy"
"""Nobody can give it to himself: whoever lacks it can only ask."""


@cache
def _re(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def of(own: str, permission: str, principal: str) -> str:
    """The family of a finding: the row's `own`, unless that only says how the denial was worded. `principal` may be a token."""
    if own not in _WORDINGS or not permission:
        return own
    if principal == "$BUILD_SA":
        return "build_sa"
    return next((family for matter, family in _MATTERS if _re(matter).fullmatch(permission)), own)


def remedy_of(own: FixKind, permission: str) -> FixKind:
    """What kind of remedy: a grant that only an administrator can make is no grant of one's own."""
    return "admin_action" if own == "iam_grant" and _re(_OF_ADMINISTRATORS).fullmatch(permission) else own
