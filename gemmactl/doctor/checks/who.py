"""Who calls: the login that Google's libraries found, gcloud's account beside it, the project that calls count on."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.checks.check import Answer, Check, Ground
from gemmactl.doctor.finding import Finding
from gemmactl.resources.cloud import PolicyTarget

USE: Final = "serviceusage.services.use"
KINDS: Final = {
    "authorized_user": "a person's Application Default Credentials",
    "service_account": "the key of a service account",
    "metadata": "the account of this machine",
    "impersonated": "an impersonated service account",
    "federated": "workload identity federation",
    "sandbox": "the sandbox's own token",
}


def credentials(ground: Ground) -> Answer:
    """Two logins on one machine are two people: gcloud's commands and ours would not be allowed the same."""
    login, caller = ground.cloud.login(), ground.cloud.caller().partition(":")[2]
    if login.kind != "authorized_user" or not caller or login.gcloud_account in ("", caller):
        return f"{KINDS.get(login.kind, 'credentials of another kind')}: {caller or 'whose, Google does not say'}"
    return (
        Finding(
            code="two-logins",
            category="auth",
            subcategory="adc_mismatch",
            title=f"gcloud runs as {login.gcloud_account}, gemmactl as {caller}",
            cause="gcloud's account and the Application Default Credentials are two logins; roles of one don't help the other.",
            remedy="Log in as the same account, if that was not meant.",
            commands=("gcloud auth application-default login",),
            fix_kind="user_action",
            principal=f"user:{caller}",
            state="advice",
        ),
    )


def quota_project(ground: Ground) -> Answer:
    """A person's calls name a project that they count on, and need a right there."""
    login = ground.cloud.login()
    if not login.quota_project:
        return "calls count on the project of the credentials"
    if USE in ground.cloud.policies.test(PolicyTarget("project", login.quota_project), (USE,)):
        return f"calls count on {login.quota_project}"
    return (
        Finding(
            code="quota-project",
            category="auth",
            subcategory="quota_project",
            title=f"calls count on project {login.quota_project}, which the caller may not use",
            cause=f"Every call names it as its quota project and needs {USE} there.",
            remedy="Ask for roles/serviceusage.serviceUsageConsumer on it, or name a project where you have it.",
            commands=("export GOOGLE_CLOUD_QUOTA_PROJECT=PROJECT",),
            fix_kind="user_action",
            principal=ground.cloud.caller(),
            permission=USE,
            role="roles/serviceusage.serviceUsageConsumer",
            resource=f"projects/{login.quota_project}",
            scope="project",
        ),
    )


CHECKS: Final = (Check("credentials", credentials), Check("quota project", quota_project, USE))
