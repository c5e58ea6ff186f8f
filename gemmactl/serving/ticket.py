"""Findings for somebody else: text for an administrator's ticket. Makes no call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmactl.serving.findings import named_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmactl.doctor.finding import Finding


def ticket(findings: Sequence[Finding], where: str = "") -> str:
    """What an administrator is asked to do, and why no less would do: ready to paste."""
    problems = [f for f in findings if f.state == "problem"]
    if not problems:
        return "Nothing for an administrator: no problem was found.\n"
    lines = [f"Request{f' for {where}' if where else ''}: {len(problems)} thing{'s' * (len(problems) != 1)} to do", ""]
    for number, finding in enumerate(problems, 1):
        lines += [f"{number}. {finding.title}", "", *(f"   {line}" for line in _asked(finding)), ""]
    return "\n".join(lines)


def _asked(finding: Finding) -> list[str]:
    from gemmactl.doctor.principal import EXPLAIN, PLACEHOLDERS

    who = PLACEHOLDERS.get(finding.principal, finding.principal)
    rows = [f"{key}: {value}" for key, value in (("Cause", finding.cause), ("To do", finding.remedy)) if value]
    if finding.role:
        on = f" on {finding.resource}" if finding.resource else f" on the {finding.scope}"
        rows.append(f"Grant: {finding.role} to {who}{on}, and nothing broader")
        if finding.permission:
            rows.append(f"It is needed for: {finding.permission}")
        rows.append(f"Why no broader: {finding.why_not_broader}")
    if finding.principal in EXPLAIN:
        rows.append(f"{who}: {EXPLAIN[finding.principal]}")
    rows += [f"Not this: {named_once(wrong)}" for wrong in finding.not_fix]
    if finding.commands:
        rows += ["", *(f"    {command}" for command in finding.commands)]
    if finding.role:
        rows += ["", "IAM takes two minutes, sometimes seven or more, until a grant holds."]
    if finding.evidence:
        rows += ["", f"Seen: {finding.evidence.splitlines()[0][:200]}"]
    return rows
