"""Whom a text itself names as the one that was refused, in whatever words. Knows no failure and no scene."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.principal import EMAIL, FEDERATED, member
from gemmactl.doctor.search import matches, search

_QUOTE: Final = r"[\[(`'\"]{0,2}(?:serviceAccount:|user:)?"
_WHOSE: Final = (
    "workflow|worker|environment|runtime|job|build|function|app|application|execution|service|run|trigger|runner|node|pod"
    "|workload"
)
REFUSED: Final = (
    # an audit log
    r"\bprincipalEmail['\"]?\s?:\s?['\"]?(?P<x>[\w.+-]{1,64}@[\w.-]{3,200}\w)",
    rf"\bprincipalSubject['\"]?\s?:\s?['\"]?(?:serviceAccount:|user:)?(?P<x>{FEDERATED}|{EMAIL})",
    # the message tells whom to give the role
    (
        rf"\b(?:grant|give|assign)(?: the)? (?:[\w ]{{1,60}} )?{_QUOTE}(?P<x>{EMAIL})[\])`'\"]{{0,2}}"
        r" (?:the |permission|access|['`\"]?roles/)"
    ),
    rf"\b(?:grant|give|assign)(?:ing)? [\w'`\"()/. -]{{1,120}} to (?:the )?(?:[\w ]{{1,60}} )?{_QUOTE}(?P<x>{EMAIL})",
    rf"(?<![\w.-])(?:caller|principal|identity|user) {_QUOTE}(?P<x>{EMAIL})['\"`\])]{{0,2}} (?:does not have|lacks|is missing) ",
    (
        rf"service (?:account|agent) {_QUOTE}(?P<x>{EMAIL})['\"`\])]{{0,2}} (?:needs|requires|must (?:have|be granted|be given)) "
        r"(?:the |this |access|permission)"
    ),
    # a label before it
    rf"(?<![\w.-])(?:caller|principal|identity|(?:{_WHOSE})(?:'s)? service account)['\"]? ?[:=] ?{_QUOTE}(?P<x>{EMAIL})",
)
STORAGE: Final = rf"(?P<x>{EMAIL}) (?:does not have|lacks) storage\.\w{{2,30}}\.\w{{2,30}} access"
"""Cloud Storage names whom it refuses; what the same program asked of others beside it concerns the same account."""
_AGENT: Final = "service-"
SCHEDULE: Final = (rf"(?:service_?account_?email|--o(?:auth|idc)-service-account-email)['\"]? ?[=: ] ?['\"]?(?P<x>{EMAIL})",)
_MADE: Final = (
    r"(?<![\w.-])(?P<x>[a-z0-9][a-z0-9-]{1,62}@[a-z][a-z0-9-]{2,61}\.iam\.gserviceaccount\.com"
    r"|\d{6,20}-compute@developer\.gserviceaccount\.com)"
)
"""A service account of a project: one that somebody made, or the default one."""
_AS_RESOURCE: Final = r"serviceAccounts/[a-z]|(?:on|as) (?:the )?service account|--(?:build-)?service-account"


def alone(flat: str) -> str:
    """The only service account that the text names, of whoever's hand; one that is a resource in it is none."""
    told = {found["x"] for found in matches(_MADE, flat) if not found["x"].startswith(_AGENT) and "@gcp-sa-" not in found["x"]}
    return "" if len(told) != 1 or search(_AS_RESOURCE, flat) else told.pop()


def authenticated(flat: str) -> str:
    """As whom gcloud says that it ran, or ``."""
    found = search(rf"authenticated as \[?(?P<x>{EMAIL})", flat)
    return found["x"] if found else ""


def refused(flat: str) -> str:
    """The account that the text says was refused, or ``."""
    for expression in REFUSED:
        if (found := search(expression, flat)) and member(found["x"]):
            return found["x"]
    told = {found["x"] for found in matches(STORAGE, flat) if not found["x"].startswith(_AGENT)}
    return told.pop() if len(told) == 1 else ""


def schedule(flat: str) -> str:
    """The account that a schedule or a queue calls as: in its own field, else the only one that the text names; or ``."""
    for expression in SCHEDULE:
        if found := search(expression, flat):
            return found["x"]
    return alone(flat)
