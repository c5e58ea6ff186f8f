"""Changing IAM itself: who may, members that don't exist, roles that don't fit."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.principal import EMAIL
from gemmactl.doctor.row import CONSEQUENCE, Row

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
            r"failed to modify the IAM policy for the project",
            r"Permission '?resourcemanager\.projects\.setIamPolicy'? denied",
        ),
        permission="resourcemanager.projects.setIamPolicy",
        principal="$CALLER",
        fix_kind="admin_action",
        explains=("iam-denied",),
        not_fix=("trying again", "roles/owner"),
    ),
    Row(
        code="invoker-not-set",
        category="iam",
        subcategory="deploy_caller",
        title="It was deployed, and who may call it could not be set",
        cause="Setting who may call a service or a function needs setIamPolicy on it; run.developer lacks it.",
        remedy="Grant run.admin on the service to the caller, or have an administrator set who may call it.",
        patterns=(
            r"Failed to set the IAM Policy on the (?:Service|Function)",
            r"Unable to set the invoker for the",
        ),
        permission="run.services.setIamPolicy",
        principal="$CALLER",
        fix_kind="iam_grant",
        confidence=0.75,
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
        patterns=(
            rf"Service account (?P<account>{EMAIL}) (?:does not exist|was not found)",
            rf"service account ['\"`](?:projects/[\w:.-]{{3,64}}/serviceAccounts/)?(?P<account>{EMAIL})['\"`] (?:was )?not found",
        ),
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
        code="binding-refused",
        category="iam",
        subcategory="binding",
        title="The change of the IAM policy was read and refused",
        cause="A role, a member or a condition in it is not legal there, or what it is bound on does not exist.",
        remedy="Correct what the message names; a role belongs to a service, and a member needs its type before it.",
        patterns=(
            (
                r"\(gcloud\.[\w.-]{2,80}\.(?:add|set|remove)-iam-policy(?:-binding)?\) (?:INVALID_ARGUMENT|FAILED_PRECONDITION"
                r"|NOT_FOUND|Status code: 400|HTTPError 400|Invalid )"
            ),
            r"Error (?:setting|applying|retrieving) IAM policy for .{5,400}? googleapi: Error 40[04]: ",
            r"Role \(?['\"]?(?:roles|projects|organizations)/[\w./-]{2,120}\)?['\"]? does not exist\b",
            r"Policies with conditions must specify a version|number of members in the policy",
        ),
        unless=(
            r"permitted customer|constraint|\b403\b|denied|public access prevention|of kind '|Cannot find|has not been used"
            r"|SERVICE_DISABLED|orgpolicy|organi[sz]ation polic"
        ),
        rank=CONSEQUENCE,
        explains=("field-illegal", "argument-refused", "not-there"),
        not_fix=("roles/owner", "lint-condition"),
        confidence=0.7,
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
