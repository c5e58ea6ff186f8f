"""Row: one known failure as data, and how a row that matched becomes a Finding. Knows no particular failure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmactl.doctor import by_data, family, operation
from gemmactl.doctor import place as places
from gemmactl.doctor import principal as who
from gemmactl.doctor.finding import Category, Context, Finding, FixKind
from gemmactl.doctor.permissions import ABOVE, Least, canonical, least
from gemmactl.doctor.scene import acting
from gemmactl.doctor.search import pattern, search

if TYPE_CHECKING:
    from gemmactl.kernel.resource import Resource
    from gemmactl.resources.cloud import TargetKind

EVIDENCE: Final = 300
BY_DATA: Final = " The role is the narrowest that holds the permission by data, not curated: look at what else it allows first."
"""Said of a role that nobody chose by hand; `--fix` does not offer it."""
TARGETS: Final[dict[str, TargetKind]] = {
    "project": "project",
    "bucket": "bucket",
    "repo": "repository",
    "secret": "secret",
    "service account": "service_account",
    "service": "service",
    "job": "job",
}
"""Scopes that are policy targets of the cloud; the others get a command, no remedy."""

CAUSE, HIDES, CONSEQUENCE, LAST = 0, 1, 2, 3
"""Ranks: the cause itself; something that hides the cause; a mere consequence, told only when nothing better was found; a
last word, told only when nothing else was."""

_LOGGING: Final = "logging.logEntries.create"
_HIDDEN: Final = " Whoever lacks it writes no log: by itself it fails hardly anything, and it hides what did."


@dataclass(frozen=True)
class Row:
    """One known failure.

    `patterns` are searched in the flattened text, ignoring case; `reasons` are ErrorInfo reasons that decide by themselves.
    Named groups that are slots of place.SLOTS fill the braces of `commands`; `permission`, `resource` and `member` make it
    an IAM finding, whose role, scope and command come from the permission table unless given here.
    """

    code: str
    category: Category
    subcategory: str
    title: str
    cause: str
    remedy: str
    patterns: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    only_with: str = ""
    """A pattern that must also be somewhere in the text."""
    unless: str = ""
    """A pattern that must not be anywhere in the text."""
    permission: str = ""
    principal: str = ""
    role: str = ""
    scope: str = ""
    fix_kind: FixKind = "config_change"
    commands: tuple[str, ...] = ()
    not_fix: tuple[str, ...] = ()
    confidence: float = 0.9
    rank: int = CAUSE
    needs_permission: bool = False
    """No finding where the match leads to no permission."""
    barred: bool = False
    """No role helps, though a permission is named."""
    explains: tuple[str, ...] = ()
    """Codes of findings that this one makes superfluous; `category:NAME` for all of a category but its own kind."""


def finding(row: Row, groups: Mapping[str, str], context: Context, evidence: str) -> Finding:
    """What a row says about one match. `groups` may come from anywhere: everything is validated here."""
    permission = canonical(row.permission or _permission(groups.get("permission", "")) or operation.permission(groups))
    choice = _choice(permission)
    if choice and not choice.curated:
        permission = by_data.spelled(permission)
    named = places.parse(groups.get("resource", ""))
    kind = family.remedy_of(row.fix_kind, permission)
    role, scope = ("", "") if row.barred else _bound(row, choice, named, permission)
    principal = (
        who.member(groups.get("member", ""))
        or who.of_database_user(groups.get("database_user", ""))
        or _signer(permission, named, context)
        or acting(row.principal, permission, context)
    )
    subject = family.of(row.subcategory, permission, principal)
    principal = who.resolve(principal, context) if who.is_open(principal) else principal
    named = named or _from_slots(scope, groups)
    at = places.settle(named, scope, context) if scope else None
    binds = bool(role and at and (permission or row.role))
    uncurated = bool(binds and choice and not choice.curated and not row.role)
    unknown = bool(permission and choice is None and not row.role and not row.barred)
    commands = tuple(fill(c, groups, context) for c in row.commands)
    if binds and at and not row.commands:
        commands = (places.bind_command(at, role, who.shown(principal)),)
    cause = _sentence(row.cause, groups) + (_HIDDEN if permission == _LOGGING and row.rank != HIDES else "")
    remedy = row.remedy
    # what hides a cause was met on the way there: it is the other refusal that may be of a thing that is missing
    if context.maybe and row.category == "iam" and row.fix_kind == "iam_grant" and not row.barred and row.rank != HIDES:
        from gemmactl.doctor import existence

        commands = (existence.look(permission, named, at, groups.get("resource", ""), evidence, context), *commands)
        cause += "" if search(r"not exist|missing secret", cause) else existence.OR_MISSING
        remedy += "" if search(r"\bexists?\b", remedy) else existence.LOOK_FIRST
    return Finding(
        code=row.code,
        category=row.category,
        subcategory=subject,
        title=_sentence(row.title, groups),
        cause=cause,
        remedy=_remedy(row, remedy, principal) + (BY_DATA if uncurated else ""),
        evidence=clip(evidence),
        principal=principal if (permission or row.role or row.principal) else "",
        permission=permission,
        resource=(_whole(groups.get("resource", ""), named) if unknown else "") or str(at or named or ""),
        role=role if binds else "",
        scope=scope if binds else (named.scope if named else by_data.place_of(permission)) if unknown else "",
        fix_kind=kind,
        commands=tuple(c for c in commands if harmless(c)),
        remedies=() if uncurated else _remedies(kind, at, role, principal) if binds else _enabling(row, groups, context),
        not_fix=row.not_fix or ((choice.trap,) if choice and choice.trap else ()),
        confidence=min(row.confidence, 0.6) if uncurated else row.confidence,
    )


def rank(row: Row, told: Finding) -> int:
    """Of a finding: a missing log role hides the cause, and is none, whichever row tells of it."""
    return max(row.rank, HIDES) if told.permission == _LOGGING else row.rank


def _bound(row: Row, choice: Least | None, named: places.Place | None, permission: str) -> tuple[str, str]:
    """Role and scope: what a project's role can't reach is bound on the organization or folder that the text names."""
    role, scope = row.role or (choice.role if choice else ""), row.scope or (choice.scope if choice else "")
    if named and named.scope in ("organization", "folder") and scope in ("project", "organization", "folder") and not row.role:
        kind = permission.rpartition(".")[0]
        return (ABOVE.get(kind, role) if named.scope == "organization" else role), named.scope
    return role, scope


def _whole(text: str, named: places.Place | None) -> str:
    """The full name of a thing of a kind that nobody wrote down, of which only the project could be read."""
    found = pattern(r"(?://[a-z.]{3,60}/)?(projects/[\w:-]{3,64}(?:/[a-z]{2,40}/[\w.-]{1,120}){1,4})[.,;]?").fullmatch(text)
    return found[1].rstrip(".") if found and named and named.scope == "project" else ""


def _signer(permission: str, named: places.Place | None, context: Context) -> str:
    """A program without a key signs as itself; that the default account is the one named tells that it runs as that."""
    own = bool(named and named.scope == "service account" and named.name.endswith("-compute@developer.gserviceaccount.com"))
    signs = permission in ("iam.serviceAccounts.signBlob", "iam.serviceAccounts.signJwt")
    return who.member(named.name) if named and own and signs and context.scene in ("", "program") else ""


def _choice(permission: str) -> Least | None:
    return (least(permission) or by_data.narrowest(permission)) if permission else None


def fill(template: str, groups: Mapping[str, str], context: Context) -> str:
    """A command line from a template; a slot without a legal value shows its name in capitals."""

    def slot(match: re.Match[str]) -> str:
        name = match[1]
        own = {"project": context.project, "region": context.region, "service": context.service, "bucket": context.bucket}
        value = groups.get(name) or own.get(name, "")
        return places.valid(name, value) or name.upper()

    return pattern(r"\{(\w+)\}").sub(slot, template)


def harmless(command: str) -> bool:
    """Whether a line holds nothing a shell would act on but words."""
    return pattern(r"[\w ./:@=,+%-]{1,1000}").fullmatch(command) is not None


def clip(text: str, size: int = EVIDENCE) -> str:
    return text if len(text) <= size else text[: size - 1] + "\u2026"


def _permission(text: str) -> str:
    return text if pattern(r"[a-z]{2,30}(?!\.googleapis\.)(?:\.[a-z]{2,60}){2}").fullmatch(text) else ""


def _from_slots(scope: str, groups: Mapping[str, str]) -> places.Place | None:
    """The place when a row's own groups name its parts instead of a whole resource name."""
    slot = {"repo": "repository", "service account": "account", "billing account": "billing_account"}.get(scope, scope)
    name = places.valid(slot, groups.get(slot) or "")
    project, region = (places.valid(s, groups.get(s) or "") for s in ("project", "region"))
    return places.Place(scope, name if scope != "project" else "", project, region) if name or project else None


