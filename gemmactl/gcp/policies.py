"""IAM policies of any target: one binding added or taken away, with the etag. Never writes a policy it did not read."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from gemmactl.errors import Trouble
from gemmactl.gcp.policy_doors import Door, door
from gemmactl.gcp.wire import Wire
from gemmactl.resources.cloud import Json, PolicyTarget
from gemmactl.resources.needs import STEMS

CONFLICTS: Final = 8
NEWCOMER: Final = 120.0
"""Seconds in which a service account that was just made may still be unknown to IAM policies."""


class Policies:
    """Implements `cloud.Policies`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._door: Callable[[PolicyTarget], Door] = door(wire)

    def members(self, target: PolicyTarget, role: str) -> frozenset[str]:
        return self.bindings(target).get(role, frozenset())

    def bindings(self, target: PolicyTarget) -> Mapping[str, frozenset[str]]:
        way = self._door(target)
        # Resource Manager refuses with "The caller does not have permission", and names none
        needs = f"{STEMS[target.kind]}.getIamPolicy"
        policy: Json = self._wire.find(way.api, f"the IAM policy of {target}", way.get, needs) or {}
        roles = dict.fromkeys(str(one["role"]) for one in policy.get("bindings", ()))
        return {role: frozenset(_binding(policy, role).get("members", ())) for role in roles}

    def add(self, target: PolicyTarget, role: str, member: str) -> None:
        def edit(policy: Json) -> bool:
            held = _binding(policy, role)
            if member in held.get("members", ()):
                return False
            if held:
                held["members"] = sorted({*held["members"], member})
            else:
                policy.setdefault("bindings", []).append({"role": role, "members": [member]})
            return True

        self._edit(target, f"granting {role} on {target}", edit)

    def remove(self, target: PolicyTarget, role: str, member: str) -> None:
        def edit(policy: Json) -> bool:
            held = _binding(policy, role)
            if member not in held.get("members", ()):
                return False
            held["members"] = [m for m in held["members"] if m != member]
            policy["bindings"] = [b for b in policy["bindings"] if b["members"]]
            return True

        try:
            self._edit(target, f"taking {role} on {target} back", edit)
        except Trouble as trouble:
            if trouble.facts.get("status") != 404:
                raise

    def test(self, target: PolicyTarget, permissions: Iterable[str]) -> frozenset[str]:
        way, asked = self._door(target), sorted(set(permissions))
        found = self._wire.find(way.api, f"your permissions on {target}", lambda: way.test(asked))
        return frozenset(found or ())

    def held_by(self, account: str, target: PolicyTarget, permissions: Iterable[str]) -> frozenset[str]:
        wire = self._wire
        return Policies(Wire(wire.project, wire.identity.acting(account), wire.endpoint, wire.clock)).test(target, permissions)

    def _edit(self, target: PolicyTarget, doing: str, edit: Callable[[Json], bool]) -> None:
        """Read, edit, write; again from the start when somebody else wrote, or while a new account is unknown."""
        way, clock = self._door(target), self._wire.clock
        until, conflicts, pause = clock.now() + NEWCOMER, 0, 1.0
        while True:
            policy: Json = self._wire.read(way.api, doing, way.get)
            if not edit(policy):
                return
            policy["version"] = 3
            try:
                self._wire.send(way.api, doing, lambda p=policy: way.set(p))  # type: ignore[misc]  # mypy infers no type for a bound default
            except Trouble as trouble:
                if trouble.facts.get("status") in (409, 412) and conflicts < CONFLICTS:
                    conflicts += 1
                elif not (unknown_member(trouble) and clock.now() < until):
                    raise
                clock.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - jitter, not a secret
                pause = min(pause * 1.6, 10.0)
            else:
                return


def unknown_member(trouble: Trouble) -> bool:
    """Whether the API does not know the member (yet)."""
    return trouble.facts.get("status") in (400, 404) and "does not exist" in str(trouble.facts.get("message", ""))


def _binding(policy: Any, role: str) -> Json:
    """The unconditional binding of a role. A conditional one grants something else: it is left alone."""
    found: Json = next((b for b in policy.get("bindings", ()) if b.get("role") == role and not b.get("condition")), {})
    return found
