"""Whether a plan is still the one that was approved: steps as rows of text, and where two of them differ. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

from gemmactl.kernel.plan import Op, Plan, Step
from gemmactl.kernel.reference import Digest, Version
from gemmactl.kernel.resource import Resource
from gemmactl.resources.apis import Apis
from gemmactl.spec import Token

Row = Mapping[str, Any]
"""One step: op, address, wanted and live, the latter two as field -> text."""
ABSENT: Final = "none"


@dataclass(frozen=True)
class Difference:
    """Where the plan of now is not the approved one."""

    step: str
    field: str
    """Empty: the step as a whole."""
    was: str
    now: str

    def __str__(self) -> str:
        return f"{self.step}: {f'{self.field} ' if self.field else ''}was {self.was}, is {self.now}"

    def document(self) -> dict[str, str]:
        return {"step": self.step, "field": self.field, "was": self.was, "now": self.now}


def rows(plan: Plan) -> list[dict[str, Any]]:
    """The steps as they are approved: what is wanted, and what it was decided upon. No field that compares is a secret."""
    return [
        {
            "op": str(step.op),
            "address": step.address,
            "changes": [{"field": c.field, "live": c.live, "wanted": c.wanted} for c in step.changes],
            "wanted": texts(step.resource),
            "live": texts(step.live) if step.live is not None else None,
        }
        for step in plan.steps
    ]


def differences(approved: list[Row], plan: Plan) -> tuple[Difference, ...]:
    """All of them; empty: what is left to do was approved as it is.

    A step that needs nothing any more is none where its wishes are the approved ones: an apply that was interrupted has done it,
    and the rest may go on.
    """
    before = {str(row["address"]): row for row in approved}
    now = {step.address: step for step in plan.steps}
    gone = (Difference(a, "", f"in the plan ({row['op']})", "no part of it") for a, row in before.items() if a not in now)
    return (*gone, *(d for step in plan.steps for d in _step(before.get(step.address), step)))


def _step(row: Row | None, step: Step) -> Iterator[Difference]:
    if row is None:
        yield Difference(step.address, "", "no part of the plan", f"in it ({step.op})")
        return
    if not (step.op is Op.KEEP and _fewer_apis(row, step)):
        yield from _fields(step.address, row["wanted"], texts(step.resource), "wanted ")
    if step.op is Op.KEEP or _under_way(row, step):
        return
    live = texts(step.live) if step.live is not None else None
    if live is None or row["live"] is None:
        if (live is None) != (row["live"] is None):
            yield Difference(step.address, "", *(("not there", "there") if row["live"] is None else ("there", "not there")))
        return
    found = tuple(_fields(step.address, row["live"], live, ""))
    if not found and row["op"] != str(step.op):
        found = (Difference(step.address, "", str(row["op"]), str(step.op)),)
    yield from found


def _fewer_apis(row: Row, step: Step) -> bool:
    """APIs of the checks alone are wished beside another change, and no longer when all is done: what is left was approved."""
    return isinstance(step.resource, Apis) and set(step.resource.names) <= set(str(row["wanted"].get("names", "")).split(", "))


def _under_way(row: Row, step: Step) -> bool:
    """The approved creation has begun and is not at its end: all that is not as wished is that it is not ready yet."""
    return row["op"] == Op.CREATE and step.op is Op.UPDATE and {c.field for c in step.changes} == {"ready"}


def _fields(address: str, was: Mapping[str, str], now: Mapping[str, str], word: str) -> Iterator[Difference]:
    for name in dict.fromkeys((*was, *now)):
        if was.get(name) != now.get(name):
            yield Difference(address, f"{word}{name}", was.get(name, ABSENT), now.get(name, ABSENT))


def texts(resource: Resource) -> dict[str, str]:
    """Every field that compares and says something, down to its leaves, as text: `containers.1.env.HF_TOKEN` -> `...`."""
    return dict(_leaves("", resource))


def _leaves(at: str, value: Any) -> Iterator[tuple[str, str]]:
    if value is None or isinstance(value, Token):
        return
    if isinstance(value, Digest | Version):
        yield at, str(value)
    elif is_dataclass(value) and not isinstance(value, type):
        for f in fields(value):
            if f.compare:
                yield from _leaves(f"{at}.{f.name}".lstrip("."), getattr(value, f.name))
    elif isinstance(value, tuple) and value and all(_pair(part) for part in value):
        for key, inner in value:
            yield from _leaves(f"{at}.{key}", inner)
    elif isinstance(value, tuple) and any(is_dataclass(part) or isinstance(part, tuple) for part in value):
        for number, part in enumerate(value, 1):
            yield from _leaves(f"{at}.{getattr(part, 'name', None) or number}", part)
    elif isinstance(value, tuple | frozenset):
        yield at, ", ".join(sorted(map(str, value)) if isinstance(value, frozenset) else map(str, value)) or ABSENT
    else:
        yield at, str(value)


def _pair(part: Any) -> bool:
    return isinstance(part, tuple) and len(part) == 2 and isinstance(part[0], str)
