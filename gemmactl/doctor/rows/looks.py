"""What the live checks find without any text: bindings, permissions, logins, things that are missing or differ. Knows no text."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import Row

ROWS: Final = (
    Row(
        "missing-grant",
        "iam",
        "missing_binding",
        "An account lacks a role that the stack gives it",
        "The stack needs this binding and the policy does not hold it: it was never made, or somebody removed it.",
        "`gemmactl doctor --fix` grants exactly it.",
        fix_kind="iam_grant",
    ),
    Row(
        "caller-lacks-permission",
        "iam",
        "caller",
        "You lack a permission for a step that is due",
        "testIamPermissions says that you do not hold it on the thing that the step changes.",
        "Ask an administrator for the role; `gemmactl plan --for-admin` prints all that has to be run.",
        fix_kind="iam_grant",
    ),
    Row(
        "two-logins",
        "auth",
        "identity",
        "gcloud and gemmactl act as different accounts",
        "The application default credentials are of another account than gcloud's own login.",
        "Log in as the same account in both, or go on knowingly.",
        fix_kind="user_action",
    ),
    Row(
        "bucket-far",
        "config",
        "location",
        "The model's bucket is far from the region of the service",
        "Weights from another region come slower, and their way is billed.",
        "Copy the model into a bucket in the region, or deploy where the bucket is.",
        fix_kind="config_change",
    ),
    Row(
        "open-to-all",
        "iam",
        "invoker",
        "Everybody may call a service that was deployed for some",
        "Its policy or its settings let callers in without a check, and the deploy had not asked for that.",
        "Deploy it again, or take the binding of everybody away.",
        fix_kind="config_change",
    ),
    Row(
        "missing-image",
        "config",
        "image",
        "The image of the service is not there",
        "It was never built, its build failed, or somebody removed it.",
        "Run the same deploy again: it builds what is missing.",
        fix_kind="config_change",
    ),
    Row(
        "missing-service",
        "config",
        "service",
        "There is no service of that name",
        "Nothing was deployed under it in this project and region, or it was removed.",
        "Deploy it once the other findings are repaired, or name another one.",
        fix_kind="user_action",
    ),
    Row(
        "differs-service",
        "config",
        "service",
        "The service differs from what was deployed",
        "Somebody changed it since, or a newer gemmactl deploys it otherwise.",
        "Run the same deploy again: it corrects what differs.",
        fix_kind="config_change",
    ),
    Row(
        "service-not-ready",
        "container",
        "not_ready",
        "The service is not ready, for a reason that no known failure has",
        "Cloud Run's own message is the cause that is told.",
        "Read the newest revision's log: `gemmactl logs`.",
        fix_kind="diagnose",
    ),
)
