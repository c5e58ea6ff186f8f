"""Changing IAM itself: who may, members that don't exist, roles that don't fit."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.principal import EMAIL
from gemmactl.doctor.row import Row

ROWS: Final = (
    Row(
        code="policy-denied",
        category="iam",
        subcategory="policy_admin",
        title="The caller may not change the project's IAM policy",
        cause="Granting roles on a project needs setIamPolicy there, which nobody can give himself.",
        remedy="Ask an administrator: `gemmactl plan --for-admin` prints what to run. Bindings on single resources may"
        " not need it.",
        patterns=(
            r"Policy update access denied",
            r"Permission '?resourcemanager\.projects\.setIamPolicy'? denied",
        ),
        permission="resourcemanager.projects.setIamPolicy",
        principal="$CALLER",
        fix_kind="admin_action",
        explains=("iam-denied",),
        not_fix=("trying again", "roles/owner"),
    ),
    Row(
        code="member-default-account",
        category="iam",
        subcategory="binding",
        title="There is no service account of that name: the default account starts with the project's number",
        cause="The Compute Engine default account is NUMBER-compute@developer.gserviceaccount.com, not"
        " PROJECT-compute; it exists once"
        " the Compute Engine API was enabled.",
        remedy="Use the project's number, or an account of its own as gemmactl does.",
        patterns=(r"Service account (?P<account>[a-z][a-z0-9-]+-compute@developer\.gserviceaccount\.com) does not exist",),
        commands=("gcloud projects describe {project}",),
        explains=("member-missing",),
        not_fix=("lint-condition, which the first line proposes", "making an account of that name"),
    ),
    Row(
        code="member-agent-missing",
        category="iam",
        subcategory="binding",
        title="The service agent does not exist yet",
        cause="An agent is made when its API is first used; right after enabling it may be missing.",
        remedy="Have it made, then bind again.",
        patterns=(r"Service account (?P<account>service-(?P<number>\d+)@[\w.-]+\.gserviceaccount\.com) does not exist",),
        fix_kind="user_action",
        commands=("gcloud beta services identity create --service=run.googleapis.com --project={project}",),
        explains=("member-missing",),
        not_fix=("making the account by hand",),
    ),
    Row(
        code="member-missing",
        category="iam",
        subcategory="binding",
        title="The service account {account} does not exist",
        cause="It was never made, was made seconds ago and is not known everywhere yet, or is misspelled.",
        remedy="Make it, wait a minute and bind again.",
        patterns=(rf"Service account (?P<account>{EMAIL}) (?:does not exist|was not found)",),
        fix_kind="user_action",
        commands=("gcloud iam service-accounts describe {account}",),
        not_fix=("granting roles to the caller",),
    ),
    Row(
        code="account-disabled",
        category="iam",
        subcategory="binding",
        title="The service account is disabled",
        cause="Somebody switched it off; its roles don't matter then.",
        remedy="Enable it again, if that is right.",
        patterns=(
            rf"service account (?:projects/[\w.:-]+/serviceAccounts/)?(?P<account>{EMAIL}) is disabled",
            r"Account disabled: \d+",
        ),
        fix_kind="user_action",
        commands=("gcloud iam service-accounts enable {account} --project={project}",),
        not_fix=("granting roles to it",),
    ),
    Row(
        code="role-not-on-resource",
        category="iam",
        subcategory="binding",
        title="That role can't be bound on this kind of resource",
        cause="A role belongs to a service; on a secret only Secret Manager roles can be bound, and so on.",
        remedy="Bind a role of the resource's own service there, or this role on the project.",
        patterns=(r"Role (?P<role>roles/[\w.]+) is not supported for this resource",),
        not_fix=("roles/owner",),
    ),
    Row(
        code="member-malformed",
        category="iam",
        subcategory="binding",
        title="The member is not written as IAM wants it",
        cause="A service account is serviceAccount:NAME@PROJECT.iam.gserviceaccount.com, with its whole domain.",
        remedy="Write the whole e-mail, with its type before it.",
        patterns=(
            r"Invalid service account \([^)]{0,200}\)",
            r"The member \S{1,200} is of an unknown type",
            r"Invalid value for \[--member\]",
        ),
        not_fix=("lint-condition",),
    ),
    Row(
        code="policy-conflict",
        category="iam",
        subcategory="binding",
        title="Two writers changed the IAM policy at once",
        cause="A policy is read, edited and written back with its etag; another writer was faster.",
        remedy="Run the same command again.",
        patterns=(r"There were concurrent policy changes",),
        fix_kind="retry",
        not_fix=("any IAM grant",),
    ),
    Row(
        code="project-display-name",
        category="iam",
        subcategory="binding",
        title="A project's display name stands where its id belongs",
        cause="Project ids have no spaces and no capitals; the API answers a wrong id with a denial.",
        remedy="Use the id from the list of projects.",
        patterns=(r"Permission denied on resource project (?=[\w'-]{0,60}(?-i:[A-Z ]))[\w' -]{2,60}\.",),
        reasons=("CONSUMER_INVALID",),
        commands=("gcloud projects list",),
        not_fix=("granting roles",),
    ),
)