def _sentence(template: str, groups: Mapping[str, str]) -> str:
    def slot(match: re.Match[str]) -> str:
        return clip(groups.get(match[1]) or match[1].upper(), 120)

    return pattern(r"\{(\w+)\}").sub(slot, template)


def _remedy(row: Row, remedy: str, principal: str) -> str:
    if not who.is_open(principal) or (not row.permission and not row.role and row.fix_kind != "iam_grant"):
        return remedy
    return f"{remedy} {who.PLACEHOLDERS[principal]} stands for {who.EXPLAIN[principal]}."


def _remedies(kind: FixKind, at: places.Place | None, role: str, principal: str) -> tuple[Resource, ...]:
    """The one grant, when every part of it is certain."""
    if kind != "iam_grant" or at is None or not who.is_member(principal) or at.scope not in TARGETS:
        return ()
    name = _target_name(at)
    if not name:
        return ()
    from gemmactl.resources.cloud import PolicyTarget
    from gemmactl.resources.iam_member import IamMember

    return (IamMember(PolicyTarget(TARGETS[at.scope], name), role, principal),)


def _enabling(row: Row, groups: Mapping[str, str], context: Context) -> tuple[Resource, ...]:
    """The one API, when it is missing in the very project that is worked on."""
    api = places.valid("api", groups.get("api") or "")
    project = groups.get("project") or context.project
    if row.fix_kind != "enable_api" or not api or not context.project or project not in (context.project, context.number):
        return ()
    from gemmactl.resources.apis import Apis

    return (Apis((api,)),)


def _target_name(at: places.Place) -> str:
    if at.scope == "project":
        return at.project
    if not at.name or at.name.isdigit():
        return ""
    if at.scope in ("bucket", "service account"):
        return at.name
    if not at.project or (at.scope != "secret" and not at.location):
        return ""
    return str(at)
