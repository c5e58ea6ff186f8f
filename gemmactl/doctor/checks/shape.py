"""The service or the job by itself: what Cloud Run finds out only when it is written, or never. Asks nobody."""

from __future__ import annotations

from typing import Final

from gemmactl import limits
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


def gpu_region(ground: Ground) -> Answer:
    """Regions with the GPU, by the dated table: no API of Google tells them."""
    wish = ground.service
    row = limits.GPUS.get(wish.gpu_type or "")
    if row is None:
        return "no GPU is asked for" if not wish.gpu_type else f"{wish.gpu_type} is not in the table of GPUs"
    if wish.region in row.regions and wish.region not in row.invited:
        return f"{row.name} is offered in {wish.region} (table of {limits.REGIONS_AS_OF})"
    open_to_all = ", ".join(one for one in row.regions if one not in row.invited)
    invited = wish.region in row.invited
    return (
        Finding(
            code="gpu-region",
            category="config",
            subcategory="region",
            title=f"{row.name} in {wish.region} is {'opened on invitation' if invited else 'not offered'}",
            cause=f"The table of {limits.REGIONS_AS_OF} has it in {open_to_all}"
            + (f", and on invitation in {', '.join(row.invited)}." if row.invited else "."),
            remedy="Ask Google for access to that region, or choose another one." if invited else "Choose another region.",
            commands=("gemmactl regions",),
            fix_kind="admin_action" if invited else "config_change",
            not_fix=("any IAM grant", "a larger quota" if not invited else "roles on the project"),
            # what serves there proves the table wrong, or the invitation given
            state="advice" if invited or ground.live else "problem",
        ),
    )


CHECKS: Final = (Check("service", shape), Check("GPU region", gpu_region))
