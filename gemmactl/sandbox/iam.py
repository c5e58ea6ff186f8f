"""IAM: policies on resources, inherited from the project, and the question "may this caller do that?". Knows no HTTP.

A resource is named as its API names it: `projects/P`, `projects/_/buckets/B`, `projects/P/locations/L/repositories/R`,
`projects/P/secrets/S`, `projects/P/serviceAccounts/E`, `projects/P/locations/L/services/S`, and what lies below these.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from gemmactl.sandbox.denial import denied
from gemmactl.sandbox.roles import holds as role_holds
from gemmactl.sandbox.roles import known
from gemmactl.sandbox.store import Document, Store
from gemmactl.sandbox.wire import failed

COLLECTION: Final = "policies"
ROLES: Final = "roles"
_KINDS: Final = frozenset(
    (
        "user",
        "serviceAccount",
        "group",
        "domain",
        "principal",
        "principalSet",
        "deleted",
        "projectOwner",
        "projectEditor",
        "projectViewer",
    )
)


class Iam:
    """The one judge."""

    def __init__(
        self, store: Store, project: str, number: str, *, now: Callable[[], datetime], delay: Callable[[], float] = float
    ) -> None:
        self._store = store
        self._project = project
        self._number = number
        self._now = now
        self._delay = delay

    def begin(self, owner: str) -> None:
        """A new project belongs to the one who made it."""
        if self._store.get(COLLECTION, f"projects/{self._project}") is None:
            self._write(f"projects/{self._project}", [{"role": "roles/owner", "members": [owner]}])

    def define(self, role: str, permissions: Iterable[str]) -> None:
        """A custom role `projects/P/roles/R` that holds exactly these permissions; a second time replaces it."""
        self._store.put(ROLES, role, {"permissions": sorted(permissions)})

    def normal(self, resource: str) -> str:
        """The name with the project's id where the caller wrote its number or `-`."""
        head, _, rest = resource.partition("/")
        if head != "projects":
            return resource
        project, slash, below = rest.partition("/")
        if project in (self._number, "-", "_") and not below.startswith("buckets/"):
            project = self._project
        return f"projects/{project}{slash}{below}"

    def policy(self, resource: str) -> Document:
        """The policy bound on this very resource: {version, bindings, etag}."""
        document = self._store.get(COLLECTION, self.normal(resource))
        if document is None:
            return {"version": 1, "bindings": self._born_with(resource), "etag": _etag(0)}
        policy: Document = document["policy"]
        return policy

    def set_policy(self, resource: str, policy: Document, etag: str = "") -> Document:
        """Replace it, if `etag` (base64; "" = whatever) is the current one. Returns the new policy.

        Raises:
            ApiError: 409 on a concurrent change, 400 for an unknown role or a member that is none.
        """
        with self._store.lock:
            if etag and etag != self.policy(resource)["etag"]:
                raise failed(
                    "ABORTED",
                    # source: golden recordings of gcloud 528 and Google's IAM documentation
                    "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.",
                )
            bindings = [self._checked(binding) for binding in policy.get("bindings", [])]
            return self._write(self.normal(resource), [b for b in bindings if b.get("members")], policy.get("version", 1))

    def forget(self, resource: str) -> None:
        """A deleted resource's policies, and those below it, go with it."""
        name = self.normal(resource)
        for key, _ in self._store.items(COLLECTION):
            if key == name or key.startswith(name + "/"):
                self._store.delete(COLLECTION, key)

    def holds(self, caller: str, permission: str, resource: str) -> bool:
        """May `caller` do it? A policy anywhere on the way up to the project decides."""
        for level in self._levels(self.normal(resource)):
            for binding in self._effective(level):
                if self._role_holds(binding["role"], permission) and any(
                    self._is(caller, member) for member in binding["members"]
                ):
                    return True
        return False

    def require(self, caller: str, permission: str, resource: str) -> None:
        """Nothing, or the denial in the words of the permission's API.

        Raises:
            ApiError: 403 PERMISSION_DENIED with ErrorInfo (IAM_PERMISSION_DENIED, permission, resource).
        """
        if not self.holds(caller, permission, resource):
            raise denied(caller, permission, resource)

    def grant(self, member: str, role: str, resource: str) -> None:
        """Add one binding, as its owner would."""
        with self._store.lock:
            policy = self.policy(resource)
            for binding in policy["bindings"]:
                if binding["role"] == role:
                    binding["members"] = sorted({*binding["members"], member})
                    break
            else:
                policy["bindings"].append({"role": role, "members": [member]})
            self.set_policy(resource, policy)

    def revoke(self, member: str, role: str, resource: str) -> None:
        """Take one binding away, if it is there."""
        with self._store.lock:
            policy = self.policy(resource)
            for binding in policy["bindings"]:
                if binding["role"] == role:
                    binding["members"] = [m for m in binding["members"] if m != member]
            self.set_policy(resource, policy)

    def retire(self, email: str, unique_id: str) -> None:
        """A deleted account's bindings stay, but for a member that a new account of the same name is not.

        Source: IAM documentation, "Policies with deleted principals".
        """
        alive, dead = f"serviceAccount:{email}", f"deleted:serviceAccount:{email}?uid={unique_id}"
        with self._store.lock:
            for resource, document in self._store.items(COLLECTION):
                bindings = document["policy"]["bindings"]
                if any(alive in binding["members"] for binding in bindings):
                    renamed = [{**b, "members": [dead if m == alive else m for m in b["members"]]} for b in bindings]
                    self._write(resource, renamed)

    def _role_holds(self, role: str, permission: str) -> bool:
        custom = self._store.get(ROLES, role) if role.startswith("projects/") else None
        return permission in custom["permissions"] if custom else role_holds(role, permission)

    def _levels(self, resource: str) -> Iterator[str]:
        parts = resource.split("/")
        for end in range(len(parts), 1, -2):
            yield "/".join(parts[:end])
        if resource.startswith("projects/_/"):
            yield f"projects/{self._project}"

    def _effective(self, level: str) -> list[dict[str, Any]]:
        document = self._store.get(COLLECTION, level)
        if document is None:
            return self._born_with(level)
        young = self._now().timestamp() - document["changed"] < self._delay()
        bindings: list[dict[str, Any]] = document["before"] if young else document["policy"]["bindings"]
        return bindings

    def _born_with(self, resource: str) -> list[dict[str, Any]]:
        """A new bucket's bindings: the project's basic roles reach objects through these, not by themselves.

        Source: Cloud Storage's documentation of convenience values; in the role data, roles/owner holds no storage.objects.*.
        """
        if not resource.startswith("projects/_/buckets/") or resource.count("/") != 3:
            return []
        p = self._project
        writers = [f"projectEditor:{p}", f"projectOwner:{p}"]
        return [
            {"role": "roles/storage.legacyBucketOwner", "members": writers},
            {"role": "roles/storage.legacyObjectOwner", "members": writers},
            {"role": "roles/storage.legacyBucketReader", "members": [f"projectViewer:{p}"]},
            {"role": "roles/storage.legacyObjectReader", "members": [f"projectViewer:{p}"]},
        ]

    def _is(self, caller: str, member: str) -> bool:
        kind, _, name = member.partition(":")
        basic = {"projectOwner": "roles/owner", "projectEditor": "roles/editor", "projectViewer": "roles/viewer"}.get(kind)
        if basic:
            bound = self._effective(f"projects/{name}")
            return any(b["role"] == basic and caller in b["members"] for b in bound)
        return _is(caller, member)

    def _checked(self, binding: dict[str, Any]) -> dict[str, Any]:
        role = binding.get("role", "")
        if not known(role) and self._store.get(ROLES, role) is None:
            # source: public reports of a role bound where it can't be
            raise failed("INVALID_ARGUMENT", f"Role {role} is not supported for this resource.")
        if binding.get("condition"):
            raise failed("UNIMPLEMENTED", "The sandbox does not evaluate conditions in IAM policies.")
        for member in binding.get("members", []):
            kind, colon, name = member.partition(":")
            if member in ("allUsers", "allAuthenticatedUsers"):
                continue
            wrong = f"The member {member} is of an unknown type. Please set a valid type prefix for the member."
            if not colon or not name or kind not in _KINDS:
                raise failed("INVALID_ARGUMENT", wrong)
            if kind == "serviceAccount" and not self._exists(name):
                raise failed("INVALID_ARGUMENT", f"Service account {name} does not exist.")
        return {k: v for k, v in binding.items() if k in ("role", "members") and v}

    def _exists(self, email: str) -> bool:
        """Accounts of this project must be there; Google's own are taken as they come."""
        if email.startswith("service-") and "@gcp-sa-" in email:  # made with the first use of its API, or on request
            return self._store.get("agents", email) is not None
        if not email.endswith(f"@{self._project}.iam.gserviceaccount.com"):
            return True
        return self._store.get("service_accounts", email) is not None

    def _write(self, resource: str, bindings: list[dict[str, Any]], version: int = 1) -> Document:
        before = self._effective(resource)
        policy = {"version": version or 1, "bindings": bindings, "etag": _etag(self._store.count("policy-etag"))}
        self._store.put(COLLECTION, resource, {"policy": policy, "before": before, "changed": self._now().timestamp()})
        return policy


def _etag(number: int) -> str:
    return base64.b64encode(b"\x07\x05" + number.to_bytes(6, "big")).decode()


def _is(caller: str, member: str) -> bool:
    if member == "allUsers":
        return True
    if member == "allAuthenticatedUsers":
        return bool(caller)
    if member.startswith("domain:"):
        return caller.startswith("user:") and caller.endswith("@" + member.removeprefix("domain:"))
    return bool(caller) and caller.lower() == member.lower()
