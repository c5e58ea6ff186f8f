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

WORKERS = 64
"""Threads that read: they wait for the network and nothing else."""


class Op(StrEnum):
    KEEP = "keep"
    CREATE = "create"
    UPDATE = "update"
    BLOCKED = "blocked"
    """A field differs that can't change in place: a plan that holds one does not start."""
    DELETE = "delete"
    RETAIN = "retain"
    """Destroy leaves it, for the reason in `note`."""
    UNSEEN = "unseen"
    """The caller may not look at it, and `note` says which permission is missing: never taken for as wished."""


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
        return tuple(s for s in self.steps if s.op not in (Op.KEEP, Op.RETAIN, Op.UNSEEN))

    @property
    def blocked(self) -> tuple[Step, ...]:
        return tuple(s for s in self.steps if s.op is Op.BLOCKED)

    @property
    def unseen(self) -> tuple[Step, ...]:
        """What must be looked at before anything starts, and can't be. What another hand makes may stay unseen."""
        return tuple(s for s in self.steps if s.op is Op.UNSEEN and not s.resource.by_others)

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


def make_plan(stack: Sequence[Resource], cloud: Any, *, workers: int = WORKERS) -> Plan:
    """What would bring the cloud to the stack, in one round of reads.

    Raises:
        Trouble: a read was refused, or the stack is not well-formed.
    """
    ordered = check(stack)
    late = {reference for wanted in ordered.values() for reference in references(wanted)}
    with ThreadPoolExecutor(max(1, len(late))) as pool:
        asked = {reference: pool.submit(_value, reference, cloud) for reference in late}
        lives = _read(list(ordered.values()), cloud, workers)
    steps: dict[str, Step] = {}
    for address, wanted in ordered.items():
        live, why = lives[address]
        if why is not None:
            steps[address] = _unread(wanted, why)
            continue
        moving = {r for r in references(wanted) if r.source in steps and steps[r.source].op is not Op.KEEP}
        answers = {} if live is None else {r: asked[r].result() for r in set(references(wanted)) - moving}
        if refused := next((a for a in answers.values() if isinstance(a, Trouble)), None):
            raise refused
        steps[address] = decide(wanted, live, {r: a for r, a in answers.items() if isinstance(a, str)})
    return Plan(tuple(steps.values()))


def make_teardown(
    stack: Sequence[Resource],
    cloud: Any,
    *,
    keep: Mapping[str, str] | None = None,
    also: Collection[str] = (),
    workers: int = WORKERS,
) -> Plan:
    """The same stack backwards. `keep`: address -> why it stays (something else of ours still uses it).

    `also`: addresses of what lasts by its kind, and goes all the same.
    """
    ordered = check(stack)
    lives = _read(list(ordered.values()), cloud, workers)
    steps: list[Step] = []
    for address, resource in reversed(ordered.items()):
        live, denial = lives[address]
        if denial is not None and not api_disabled(denial):
            steps.append(Step(Op.RETAIN, resource, note=unseen_because(denial)))
            continue
        if live is None:
            continue
        lasting = "" if address in also else resource.lasting
        why = (keep or {}).get(address) or lasting or ("" if resource.ours(cloud, live) else "not made by gemmactl")
        steps.append(Step(Op.RETAIN if why else Op.DELETE, resource, live, note=why))
    return Plan(tuple(steps), destroy=True)


def _value(reference: Reference, cloud: Any) -> str | Trouble | None:
    """A late reference, asked beside the reads; a refusal matters only where its value does."""
    try:
        return reference.find(cloud)
    except Trouble as trouble:
        return trouble


def known(wanted: Resource, cloud: Any, without: set[Reference] | None = None) -> dict[Reference, str]:
    """The late references of a resource that already have a value."""
    asked = {r: r.find(cloud) for r in set(references(wanted)) - (without or set())}
    return {r: answer for r, answer in asked.items() if answer is not None}


def _read(resources: Sequence[Resource], cloud: Any, workers: int) -> dict[str, tuple[Resource | None, Trouble | None]]:
    """Address -> its live twin, or why it could not be looked at."""

    def one(resource: Resource) -> tuple[Resource | None, Trouble | None]:
        try:
            return resource.read(cloud), None
        except Trouble as trouble:
            if api_disabled(trouble) or not_allowed(trouble):
                return None, trouble
            raise

    with ThreadPoolExecutor(min(workers, max(1, len(resources)))) as pool:
        return dict(zip((r.address for r in resources), pool.map(one, resources), strict=True))


def _unread(wanted: Resource, why: Trouble) -> Step:
    if api_disabled(why):
        return Step(Op.CREATE, wanted, note="unknown until its API is enabled", unknown=True)
    return Step(Op.UNSEEN, wanted, note=unseen_because(why))


def not_allowed(trouble: Trouble) -> bool:
    """Whether a refusal only says that the caller lacks a right; billing, quota projects and the like say more."""
    return trouble.facts.get("status") == 403 and trouble.facts.get("reason", "") in ("", "IAM_PERMISSION_DENIED")


def unseen_because(trouble: Trouble) -> str:
    """What a plan says of a thing that may not be looked at."""
    permission = trouble.facts.get("permission")
    return f"unknown (missing permission {permission})" if permission else "unknown (you may not look at it)"


def api_disabled(trouble: Trouble) -> bool:
    """Whether the refusal only says that the API is not enabled yet (ErrorInfo reason SERVICE_DISABLED)."""
    return trouble.facts.get("reason") == "SERVICE_DISABLED"
