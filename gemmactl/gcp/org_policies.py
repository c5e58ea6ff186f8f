"""Organization Policy: what is in force of one constraint, as plain REST. Knows no constraint."""

from __future__ import annotations

from typing import Any, Final

from gemmactl.gcp.wire import Wire
from gemmactl.resources.surroundings import OrgPolicy

API: Final = "orgpolicy.googleapis.com"


class OrgPolicies:
    """Implements `cloud.OrgPolicies`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def effective(self, constraint: str) -> OrgPolicy:
        path = f"/v2/projects/{self._wire.project}/policies/{constraint}:getEffectivePolicy"
        found = self._wire.find(API, f"organization policy {constraint}", lambda: self._wire.rest(API, "GET", path))
        return parse(found or {})


def parse(policy: Any) -> OrgPolicy:
    """google.cloud.orgpolicy.v2.Policy as JSON. An effective policy has its conditions evaluated already."""
    rules = policy.get("spec", {}).get("rules", [])
    told = [item for rule in rules if rule.get("enforce", False) for item in (rule.get("parameters") or {}).items()]
    values = [rule.get("values", {}) for rule in rules]
    return OrgPolicy(
        enforced=any(rule.get("enforce", False) for rule in rules),
        allowed=tuple(sorted({v for one in values for v in one.get("allowedValues", ())})),
        denied=tuple(sorted({v for one in values for v in one.get("deniedValues", ())})),
        deny_all=any(rule.get("denyAll", False) for rule in rules),
        parameters=tuple(sorted((name, tuple(sorted(map(str, given)))) for name, given in told if isinstance(given, list))),
    )
