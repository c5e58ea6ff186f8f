"""Who: IAM members, parsed and validated, and the tokens for those a text leaves open. Knows no cloud."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from gemmactl.doctor.finding import TOKENS, Context

EMAIL: Final = (
    r"(?<![A-Za-z0-9._+%-])[A-Za-z0-9](?:[A-Za-z0-9._+%-]{0,62}[A-Za-z0-9])?"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}\.){1,6}[A-Za-z]{2,24}"
)
"""An e-mail as a group-free pattern; bounded, so that hostile text costs linear time."""

FEDERATED: Final = r"principal://iam\.googleapis\.com/projects/\d{1,20}/locations/global/workloadIdentityPools/[\w.-]{1,64}/subject/[\w./:@=+%-]{1,200}"
"""One identity of a pool. Never a principalSet: that may be everybody."""
_MEMBER: Final = rf"(?:(?:user|serviceAccount|group):{EMAIL}|{FEDERATED})"
_SERVICE_DOMAINS: Final = (".gserviceaccount.com",)
_AGENT_NUMBER: Final = r"service-(\d{6,20})@"

PLACEHOLDERS: Final = {
    "$CALLER": "CALLER",
    "$DOCKER_IDENTITY": "DOCKER_IDENTITY",
    "$BUILD_SA": "BUILD_SA",
    "$RUNTIME_SA": "RUNTIME_SA",
    "$RUN_AGENT": "RUN_SERVICE_AGENT",
}
"""What a command shows in place of a principal that is not known: it can't be pasted by mistake."""

EXPLAIN: Final = {
    "$CALLER": "the account that ran the command (gcloud config get-value account, or the Application Default Credentials)",
    "$DOCKER_IDENTITY": "the build's service account inside Cloud Build, else the account behind docker's credential helper",
    "$BUILD_SA": "the build's service account (NUMBER-compute@developer.gserviceaccount.com in newer projects)",
    "$RUNTIME_SA": "the service's own account (NUMBER-compute@developer.gserviceaccount.com when none was set)",
    "$RUN_AGENT": "service-NUMBER@serverless-robot-prod.iam.gserviceaccount.com, with the project's number",
}


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def is_email(text: str) -> bool:
    return _compiled(EMAIL).fullmatch(text) is not None


def is_member(text: str) -> bool:
    """A single account with its type; never allUsers, allAuthenticatedUsers or a domain."""
    return _compiled(_MEMBER).fullmatch(text) is not None


def is_account(email: str) -> bool:
    """Whether an e-mail is a service account's."""
    return email.endswith(_SERVICE_DOMAINS)


def member(text: str) -> str:
    """`type:email` for an e-mail or a member, `` for anything else."""
    if is_member(text):
        return text
    if is_email(text):
        return f"serviceAccount:{text}" if is_account(text) else f"user:{text}"
    return ""


def of_database_user(name: str) -> str:
    """The member behind an IAM user of a database: a service account's lacks the end of its e-mail."""
    return member(f"{name}.gserviceaccount.com" if name.endswith(".iam") else name)


def run_agent(number: str) -> str:
    """Cloud Run's service agent of a project, as a member."""
    return f"serviceAccount:service-{number}@serverless-robot-prod.iam.gserviceaccount.com"


def agent_number(text: str) -> str:
    """The project number inside a (possibly truncated) service agent's e-mail, or ``."""
    found = _compiled(_AGENT_NUMBER).search(text)
    return found[1] if found else ""


def resolve(token: str, context: Context) -> str:
    """The member behind a token as far as the context knows it; else the token itself."""
    answers = {
        "$CALLER": context.caller,
        "$BUILD_SA": context.build_account,
        "$DOCKER_IDENTITY": context.build_account,
        "$RUNTIME_SA": context.runtime_account,
        "$RUN_AGENT": run_agent(context.number) if context.number.isdigit() else "",
    }
    return member(answers.get(token, "")) or token


def is_open(principal: str) -> bool:
    """Whether the principal is still a token."""
    return principal in TOKENS


def shown(principal: str) -> str:
    """The principal as a command shows it."""
    return principal if is_member(principal) else PLACEHOLDERS.get(principal, "MEMBER")
