"""Who else may reach the model's bucket: public access, and access lists of single objects. Knows no file in it."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.checks.check import Answer, Check, Ground
from gemmactl.doctor.finding import Finding
from gemmactl.errors import Trouble
from gemmactl.resources.cloud import PolicyTarget

VIEWER: Final = "roles/storage.objectViewer"
EVERYBODY: Final = frozenset({"allUsers", "allAuthenticatedUsers"})


def access(ground: Ground) -> Answer:
    """A bucket that a deploy finds: is access to it decided by roles alone, and has everybody one of them."""
    name = ground.bucket
    if name in {made.name for made in ground.of_kind("bucket")}:
        return f"gs://{name} is part of the plan"
    try:
        info = ground.cloud.storage.bucket(name)
    except Trouble as trouble:
        if trouble.code == "bucket-of-another-project":
            return f"gs://{name} is another project's, which decides that"
        raise
    if info is None:
        return None
    found = [] if info.uniform_access else [_lists(name)]
    if info.public_access_prevention:
        return tuple(found) or f"gs://{name} has uniform access, and none that is public"
    # without the prevention a grant to everybody is possible; the plan asks for the members of this very role
    open_to = sorted(EVERYBODY & ground.cloud.policies.members(PolicyTarget("bucket", name), VIEWER))
    found += [_public(name, open_to[0])] if open_to else []
    return tuple(found) or f"gs://{name} has uniform access, and nobody but its members"


def _lists(name: str) -> Finding:
    return Finding(
        code="bucket-acls",
        category="config",
        subcategory="bucket_access",
        title=f"gs://{name} has access lists of single objects beside its roles",
        cause="Uniform bucket-level access is off: a list may open a file of the model that no role opens, and no plan sees it.",
        remedy="Switch uniform access on; within 90 days it can be switched off again.",
        commands=(f"gcloud storage buckets update gs://{name} --uniform-bucket-level-access",),
        resource=f"gs://{name}",
        scope="bucket",
        fix_kind="config_change",
        state="advice",
    )


def _public(name: str, member: str) -> Finding:
    who = "anybody" if member == "allUsers" else "everybody with a Google account"
    return Finding(
        code="bucket-public",
        category="iam",
        subcategory="bucket_access",
        title=f"{who} may read gs://{name}",
        cause=f"{member} holds {VIEWER} on it: the model is public, and what is read from it is billed to the project.",
        remedy="Take the binding away, and prevent public access, if that was not meant.",
        commands=(
            f"gcloud storage buckets remove-iam-policy-binding gs://{name} --member={member} --role={VIEWER}",
            f"gcloud storage buckets update gs://{name} --public-access-prevention",
        ),
        principal=member,
        resource=f"gs://{name}",
        role=VIEWER,
        scope="bucket",
        fix_kind="user_action",
        state="advice",
    )


CHECKS: Final = (Check("bucket access", access, "storage.buckets.get", lambda ground: bool(ground.bucket)),)
