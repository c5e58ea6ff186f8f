"""A role for a permission that nobody curated: the narrowest that fits, by data. Knows no text and no principal."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from gemmactl.doctor.permissions import Least, Scope

SERVICE: Final = re.compile(r"[a-z][a-z0-9]{1,39}")
_MASTER: Final = re.compile(r"(?:admin|owner)$", re.IGNORECASE)
_ODD: Final = re.compile(
    r"agent$|^roles/(?:storage\.legacy|storage\.express|compute\.(?:vmExtension|os\w*Login)|\w+\.(?:org|xpn|peer|future|tag)[A-Z])",
    re.IGNORECASE,
)
"""Roles that are no answer where another one is: of machines, of old access lists, of organisations, of one special use."""
WIDER: Final = 2.5
"""A role that administers is passed over for one that does not, of up to this many times its size: compute.networks.get
is held by securityAdmin (170 permissions) and networkUser (222), and only the second is meant for it."""

_PLACES: Final[dict[tuple[str, str], Scope]] = {
    ("storage", "buckets"): "bucket",
    ("storage", "objects"): "bucket",
    ("storage", "multipartUploads"): "bucket",
    ("storage", "managedFolders"): "bucket",
    ("storage", "folders"): "bucket",
    ("storage", "anywhereCaches"): "bucket",
    ("secretmanager", "secrets"): "secret",
    ("secretmanager", "versions"): "secret",
    ("artifactregistry", "repositories"): "repo",
    ("artifactregistry", "packages"): "repo",
    ("artifactregistry", "versions"): "repo",
    ("artifactregistry", "tags"): "repo",
    ("artifactregistry", "files"): "repo",
    ("artifactregistry", "dockerimages"): "repo",
    ("run", "services"): "service",
    ("run", "revisions"): "service",
    ("run", "routes"): "service",
    ("run", "jobs"): "job",
    ("run", "executions"): "job",
    ("run", "tasks"): "job",
    ("iam", "serviceAccounts"): "service account",
    ("iam", "serviceAccountKeys"): "service account",
    ("cloudkms", "cryptoKeys"): "key",
    ("cloudkms", "cryptoKeyVersions"): "key",
    ("compute", "subnetworks"): "subnet",
    ("resourcemanager", "organizations"): "organization",
    ("resourcemanager", "folders"): "folder",
    ("billing", "accounts"): "billing account",
}
_OF_THE_WHOLE: Final = frozenset({"create", "list"})
"""Methods on the things of a project: there is nothing smaller to bind a role on before a thing is there."""


@dataclass(frozen=True)
class Holder:
    """A role that holds the permission. `size`: how many it holds in all."""

    role: str
    size: int
    stage: str


def holders(permission: str) -> tuple[Holder, ...]:
    """Every role of the permission's own service that holds it, narrowest first, then the narrowest few of others."""
    service, page = _page(permission)
    names = page["permissions"].get(_spelled(permission, service), ())
    return tuple(Holder(*page["roles"][number]) for number in names)


def spelled(permission: str) -> str:
    """The permission as IAM spells it, when the data knows it; else as it came."""
    return _spelled(permission, permission.partition(".")[0].lower())


def narrowest(permission: str) -> Least | None:
    """The role to propose, and where to bind it. None when the data does not know the permission."""
    found = holders(permission)
    if not found:
        return None
    service = permission.partition(".")[0].lower()
    own = [h for h in found if h.role.startswith(f"roles/{service}.")] or list(found)
    fit = [h for h in own if not _ODD.search(h.role)] or own
    first = fit[0]
    if _MASTER.search(first.role):
        first = next((h for h in fit if not _MASTER.search(h.role) and h.size <= WIDER * first.size), first)
    if first.stage != "GA":
        first = next((h for h in fit if h.stage == "GA" and h.size <= WIDER * first.size and not _MASTER.search(h.role)), first)
    others = tuple(h.role for h in fit if h is not first)[:2]
    return Least(first.role, _scope(spelled(permission)), others, curated=False)


def place_of(permission: str) -> Scope:
    """The kind of thing that a permission is about, whatever a role for it is bound on."""
    return _scope(permission)


def _scope(permission: str) -> Scope:
    service, kind, method = (*permission.split("."), "", "")[:3]
    return "project" if method in _OF_THE_WHOLE and kind != "objects" else _PLACES.get((service, kind), "project")


def _spelled(permission: str, service: str) -> str:
    return str(_folded(service).get(permission.lower(), permission))


def _page(permission: str) -> tuple[str, dict[str, Any]]:
    service = permission.partition(".")[0].lower()
    return service, _read(service)


@cache
def _folded(service: str) -> dict[str, str]:
    return {name.lower(): name for name in _read(service)["permissions"]}


@cache
def _read(service: str) -> dict[str, Any]:
    nothing: dict[str, Any] = {"roles": [], "permissions": {}}
    if not SERVICE.fullmatch(service):  # it may come from a pasted text: never a path
        return nothing
    file = files("gemmactl.doctor.roles") / f"{service}.json.gz"
    if not file.is_file():
        return nothing
    found: dict[str, Any] = json.loads(gzip.decompress(file.read_bytes()))
    return found
