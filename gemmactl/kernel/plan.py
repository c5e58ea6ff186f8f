"""Wanted + live -> steps. Makes read calls only; knows no concrete kind of thing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any

from gemmactl.errors import Trouble
from gemmactl.kernel.graph import check
from gemmactl.kernel.reference import Reference, put, references
from gemmactl.kernel.resource import Resource


class Op(StrEnum):
    KEEP = "keep"
    CREATE = "create"
    UPDATE = "update"
    BLOCKED = "blocked"
    """A field differs that can't change in place: a plan that holds one does not start."""
    DELETE = "delete"
    RETAIN = "retain"
    """Destroy leaves it, for the reason in `note`."""


@dataclass(frozen=True)
class Change:
    """One field that differs, as text for a reader."""

    field: str
    live: str
    wanted: str
    fixed: bool = False
    effect: str = ""
    """What the change brings about beside itself (`new revision`); empty: it changes in place."""


@dataclass(frozen=True)
class Step:
    op: Op
    resource: Resource
    live: Resource | None = None
    changes: tuple[Change, ...] = ()
    note: str = ""
    unknown: bool = False
    """The live state could not be read yet (its API is not enabled): it is read again right before the step."""

    @property
    def address(self) -> str:
        return self.resource.address


@dataclass(frozen=True)
class Plan:
    """Steps in an order in which every need comes first; for a teardown, last first."""

    steps: tuple[Step, ...]
    destroy: bool = False

    @property
    def work(self) -> tuple[Step, ...]:
        return tuple(s for s in self.steps if s.op not in (Op.KEEP, Op.RETAIN))

    @property
    def blocked(self) -> tuple[Step, ...]:
        return tuple(s for s in self.steps if s.op is Op.BLOCKED)

    def count(self, op: Op) -> int:
        return sum(s.op is op for s in self.steps)


def agrees(wanted: Any, live: Any) -> bool:
    """Whether the live value meets the wish. None wishes nothing, also inside nested dataclasses and tuples."""
    if wanted is None:
        return True
    if is_dataclass(wanted) and not isinstance(wanted, type) and type(wanted) is type(live):
        return all(agrees(getattr(wanted, f.name), getattr(live, f.name)) for f in fields(wanted) if f.compare)
    if isinstance(wanted, tuple) and isinstance(live, tuple):
        return len(wanted) == len(live) and all(map(agrees, wanted, live))
    return bool(wanted == live)


def decide(wanted: Resource, live: Resource | None, found: Mapping[Reference, str] | None = None) -> Step:
    """One step. `found` holds the late references whose value is already final; others count as changes."""
    if live is None:
        return Step(Op.CREATE, wanted)
    resolved = put(wanted, dict(found or {}))
    changes = tuple(
        Change(label, was, will, f.name in wanted.fixed, wanted.effect(f.name))
        for f in fields(wanted)
        if f.compare and not agrees(getattr(resolved, f.name), getattr(live, f.name))
        for label, was, will in wanted.diff(f.name, getattr(live, f.name), getattr(resolved, f.name))
    )
    if not changes:
        return Step(Op.KEEP, wanted, live)
    if any(c.fixed for c in changes):
        return Step(Op.BLOCKED, wanted, live, changes, note=wanted.explain_fixed)
    return Step(Op.UPDATE, wanted, live, changes)


def make_plan(stack: Sequence[Resource], cloud: Any, *, workers: int = 16) -> Plan:
    """What would bring the cloud to the stack.

    Raises:
        Trouble: a read was refused, or the stack is not well-formed.
    """
    ordered = check(stack)
    lives = _read(list(ordered.values()), cloud, workers)
    steps: dict[str, Step] = {}
    for address, wanted in ordered.items():
        live, unknown = lives[address]
        if unknown:
            steps[address] = Step(Op.CREATE, wanted, note="unknown until its API is enabled", unknown=True)
            continue
        moving = {r for r in references(wanted) if r.source in steps and steps[r.source].op is not Op.KEEP}
        found = {} if live is None else known(wanted, cloud, without=moving)
        steps[address] = decide(wanted, live, found)
    return Plan(tuple(steps.values()))


def make_teardown(
    stack: Sequence[Resource],
    cloud: Any,
    *,
    keep: Mapping[str, str] | None = None,
    also: Collection[str] = (),
    workers: int = 16,
) -> Plan:
    """The same stack backwards. `keep`: address -> why it stays (something else of ours still uses it).

    `also`: addresses of what lasts by its kind, and goes all the same.
    """
    ordered = check(stack)
    lives = _read(list(ordered.values()), cloud, workers)
    steps: list[Step] = []
    for address, resource in reversed(ordered.items()):
        live, _ = lives[address]
        if live is None:
            continue
        lasting = "" if address in also else resource.lasting
        why = (keep or {}).get(address) or lasting or ("" if resource.ours(cloud, live) else "not made by gemmactl")
        steps.append(Step(Op.RETAIN if why else Op.DELETE, resource, live, note=why))
    return Plan(tuple(steps), destroy=True)


def known(wanted: Resource, cloud: Any, without: set[Reference] | None = None) -> dict[Reference, str]:
    """The late references of a resource that already have a value."""
    asked = {r: r.find(cloud) for r in set(references(wanted)) - (without or set())}
    return {r: answer for r, answer in asked.items() if answer is not None}


def _read(resources: Sequence[Resource], cloud: Any, workers: int) -> dict[str, tuple[Resource | None, bool]]:
    def one(resource: Resource) -> tuple[Resource | None, bool]:
        try:
            return resource.read(cloud), False
        except Trouble as trouble:
            if api_disabled(trouble):
                return None, True
            raise

    with ThreadPoolExecutor(min(workers, max(1, len(resources)))) as pool:
        return dict(zip((r.address for r in resources), pool.map(one, resources), strict=True))


def api_disabled(trouble: Trouble) -> bool:
    """Whether the refusal only says that the API is not enabled yet (ErrorInfo reason SERVICE_DISABLED)."""
    return trouble.facts.get("reason") == "SERVICE_DISABLED"
