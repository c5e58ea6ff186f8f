"""The service by itself: what Cloud Run finds out only when it is written, or never. Asks nobody."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.checks.check import Answer, Check, Ground
from gemmactl.doctor.finding import Finding
from gemmactl.resources.service_rules import violations


def shape(ground: Ground) -> Answer:
    return tuple(_finding(broken) for broken in violations(ground.service)) or "nothing that a dry run would miss"


def _finding(broken: str) -> Finding:
    return Finding(
        code="service-illegal",
        category="config",
        subcategory="service",
        title=broken,
        cause="validate_only does not look at it: the service would be refused when it is written, or never become ready.",
        remedy="Correct the setting that is named.",
        fix_kind="config_change",
        confidence=1.0,
    )


CHECKS: Final = (Check("service", shape),)
