"""Billing that is off or missing, whatever status the denial carries."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.consequences import UNNAMED_DENIALS
from gemmactl.doctor.row import Row

ROWS: Final = (
    Row(
        code="billing-off",
        category="api_billing",
        subcategory="billing",
        title="The project has no active billing account",
        cause="No billing account is linked, or it is closed; services that cost money refuse every call.",
        remedy="Link an open billing account to the project, and wait a few minutes.",
        reasons=("BILLING_DISABLED", "UREQ_PROJECT_BILLING_NOT_FOUND", "UREQ_PROJECT_BILLING_NOT_OPEN"),
        patterns=(
            r"Billing account for project '?(?P<project>[\w-]+)'? is not (?:found|open)",
            r"Project '?(?P<project>[\w-]+)'? (?:\(#\d+\) )?has billing disabled",
            r"requires billing to be enabled",
            r"[Bb]illing (?:is disabled|must be enabled|has not been enabled|is not enabled)",
            r"The billing account for the owning project is disabled",
            r"This API method requires billing",
            r"(?:absent|closed|disabled|inactive|missing) billing account",
            r"\baccountDisabled\b",
        ),
        fix_kind="user_action",
        commands=("gcloud billing projects link {project} --billing-account=BILLING_ACCOUNT",),
        not_fix=("any IAM grant",),
        explains=(
            "billing-trouble",
            *UNNAMED_DENIALS,
            "iam-denied",
        ),
        confidence=0.95,
    ),
)
