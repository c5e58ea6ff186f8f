"""Several looks as one list of findings: what could not look, what is told twice, what comes first. Makes no call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gemmactl.doctor.diagnose import diagnose_trouble
from gemmactl.doctor.finding import Context, Finding
from gemmactl.errors import Trouble
from gemmactl.kernel.plan import api_disabled
from gemmactl.resources.apis import Apis


def together(*parts: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """What several looks found, each thing once, problems first, advice last."""
    ranks = {"problem": 0, "unknown": 1, "advice": 2}
    return tuple(sorted(once([finding for part in parts for finding in part]), key=lambda f: ranks[f.state]))


def unknown(check: str, trouble: Trouble, context: Context) -> list[Finding]:
    """What a check becomes that could not look; a disabled API is itself the finding."""
    if api_disabled(trouble):
        found = diagnose_trouble(trouble, context)
        return [replace(f, title=f"an API is not enabled: {', '.join(sorted(_off(f)))}") if _off(f) else f for f in found]
    permission = str(trouble.facts.get("permission") or "")
    lacking = f"the caller lacks {permission}" if permission else trouble.why or trouble.what
    return [
        Finding(
            code="unknown",
            category="unknown",
            subcategory=check,
            title=f"{check}: unknown, {lacking}",
            cause=trouble.what,
            remedy=trouble.remedy,
            permission=permission,
            evidence=str(trouble),
            principal=context.caller,
            confidence=1.0,
            state="unknown",
        )
    ]


def once(found: Sequence[Finding]) -> list[Finding]:
    """APIs that are off before what is behind them, problems before unknowns, each once."""
    out: dict[tuple[str, ...], Finding] = {}
    for finding in sorted(found, key=lambda f: (f.state == "unknown", -len(_off(f)))):
        if _off(finding) and any(_off(finding) <= _off(told) for told in out.values()):
            continue  # each read that met the API says so again
        cure = (finding.principal, finding.role, finding.resource)
        # a policy that lacks a binding and a container that was refused for it are one finding with two witnesses
        key = cure if all(cure) else (finding.code, *cure, finding.title)
        first = out.setdefault(key, finding)
        if first is not finding and finding.evidence not in first.evidence:
            out[key] = replace(first, evidence="\n".join(filter(None, (first.evidence, finding.evidence))))
    return list(out.values())


def _off(finding: Finding) -> frozenset[str]:
    """The APIs that a finding would have enabled."""
    return frozenset(name for remedy in finding.remedies if isinstance(remedy, Apis) for name in remedy.names)
