"""What inspect says of a service's model, as doctor's findings. Reads nothing itself: it is handed a report or a refusal."""

from __future__ import annotations

from typing import Final

from gemmactl.checkpoint.finding import ModelFinding
from gemmactl.checkpoint.inspect import Report
from gemmactl.doctor.finding import Finding, State

_STATE: Final[dict[str, State]] = {"error": "problem", "warning": "advice"}


def model_findings(report: Report, *, again: str) -> tuple[Finding, ...]:
    """Errors as problems, warnings as advice; notes are for `gemmactl inspect`. `again`: its command line."""
    return tuple(_finding(one, again) for one in report.findings if one.severity in _STATE)


def _finding(one: ModelFinding, again: str) -> Finding:
    correctable = one.correction is not None
    return Finding(
        code=f"model-{one.code}",
        category="model",
        subcategory=one.code.replace("-", "_"),
        title=one.what,
        cause=f"the model itself: `{again}` finds it.",
        remedy=one.remedy,
        evidence=one.evidence,
        resource=one.object,
        fix_kind="config_change" if correctable else "user_action",
        commands=(f"{again} --fix",) if correctable else (),
        not_fix=("a longer startup probe: the engine refuses it, it is not slow",) if one.refusal else (),
        confidence=1.0,
        state=_STATE[one.severity],
    )
