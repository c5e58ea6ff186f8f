"""The curated table against the public role data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gemmactl.doctor import by_data, running
from gemmactl.doctor.permissions import NO_LESS, TABLE, canonical, least

DATA = json.loads((Path(__file__).parent / "data" / "permission_roles.json").read_text(encoding="utf-8"))["permissions"]
NOT_IN_DATA = {
    "run.services.delete": "the sample leaves it out; run.developer manages services whole",
    "run.jobs.update": "the sample leaves it out; Cloud Run's troubleshooting page names run.developer",
}
NO_DATA = (
    "clouddeploy.",
    "iam.workloadIdentityPool",
    "apikeys.",
    "firebasehosting.",
    "firebaserules.",
    "config.",
    "vpcaccess.connectors.use",
)
"""Kinds that the public data spells otherwise or leaves out: the roles are of the services' own pages."""
CHECKED = sorted(p for p in TABLE if p not in NOT_IN_DATA and not p.startswith(NO_DATA))
AGENT_ROLES = {"roles/run.serviceAgent"}
"""The data leaves service agents' roles out."""


def _holders(permission: str) -> list[tuple[str, int]]:
    """By the sample, or by the data that is shipped."""
    sample = [(str(entry["role"]), int(entry["size"])) for entry in DATA.get(permission, ())]
    return sample or [(holder.role, holder.size) for holder in by_data.holders(permission)]


def test_every_proposed_role_holds_its_permission() -> None:
    """The role and all its alternatives contain the permission, by data."""
    holders = {permission: {role for role, _ in _holders(permission)} for permission in CHECKED}
    assert [p for p in CHECKED if not {TABLE[p].role, *TABLE[p].also} - AGENT_ROLES <= holders[p]] == []


def test_no_basic_role_is_ever_proposed() -> None:
    """Owner, editor and viewer are no answer to any permission."""
    assert not {"roles/owner", "roles/editor", "roles/viewer"} & {r for c in TABLE.values() for r in (c.role, *c.also)}


def test_the_proposed_role_is_no_wider_than_its_alternatives() -> None:
    """Of the roles named for one permission, the proposed one is the smallest by data, but for stated exceptions."""
    wider = []
    for permission in CHECKED:
        sizes, choice = dict(_holders(permission)), TABLE[permission]
        others = [sizes[r] for r in choice.also if r in sizes and (permission, r) not in SMALLER_BUT_WORSE]
        wider += [permission] if any(sizes[choice.role] > size for size in others) else []
    assert wider == []


SMALLER_BUT_WORSE = NO_LESS | {
    ("storage.buckets.setIamPolicy", "roles/storage.admin"): "wider",
    ("resourcemanager.projects.getIamPolicy", "roles/iam.securityReviewer"): "wider",
}


def test_the_spelling_of_cloud_run_is_understood() -> None:
    """Cloud Run prints iam.serviceaccounts.actAs; the permission is iam.serviceAccounts.actAs."""
    assert canonical("iam.serviceaccounts.actAs") == "iam.serviceAccounts.actAs"
    choice = least("IAM.SERVICEACCOUNTS.ACTAS")
    assert choice is not None
    assert choice.role == "roles/iam.serviceAccountUser"


def test_an_unknown_permission_has_no_guess() -> None:
    """What the table does not know gets no role."""
    assert least("spanner.databases.read") is None


OF_GOOGLES_PAGES = {"roles/cloudprofiler.agent", "roles/bigtable.reader", "roles/bigtable.user"}
"""Roles of services that the data leaves out."""


@pytest.mark.parametrize("permission", sorted(running.ROLES))
def test_every_role_of_a_running_service_holds_its_permission(permission: str) -> None:
    """By the data of all roles, and no table says otherwise about the same permission."""
    role = running.ROLES[permission][0]
    assert permission not in TABLE
    assert role in {h.role for h in by_data.holders(permission)} | OF_GOOGLES_PAGES
