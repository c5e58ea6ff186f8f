"""Who calls, and what Google answers before it looks at anything. Knows no text of Google's"""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.own_codes.meaning import Meaning

ROWS: Final = (
    Meaning("no-credentials", "Nobody is logged in on this machine for programs", "Run `gcloud auth application-default login`."),
    Meaning(
        "credentials-expired",
        "The login of this machine no longer works: it expired, or was revoked",
        "Log in again: `gcloud auth application-default login`.",
    ),
    Meaning(
        "federation",
        "Google did not accept the token of another identity provider",
        "Compare provider, audience and conditions of the pool with the token.",
    ),
    Meaning(
        "impersonation",
        "The service account can't be impersonated: you may not make its tokens, or there is none of that name",
        "Ask for roles/iam.serviceAccountTokenCreator on it.",
    ),
    Meaning(
        "no-id-token",
        "These credentials can make no ID token, which a private service wants",
        "Log in as yourself, or act as a service account: `--impersonate-service-account`.",
    ),
    Meaning(
        "quota-project",
        "Calls count on a project that you may not use",
        "Ask for roles/serviceusage.serviceUsageConsumer on it, or set GOOGLE_CLOUD_QUOTA_PROJECT.",
    ),
    Meaning(
        "billing-disabled",
        "Google refuses because no open billing account is linked to the project",
        "Link one, then wait a few minutes.",
    ),
    Meaning(
        "scopes",
        "The login was made without the scope that the call needs",
        "Log in again: `gcloud auth application-default login`.",
    ),
    Meaning("project-unknown", "Google knows no project of that id", "Check it with `gcloud projects list`."),
    Meaning(
        "invalid",
        "Google found the request not valid; its sentence names the field",
        "Paste it into `gemmactl doctor --from-log`, or change the setting that is named.",
    ),
    Meaning(
        "unauthenticated",
        "Google did not accept the login of this call",
        "Log in again: `gcloud auth application-default login`.",
    ),
    Meaning(
        "denied",
        "Google refused for want of a permission, or by a rule above it",
        "`gemmactl doctor` names the role that is missing and whom to ask.",
    ),
    Meaning("not-found", "Google finds no such thing, or does not show it", "Check the name, the project and the region."),
    Meaning(
        "conflict", "Somebody changed the same thing at the same time, or it is there already", "Run the same command again."
    ),
    Meaning(
        "precondition", "The thing is no longer as it was read: somebody changed it meanwhile", "Run the same command again."
    ),
    Meaning(
        "quota", "Too many calls came in a short time, or a quota is used up", "Wait a minute and run the same command again."
    ),
    Meaning("unavailable", "Google's API fails at the moment", "Wait a minute and run the same command again."),
    Meaning(
        "network",
        "An address can't be reached from this machine",
        "Look at the network, a proxy and a firewall; then run it again.",
    ),
    Meaning(
        "bucket-of-another-project",
        "A bucket of that name belongs to another project: names are one for all of Google Cloud",
        "Give another name, or a bucket of your own.",
    ),
    Meaning("failure", "Something failed that has no code of its own", "Read what the message says of why."),
)
