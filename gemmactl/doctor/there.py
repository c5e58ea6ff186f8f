"""Whether what a text says was refused is there at all: asked before a role on it is offered. Knows no text; reads only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from gemmactl.doctor.finding import Finding
from gemmactl.errors import Trouble
from gemmactl.resources.cloud import Cloud, PolicyTarget
from gemmactl.resources.iam_member import IamMember

WORDS: Final = {
    "bucket": "bucket",
    "secret": "secret",
    "repository": "repository",
    "service_account": "service account",
    "service": "service",
    "job": "job",
}
"""Kinds of targets that may be missing -> what a sentence calls them; a project that is asked is there."""


def checked(found: Iterable[Finding], cloud: Cloud) -> list[Finding]:
    """Each finding of a text as it is; one whose grant would be on a thing that is not there says that instead.

    Google prints the same refusal for both. Where looking is refused too, the finding stays as it is.
    """
    return [_missing(one, absent) if (absent := _absent(one, cloud)) else one for one in found]


def _absent(finding: Finding, cloud: Cloud) -> PolicyTarget | None:
    targets = (remedy.target for remedy in finding.remedies if isinstance(remedy, IamMember))
    return next((target for target in targets if target.kind in WORDS and not is_there(target, cloud)), None)


def is_there(target: PolicyTarget, cloud: Cloud) -> bool:
    """Whether a thing exists; one that the caller may not look at counts as there."""
    try:
        match target.kind:
            case "bucket":
                return cloud.storage.bucket(target.name) is not None
            case "secret":
                return cloud.secrets.get(target.name) is not None
            case "repository":
                return cloud.repositories.get(target.name) is not None
            case "service_account":
                return cloud.accounts.get(target.name) is not None
            case "service":
                return cloud.run.get(target.name) is not None
            case "job":
                return cloud.jobs.get(target.name) is not None
            case _:
                return True
    except Trouble:
        return True


def _missing(finding: Finding, target: PolicyTarget) -> Finding:
    """The thing itself is the fault: no role, and none of the commands that would grant one."""
    name = target.name.rpartition("/")[2]
    word = WORDS[target.kind]
    return replace(
        finding,
        code=f"missing-{target.kind.replace('_', '-')}",
        category="config",
        subcategory=target.kind,
        title=f"{word} {name} does not exist",
        cause="A refusal is printed for what is missing as well; it was looked for, and is not there.",
        remedy="Correct its name where it is used, or make it; then deploy again.",
        principal="",
        permission="",
        role="",
        scope="",
        fix_kind="user_action",
        commands=tuple(line for line in finding.commands if "add-iam-policy-binding" not in line),
        remedies=(),
        not_fix=("any IAM grant: there is nothing to make it on",),
        confidence=1.0,
    )
