"""The step that enables APIs: also those that only checks ask, and right after it the second look. Knows no single check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from gemmactl.errors import Trouble, refused
from gemmactl.kernel.apply import passing
from gemmactl.kernel.plan import Op, Plan, Step, decide
from gemmactl.kernel.resource import Work
from gemmactl.resources import quota
from gemmactl.resources.apis import KNOWN, Apis
from gemmactl.resources.cloud import PolicyTarget

if TYPE_CHECKING:
    from gemmactl.doctor.checks.check import Check, Ground, Verdict
    from gemmactl.doctor.finding import Finding
    from gemmactl.resources.cloud import Cloud

ENABLE: Final = "serviceusage.services.enable"
LATE: Final = "It could be seen only once the APIs were enabled; nothing else was made."

Again = Callable[["Cloud"], None]
"""Whether the region has room for all that an instance takes, by the quota. Raises Trouble where it has none."""


@dataclass(frozen=True)
class GatedApis(Apis):
    """The step that enables APIs, and right after it the checks that had to wait for them: what they refuse ends the apply."""

    beside: tuple[str, ...] = field(default=(), compare=False)
    """Those of `names` that only checks ask: that they can't be enabled is no reason to stop."""
    gate: Callable[[Work], None] = field(default=lambda _work: None, compare=False)

    def create(self, cloud: Any, work: Work) -> None:
        self._enable_what_can_be(cloud, work, self.names)
        self.gate(work)

    def update(self, cloud: Any, live: Apis, work: Work) -> None:
        self._enable_what_can_be(cloud, work, tuple(n for n in self.names if n not in live.names))
        self.gate(work)

    def _enable_what_can_be(self, cloud: Any, work: Work, names: tuple[str, ...]) -> None:
        needed = tuple(name for name in names if name not in self.beside)
        try:
            self._enable(cloud, work, names)
        except Trouble as trouble:
            # one call for all is one operation, which fails as a whole: an organization may forbid one of them alone
            if needed == names or passing(trouble) or trouble.facts.get("status") not in (400, 403):
                raise
            if needed:
                self._enable(cloud, work, needed)
            left = ", ".join(name for name in names if name in self.beside)
            work.log(f"not enabled: {left} ({trouble.why}); what only they tell stays unknown")


def widened(plan: Plan, verdicts: Sequence[Verdict], ground: Ground, *, by_anybody: bool = False) -> Plan:
    """The plan, its first step also for the APIs that are off and hide what a check would say.

    Only where something else is due as well, and the caller may enable them: nothing is refused for want of a check.
    `by_anybody`: the plan is read by whoever carries out the other half of it.
    """
    step, wanted = next(((s, s.resource) for s in plan.steps if isinstance(s.resource, Apis)), (None, None))
    if step is None or wanted is None or (step.op is Op.UNSEEN and not by_anybody) or plan.blocked:
        return plan
    if not by_anybody and (plan.unseen or not plan.work):
        return plan
    off = _off(tuple(sorted({v.api for v in verdicts} & KNOWN - set(wanted.names))), ground, unasked=by_anybody)
    if not off or not (by_anybody or _may(ground)):
        return plan
    more = GatedApis((*wanted.names, *off), wanted.after, beside=off)
    made = replace(step, resource=more) if step.op in (Op.CREATE, Op.UNSEEN) else decide(more, step.live)
    one = len(off) == 1
    said = f"{_listed(off)} {'is' if one else 'are'} for the checks alone, which look again right after this step"
    made = replace(made, note=said, unknown=step.unknown)
    return replace(plan, steps=tuple(made if s is step else s for s in plan.steps))


def gated(plan: Plan, verdicts: Sequence[Verdict], ground: Ground, again: Again | None) -> Plan:
    """The plan, with a second look behind the step that enables APIs where something waits for one of them."""
    step = next((s for s in plan.steps if isinstance(s.resource, Apis) and s.op in (Op.CREATE, Op.UPDATE)), None)
    if step is None or not isinstance(step.resource, Apis):
        return plan
    own = step.resource
    waiting = [v.check for v in verdicts if v.api in own.names]
    rest = [s for s in plan.work if s is not step]
    roomy = again if any(v.api == quota.API for v in verdicts) and quota.API in own.names else None
    gate = GatedApis(
        own.names,
        own.after,
        beside=own.beside if isinstance(own, GatedApis) else (),
        gate=lambda work: _look_again(waiting, ground, rest, roomy, work),
    )
    return replace(plan, steps=tuple(replace(s, resource=gate) if s is step else s for s in plan.steps))


def _off(names: tuple[str, ...], ground: Ground, *, unasked: bool) -> tuple[str, ...]:
    """Those that the project has not enabled: a call may also count on another project, where this one changes nothing.

    `unasked`: what is said of all of them where that can't be asked; to enable what is enabled changes nothing.
    """
    if not names:
        return ()
    try:
        on = ground.cloud.apis.enabled(names)
    except Trouble:
        return names if unasked else ()
    return tuple(name for name in names if name not in on)


def _may(ground: Ground) -> bool:
    """Whether the caller may enable APIs; what can't be asked is tried."""
    try:
        return ENABLE in ground.cloud.policies.test(PolicyTarget("project", ground.cloud.project), (ENABLE,))
    except Trouble:
        return True


def _look_again(waiting: Sequence[str], ground: Ground, rest: Sequence[Step], again: Again | None, work: Work) -> None:
    """The checks that waited, and what the caller may, if it did: for the steps that are left.

    Raises:
        Trouble: (refused) what they now see would make the rest fail.
    """
    from gemmactl.doctor.checks import quota as quota_check
    from gemmactl.doctor.checks import rights
    from gemmactl.doctor.checks.rows import CHECKS
    from gemmactl.doctor.checks.run import run

    work.progress("looking again at what had to wait for them")
    due: list[Check] = [check for check in CHECKS if check.name in waiting]
    verdicts = run(due, ground)
    if rights.NAME in waiting:
        verdicts = (*verdicts, *rights.check(rest, ground))
    look = refusal_of(again, ground.cloud)
    # the quota's check says of the GPUs what the look says of all that an instance takes
    found = tuple(f for verdict in verdicts for f in verdict.findings if look is None or verdict.check != quota_check.NAME)
    problems = tuple(f for f in found if f.state == "problem")
    _told(problems, look)
    for remark in (f for f in found if f.state != "problem"):
        work.log(f"{remark.title}: {remark.cause} {remark.remedy}")
    for silent in (v for v in verdicts if v.end == "unknown"):
        work.log(f"{silent.check}: {silent.seen}")


def refusal_of(again: Again | None, cloud: Cloud) -> Trouble | None:
    """What it raises."""
    try:
        if again is not None:
            again(cloud)
    except Trouble as trouble:
        return trouble
    return None


def _told(found: Sequence[Finding], look: Trouble | None) -> None:
    if not (found or look):
        return
    why = (*((look.why,) if look else ()), *(f.cause for f in found))
    remedies = (*((look.remedy,) if look else ()), *(line for f in found for line in (f.remedy, *f.commands)))
    raise refused(
        "; ".join((*((look.what,) if look else ()), *(f.title for f in found))),
        why=f"{'. '.join(one.rstrip('.') for one in why)}. {LATE}",
        remedy="\n".join(remedies),
        code=look.code if look else found[0].code,
        facts={**(look.facts if look else {}), "findings": [f.document() for f in found]},
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name.removesuffix(".googleapis.com") for name in names)
