"""The project: it is there, it is active, somebody pays for it."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.checks.check import Answer, Check, Ground
from gemmactl.doctor.finding import Finding

GET: Final = "resourcemanager.projects.get"


def project(ground: Ground) -> Answer:
    """Resource Manager says 403 for a project that does not exist: that end is unknown, not missing."""
    info, name = ground.cloud.projects.info(), ground.cloud.project
    if info is not None and info.state == "ACTIVE":
        return f"{name} ({info.number}) is active"
    deleted = info is not None
    return (
        Finding(
            code="project-inactive" if deleted else "project-missing",
            category="config",
            subcategory="project",
            title=f"project {name} {'is being deleted' if deleted else 'does not exist'}",
            cause=f"Its state is {info.state}." if info else "No project has this id, or the caller may not know of it.",
            remedy="Take it back within 30 days, or choose another." if deleted else "Check the id: a display name is none.",
            commands=(f"gcloud projects undelete {name}" if deleted else "gcloud projects list",),
            resource=f"projects/{name}",
            fix_kind="admin_action" if deleted else "user_action",
        ),
    )


def billing(ground: Ground) -> Answer:
    """Without an open billing account no API that costs money can be enabled or used."""
    if ground.cloud.projects.billed():
        return "a billing account is linked and open"
    name = ground.cloud.project
    return (
        Finding(
            code="billing-off",
            category="api_billing",
            subcategory="billing_disabled",
            title=f"project {name} has no open billing account",
            cause="None is linked, or the linked one is closed. Cloud Run, Cloud Build and Artifact Registry need one.",
            remedy="Link one, then wait a few minutes.",
            commands=(f"gcloud billing projects link {name} --billing-account=ACCOUNT_ID",),
            resource=f"projects/{name}",
            fix_kind="admin_action",
            not_fix=("any IAM grant", "enabling the API again"),
            confidence=1.0,
        ),
    )


CHECKS: Final = (Check("project", project, GET), Check("billing", billing, GET))
