"""A cloud of dicts for doctor's live checks: policies, runs, logs; each part can be told to refuse. Knows no real API."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gemmactl.errors import Trouble
from gemmactl.resources.cloud import LogEntry, PolicyTarget

CALLER = "user:dev@example.com"


def denied(permission: str) -> Trouble:
    """What a gateway raises when the caller may not look."""
    return Trouble(
        "the call was refused",
        why=f"{permission} is missing",
        remedy="ask for the role",
        code="denied",
        facts={"status": 403, "permission": permission, "reason": "IAM_PERMISSION_DENIED"},
    )


@dataclass
class Policies:
    bindings: set[tuple[PolicyTarget, str, str]] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    """Permissions of the caller."""
    refuse: str = ""
    lag: int = 0
    """How many tests after a grant still say no."""
    writes: int = 0
    granted: dict[str, str] = field(default_factory=dict)
    """role -> the permission it brings, after the lag."""

    def members(self, target: PolicyTarget, role: str) -> frozenset[str]:
        if self.refuse:
            raise denied(self.refuse)
        return frozenset(m for t, r, m in self.bindings if (t, r) == (target, role))

    def add(self, target: PolicyTarget, role: str, member: str) -> None:
        self.writes += 1
        self.bindings.add((target, role, member))

    def remove(self, target: PolicyTarget, role: str, member: str) -> None:
        self.writes += 1
        self.bindings.discard((target, role, member))

    def test(self, target: PolicyTarget, permissions: Iterable[str]) -> frozenset[str]:
        if self.writes and self.lag > 0:
            self.lag -= 1
        elif self.writes:
            self.held |= {p for role, p in self.granted.items() if any(r == role and m == CALLER for _, r, m in self.bindings)}
        return frozenset(p for p in permissions if p in self.held)

    others_lag: int = 0
    """How many tests as another account still say no."""

    def held_by(self, account: str, target: PolicyTarget, permissions: Iterable[str]) -> frozenset[str]:
        if "iam.serviceAccounts.getAccessToken" not in self.held:
            raise denied("iam.serviceAccounts.getAccessToken")
        self.others_lag -= 1
        return frozenset() if self.others_lag >= 0 else frozenset(permissions)


@dataclass
class Run:
    service: dict[str, Any] | None = None
    refuse: str = ""

    def get(self, name: str) -> dict[str, Any] | None:
        if self.refuse:
            raise denied(self.refuse)
        return self.service


@dataclass
class Logs:
    found: tuple[LogEntry, ...] = ()
    refuse: str = ""
    queries: list[str] = field(default_factory=list)

    def entries(self, query: str, *, newest: bool = False, limit: int = 100) -> tuple[LogEntry, ...]:
        self.queries.append(query)
        if self.refuse:
            raise denied(self.refuse)
        errors = "severity>=ERROR" in query
        return tuple(entry for entry in self.found if not errors or entry.severity in ("ERROR", "CRITICAL", "ALERT", "EMERGENCY"))


@dataclass
class Apis:
    on: set[str] = field(default_factory=set)

    def enabled(self, names: Iterable[str]) -> frozenset[str]:
        return frozenset(self.on & set(names))

    def enable(self, names: Iterable[str]) -> None:
        self.on |= set(names)


@dataclass
class SmallCloud:
    """Stands for a Cloud where only these parts are asked."""

    project: str = "my-proj"
    policies: Policies = field(default_factory=Policies)
    run: Run = field(default_factory=Run)
    logs: Logs = field(default_factory=Logs)
    apis: Apis = field(default_factory=Apis)

    def caller(self) -> str:
        return CALLER

    def digest_of(self, tag: str) -> str | None:
        return None

    def newest_version(self, secret: str) -> str | None:
        return None
