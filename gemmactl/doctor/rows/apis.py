"""APIs that are not enabled, whatever status the denial carries."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.consequences import UNNAMED_DENIALS
from gemmactl.doctor.row import Row

ROWS: Final = (
    Row(
        code="api-disabled",
        category="api_billing",
        subcategory="api_disabled",
        title="An API is not enabled in the project",
        cause="The API was never enabled, or was disabled. The status may say PERMISSION_DENIED: it is not about roles.",
        remedy="Enable it, wait a minute or two, and run the command again.",
        reasons=("SERVICE_DISABLED",),
        patterns=(
            (
                r"API has not been used in project (?P<project>[\w-]+) before or it is disabled"
                r"(?:\. Enable it by visiting \S+?/apis/api/(?P<api>[\w.-]+?\.googleapis\.com))?"
            ),
            r"API \[(?P<api>[\w.-]+\.googleapis\.com)\] not enabled on project \[(?P<project>[\w-]+)\]",
            r"API (?P<api>[\w-]+\.googleapis\.com) is (?:not enabled|disabled)",
            (
                r"Service '?(?P<api>[\w-]+\.googleapis\.com)'? is not enabled for (?:consumer|project)"
                r" '?(?:projects?[:/])?(?P<project>[\w-]+)"
            ),
        ),
        fix_kind="enable_api",
        commands=("gcloud services enable {api} --project={project}",),
        not_fix=("granting roles: the API is off",),
        explains=(
            "service-not-enabled",
            *UNNAMED_DENIALS,
            "iam-denied",
            "caller-cloudbuild-builds-create",
            "caller-run-services-create",
            "federation-refused",
        ),
        confidence=0.95,
    ),
)
