"""All checks that need no plan, in the order in which they are told."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.checks import (
    bucket_access,
    hub,
    invoker,
    network,
    org_policy,
    places,
    platform,
    project,
    quota,
    secret_values,
    shape,
    who,
)
from gemmactl.doctor.checks.check import Check

CHECKS: Final[tuple[Check, ...]] = (
    *who.CHECKS,
    *project.CHECKS,
    *shape.CHECKS,
    *quota.CHECKS,
    *places.CHECKS,
    *bucket_access.CHECKS,
    *secret_values.CHECKS,
    *platform.CHECKS,
    *hub.CHECKS,
    *network.CHECKS,
    *invoker.CHECKS,
    *org_policy.CHECKS,
)
