"""The service or the job by itself: what Cloud Run finds out only when it is written, or never. Asks nobody."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.checks.check import Answer, Check, Ground
from gemmactl.doctor.finding import Finding
from gemmactl.resources import job_rules, service_rules
from gemmactl.resources.job import Job


def shape(ground: Ground) -> Answer:
    one = ground.service
    broken = job_rules.violations(one) if isinstance(one, Job) else service_rules.violations(one)
    return tuple(_finding(rule, ground.what) for rule in broken) or "nothing that a dry run would miss"


def _finding(broken: str, what: str) -> Finding:
    return Finding(
        code=f"{what}-illegal",
        category="config",
        subcategory=what,
        title=broken,
        cause=f"validate_only does not look at it: the {what} would be refused when it is written, or never become ready.",
        remedy="Correct the setting that is named.",
        fix_kind="config_change",
        confidence=1.0,
    )


CHECKS: Final = (Check("service", shape),)
