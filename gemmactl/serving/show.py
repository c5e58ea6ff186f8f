"""A plan as blocks for people and as data for machines. Pure: knows no screen."""

from __future__ import annotations

from typing import Any, Final

from gemmactl.kernel.plan import Change, Op, Plan, Step
from gemmactl.result import Block, Item, Line, Tone

SIGNS: Final[dict[Op, tuple[str, Tone]]] = {
    Op.KEEP: ("=", "dim"),
    Op.CREATE: ("+", "good"),
    Op.UPDATE: ("~", "warn"),
    Op.BLOCKED: ("!", "bad"),
    Op.DELETE: ("-", "bad"),
    Op.RETAIN: ("=", "dim"),
    Op.UNSEEN: ("?", "warn"),
}
FIXED: Final = "can't change in place"
_COUNTED: Final = (
    (Op.CREATE, "to create"),
    (Op.UPDATE, "to update"),
    (Op.BLOCKED, "blocked"),
    (Op.DELETE, "to remove"),
    (Op.KEEP, "unchanged"),
    (Op.RETAIN, "kept"),
    (Op.UNSEEN, "unknown"),
)


def things(count: int) -> str:
    """`1 thing`, `12 things`."""
    return f"{count} thing{'s' * (count != 1)}"


def blocks(plan: Plan) -> tuple[Block, ...]:
    """Signs + ~ ! - =, the fields that differ, and the counts. Nothing to do is one line."""
    if not plan.work and not plan.destroy:
        if unseen := plan.count(Op.UNSEEN):
            return (*(_item(s) for s in plan.steps if s.op is Op.UNSEEN), Line(f"Nothing else to change: {unseen} unknown."))
        return (Line(f"Nothing to change: all {things(len(plan.steps))} are as wished.", "good"),)
    unknown = sum(step.unknown for step in plan.steps)
    until = "its API is enabled" if unknown == 1 else "their APIs are enabled"
    note = (Line(f"{unknown} of them can't be read until {until}", "dim"),) if unknown else ()
    return (*(_item(step) for step in plan.steps), *note, Line(counts(plan)))


def counts(plan: Plan) -> str:
    """`5 to create, 2 unchanged`."""
    return ", ".join(f"{plan.count(op)} {word}" for op, word in _COUNTED if plan.count(op)) or "nothing there"


def document(plan: Plan) -> dict[str, Any]:
    """The plan for machines."""
    return {
        "changes": len(plan.work),
        "steps": [
            {
                "op": str(step.op),
                "address": step.address,
                "kind": step.resource.kind,
                "note": step.note or remark(step),
                "fields": [
                    {"field": c.field, "live": c.live, "wanted": c.wanted, "fixed": c.fixed, "effect": effect(c)}
                    for c in step.changes
                ],
            }
            for step in plan.steps
        ],
    }


def size(count: int) -> str:
    """Bytes for people: `8.6 GB`, `12.4 MB`, `1.2 kB`."""
    if count < 1e5:
        return f"{count / 1e3:.1f} kB"
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def remark(step: Step) -> str:
    """What to know before a thing is made or changed."""
    return step.resource.remark if step.op in (Op.CREATE, Op.UPDATE) else ""


def effect(change: Change) -> str:
    """How one field gets to what is wanted."""
    return FIXED if change.fixed else change.effect or "in place"


def _item(step: Step) -> Item:
    sign, tone = SIGNS[step.op]
    lines = [f"{c.field}: {c.live or 'none'} -> {c.wanted or 'none'} ({effect(c)})" for c in step.changes]
    if step.op is Op.BLOCKED:
        lines.append(f"what to do: {step.note}")
    elif step.note and not step.unknown:
        lines.append(step.note)
    if told := remark(step):
        lines.append(told)
    return Item(sign, step.address, tuple(lines), tone)
