"""IAM grants as findings: a missing binding of the plan, a permission that a test did not find. Knows no text."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gemmactl.doctor import place as places
from gemmactl.doctor import principal as who
from gemmactl.doctor.finding import Context, Finding
from gemmactl.doctor.permissions import TABLE, least, least_of_step
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.iam_member import IamMember

SCOPES: Final = {"repository": "repo", "service_account": "service account"}
"""Kinds of targets whose scope has another name; the rest are the same."""


def place_of(target: PolicyTarget) -> places.Place:
    """A policy target as a place that commands can name."""
    scope = SCOPES.get(target.kind, target.kind)
    if scope == "project":
        return places.Place("project", "", target.name)
    if scope == "bucket":
        return places.Place("bucket", target.name)
    if scope == "service account":
        return places.Place(scope, target.name, places.account_project(target.name))
    return places.parse(target.name) or places.Place(scope)


def command(grant: IamMember) -> str:
    """The gcloud line that makes the grant."""
    return places.bind_command(place_of(grant.target), grant.role, who.shown(grant.member))


def undo(grant: IamMember) -> str:
    """The gcloud line that takes it back."""
    return command(grant).replace(" add-iam-policy-binding ", " remove-iam-policy-binding ", 1)


def grant_finding(grant: IamMember) -> Finding:
    """A binding that the stack wishes and the policy does not hold."""
    at = place_of(grant.target)
    permission = next((p for p, choice in TABLE.items() if choice.role == grant.role and choice.scope == at.scope), "")
    choice = least(permission)
    return Finding(
        code="missing-grant",
        category="iam",
        subcategory="missing_binding",
        title=f"{grant.member} lacks {grant.role} on {grant.target}",
        cause="The stack needs this binding and the policy does not hold it: it was never made, or somebody removed it.",
        remedy="Grant it; nothing broader is needed.",
        principal=grant.member,
        permission=permission,
        resource=str(at),
        role=grant.role,
        scope=at.scope,
        fix_kind="iam_grant",
        commands=(command(grant),),
        remedies=(grant,),
        not_fix=(choice.trap,) if choice and choice.trap else (),
        confidence=1.0,
    )


def missing_permission(permission: str, target: PolicyTarget, context: Context) -> Finding:
    """A permission that the caller does not hold on a target, by testIamPermissions."""
    choice = least_of_step(permission)
    role = choice.role if choice else ""
    caller = who.member(context.caller) or "$CALLER"
    at = place_of(target)
    base = Finding(
        code="caller-lacks-permission",
        category="iam",
        subcategory="caller",
        title=f"{who.shown(caller)} lacks {permission} on {target}",
        cause="A step that is due needs it. A role on a single resource may do as well; the test asks the project.",
        remedy="Ask an administrator for the role, unless you may grant it yourself.",
        principal=caller,
        permission=permission,
        resource=str(at),
        role=role,
        scope=at.scope,
        fix_kind="iam_grant",
        confidence=0.8,
    )
    if not role:
        return base
    grant = IamMember(target, role, caller)
    return replace(base, commands=(command(grant),), remedies=(grant,) if who.is_member(caller) else ())
