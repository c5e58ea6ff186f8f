"""Who was denied, by the look of the text around a denial."""

from __future__ import annotations

import pytest

from gemmactl.doctor.diagnose import diagnose

DENIED = "403 Permission 'secretmanager.versions.add' denied for resource 'projects/my-proj/secrets/token' (or it may not exist)."


def who(text: str) -> str:
    return diagnose(text)[0].principal


def test_code_in_a_container_is_the_services_own_account() -> None:
    """A traceback of code under /app is the running service's."""
    assert (
        who(f'  File "/app/rotate.py", line 41, in <module>\ngoogle.api_core.exceptions.PermissionDenied: {DENIED}')
        == "$RUNTIME_SA"
    )


def test_a_command_is_the_callers() -> None:
    """What gcloud prints concerns the account that ran it, wherever it lies."""
    assert (
        who(f"$ gcloud secrets versions add token\nERROR: (gcloud.secrets.versions.add) PERMISSION_DENIED: {DENIED}") == "$CALLER"
    )


def test_a_step_of_a_build_is_the_builds_account() -> None:
    """Inside a build the caller is the build's service account."""
    assert who(f'ERROR: build step 0 "gcr.io/cloud-builders/docker" failed: {DENIED}') == "$BUILD_SA"


def test_an_audit_log_names_who_was_refused() -> None:
    """PrincipalEmail is the answer where the message names nobody."""
    who_asked = '"authenticationInfo":{"principalEmail":"w@my-proj.iam.gserviceaccount.com"}'
    text = f'{{"status":{{"code":7,"message":"{DENIED}"}},{who_asked}}}'
    assert who(text) == "serviceAccount:w@my-proj.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    "permission", ["monitoring.timeSeries.create", "cloudtrace.traces.patch", "pubsub.subscriptions.consume"]
)
def test_some_permissions_only_programs_use(permission: str) -> None:
    """A bare line with a permission that no deploy needs concerns the running service."""
    assert who(f"Permission '{permission}' denied on resource (or it may not exist).") == "$RUNTIME_SA"


def test_a_denial_without_a_scene_is_the_callers() -> None:
    """Nothing in the text tells: whoever ran it."""
    assert who(DENIED) == "$CALLER"
