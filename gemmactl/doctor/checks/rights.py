"""What the caller lacks for the steps that are due, by testIamPermissions on each thing. Knows no step: rights does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from gemmactl.doctor.checks.check import Ground, Verdict
from gemmactl.doctor.finding import Finding
from gemmactl.doctor.granting import missing_permission
from gemmactl.doctor.permissions import least
from gemmactl.kernel.plan import Op, Step
from gemmactl.resources import rights
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.needs import Need

NAME: Final = "your permissions"


def check(steps: Sequence[Step], ground: Ground) -> Verdict:
    """One round of questions, all at the same time."""
    asked = rights.ask(steps, ground.cloud)
    findings = tuple(_findings(asked.missing, steps, ground))
    if findings:
        return Verdict(NAME, "finding", "; ".join(f.title for f in findings), findings)
    if asked.unknown:
        needs = sorted({str(need) for lacking in asked.unknown.values() for need in lacking})
        return Verdict(NAME, "unknown", f"unknown: could not be asked: {', '.join(needs)}")
    return Verdict(NAME, "ok", f"all that {len(steps)} steps need")


def _findings(missing: Mapping[str, tuple[Need, ...]], steps: Sequence[Step], ground: Ground) -> Iterator[Finding]:
    """One for each role and thing: three permissions of one role are one request to an administrator."""
    absent = {rights.target_of(s.resource) for s in steps if s.op is Op.CREATE or s.unknown}
    together: dict[tuple[str, PolicyTarget], dict[str, list[str]]] = {}
    for step in steps:
        for need in missing.get(step.address, ()):
            choice = least(need.permission)
            on_project = need.target in absent or (choice is not None and choice.scope == "project")
            where = PolicyTarget("project", ground.cloud.project) if on_project else need.target
            role = choice.role if choice else need.permission
            together.setdefault((role, where), {}).setdefault(need.permission, []).append(step.address)
    for (_, where), wanted in together.items():
        permission = next(iter(wanted))
        first = missing_permission(permission, where, ground.context)
        yield replace(
            first,
            title=first.title.replace(permission, ", ".join(wanted)),
            cause=f"Needed for: {', '.join(dict.fromkeys(a for addresses in wanted.values() for a in addresses))}.",
            remedy="Ask an administrator for the role; `gemmactl plan --for-admin` prints all that has to be run.",
            confidence=0.9,
        )
