"""What a text says about its own project: caller, project, region, service, accounts. Knows no failure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gemmactl.doctor.existence import MAYBE, thing
from gemmactl.doctor.finding import Context
from gemmactl.doctor.place import PROJECT, REGION, valid
from gemmactl.doctor.principal import EMAIL, FEDERATED, agent_number, member
from gemmactl.doctor.search import search

ACTED: Final = (
    rf"will be executed as \[(?P<x>{EMAIL})\]",
    rf"--impersonate-service-account[= ](?P<x>{EMAIL})",
    rf"is used to impersonate (?P<x>{EMAIL})",
    rf"\bimpersonating (?:the )?(?:service account )?\[?(?P<x>{EMAIL})",
)
"""As whom the caller acts: it is who was refused, unless it was the acting itself."""
_NO_ACTING: Final = (
    r"getAccessToken|getOpenIdToken|print-(?:identity|access)-token"
    r"|ailed to impersonate|acquire impersonated|impersonation permission"
)
CALLER: Final = (
    rf"authenticated as \[?(?P<x>{EMAIL}|{FEDERATED})",
    rf"\[(?P<x>{EMAIL})\] does not have permission to access",
    rf"\) (?P<x>{EMAIL}) does not have permission to access \w+ instance",
    rf"\bactive account[: ]+\[?(?P<x>{EMAIL})",
    rf"\bUser: '(?P<x>{EMAIL})'",
    rf"principalEmail['\"]? ?: ?['\"]?(?P<x>{EMAIL})",
    rf"principalSubject['\"]? ?: ?['\"]?(?P<x>{FEDERATED})",
    rf"[?&]impersonat\w+ service account \[?(?P<x>{EMAIL})",
    rf"\b[Cc]aller (?P<x>{EMAIL}) is missing permission",
    rf"is forbidden: User \"(?P<x>{EMAIL})\" cannot",
    rf"ACTIVE +ACCOUNT\s+\* +(?P<x>{EMAIL})",
)
BUILD: Final = (
    rf"service account running this build (?:projects/[\w.:-]+/serviceAccounts/)?(?P<x>{EMAIL})",
    rf"build (?:is )?running as (?:projects/[\w.:-]+/serviceAccounts/)?(?P<x>{EMAIL})",
)
RUNTIME: Final = (
    rf"Revision service account (?P<x>{EMAIL})",
    (
        rf"\b(?:runs?|running|deployed|executes?) (?:as|with|under) (?:the )?(?:service account |identity |account )?"
        rf"['\"`\[]?(?P<x>{EMAIL})"
    ),
    rf"(?:--service-account|serviceAccountName|service_account(?:_name)?)['\"]? ?[=: ] ?['\"]?(?P<x>{EMAIL})",
)
_OWN: Final = r"(?:[a-z0-9-]{1,40}(?:\.[a-z0-9-]{1,40}){1,4}:)?[a-z][a-z0-9-]{2,61}[a-z0-9]|\d{6,20}"
"""A project in front of what was asked of it: `my-proj:setIamPolicy` is no project of a domain."""
PROJECTS: Final = (
    rf"in project \[(?P<x>{PROJECT})\]",
    rf"not the same as this project \[?(?P<x>{PROJECT})\]?",
    rf"--project[= ](?P<x>{PROJECT})\b",
    # gcloud's word for the kind comes first: `services instance [X]` is a service, a secret or an API, and no project
    rf"\b(?:projects|namespaces|apps) instance \[(?P<x>{_OWN})[\]:]",
    rf"namespaces instance (?P<x>{PROJECT}) \(",
    rf"\[(?P<x>{PROJECT})_cloudbuild\]",
    rf"cloudresourcemanager\.googleapis\.com/v\d/projects/(?P<x>{PROJECT})\b",
    rf"\b(?:projects|namespaces)/(?P<x>{PROJECT})/",
    rf"IAM for project (?P<x>{PROJECT})\b",
)
REGIONS: Final = (
    rf"region \[(?P<x>{REGION})\]",
    rf"--region[= ](?P<x>{REGION})\b",
    rf"/locations/(?P<x>{REGION})/",
    r"\b(?P<x>[a-z]{2,20}-[a-z]{2,20}\d{1,2})-docker\.pkg\.dev/",
)
SERVICES: Final = (
    r"Cloud Run service \[(?P<x>[a-z][a-z0-9-]*)\]",
    r"Revision '(?P<x>[a-z][a-z0-9-]*?)-\d{5}-[a-z0-9]{3}'",
    r'"?service_name"?: ?"(?P<x>[a-z][a-z0-9-]*)"',
    r"/locations/[a-z0-9-]+/services/(?P<x>[a-z][a-z0-9-]*)",
    r"namespaces/[\w.:-]+/services/(?P<x>[a-z][a-z0-9-]*)",
)


def enrich(context: Context, flat: str) -> Context:
    """The context with its gaps filled from the text. What the caller of diagnose knows wins."""
    number = context.number or agent_number(flat)
    project = context.project or _first(PROJECTS, flat, "project")
    return replace(
        context,
        caller=context.caller or _acting(flat) or _account(CALLER, flat),
        build_account=_account(BUILD, flat) or context.build_account,
        runtime_account=_account(RUNTIME, flat) or context.runtime_account,
        project=project,
        number=number,
        region=context.region or _first(REGIONS, flat, "region"),
        service=context.service or _first(SERVICES, flat, "service"),
        thing=thing(flat),
        maybe=found[0] if (found := search(MAYBE, flat)) else "",
    )


def _acting(flat: str) -> str:
    return "" if search(_NO_ACTING, flat) else _account(ACTED, flat)


def _first(expressions: tuple[str, ...], flat: str, slot: str) -> str:
    for expression in expressions:
        if (found := search(expression, flat)) and valid(slot, found["x"]):
            return found["x"]
    return ""


def _account(expressions: tuple[str, ...], flat: str) -> str:
    for expression in expressions:
        if (found := search(expression, flat)) and member(found["x"]):
            return found["x"]
    return ""
