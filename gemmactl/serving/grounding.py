"""The preflight of plan and deploy: checks beside the plan's reads, what refuses, what is only told. Knows no single check."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.plan import Plan, make_plan
from gemmactl.kernel.resource import Resource
from gemmactl.result import Block, Item, Line, Result, Table
from gemmactl.serving.explain import as_trouble
from gemmactl.serving.gate import Again, gated, refusal_of, widened
from gemmactl.serving.one_look import one_look
from gemmactl.serving.place import Place

if TYPE_CHECKING:
    from gemmactl.doctor.checks.check import Ground, Verdict
    from gemmactl.doctor.finding import Context, Finding
    from gemmactl.doctor.live import Looked
    from gemmactl.resources.cloud import Cloud

MOST: Final = 3
"""Reasons that the one line about unknown checks spells out."""


@dataclass(frozen=True)
class Grounded:
    """A plan on the ground it is to stand on."""

    plan: Plan
    verdicts: tuple[Verdict, ...] = ()

    @property
    def refusing(self) -> tuple[Finding, ...]:
        """What would make the apply fail."""
        return tuple(f for v in self.verdicts for f in v.findings if f.state == "problem")

    @property
    def remarks(self) -> tuple[Finding, ...]:
        """What only may bite."""
        return tuple(f for v in self.verdicts for f in v.findings if f.state != "problem")

    def document(self) -> list[dict[str, Any]]:
        """Every check with its end."""
        return [verdict.document() for verdict in self.verdicts]

    def blocks(self, *, explain: bool = False, how: str = "plan --explain") -> tuple[Block, ...]:
        """What may bite; what could not be seen, in one line or, with `explain`, every check. `how`: what to type for these."""
        remarks = tuple(Item("?", f.title, (f.remedy, *f.commands), "warn") for f in self.remarks)
        if explain:
            return (*remarks, Table(("check", "end", "seen"), tuple((v.check, v.end, v.seen) for v in self.verdicts)))
        unknown = _summary([v for v in self.verdicts if v.end == "unknown"], how)
        return (*remarks, *((Line(unknown, "dim"),) if unknown else ()))

    def refusal(self, verb: str, data: dict[str, Any], place: Place, *shown: Block) -> Result:
        """All that would fail, at once, with each remedy. Exit 4."""
        problems = tuple(_located(as_trouble(f), place) for f in self.refusing)
        count = len(problems)
        line = Line(f"refused before any change: {count} thing{'s' * (count != 1)} would make it fail", "bad")
        return Result(verb, data, (*shown, line), (), place.target, Exit.REFUSED, problems)


def survey(
    stack: Sequence[Resource],
    place: Place,
    *,
    bucket: str = "",
    live: bool = False,
    look: Cloud | None = None,
    again: Again | None = None,
) -> Grounded:
    """The plan and the checks in one round of reads; then, when steps are due, what the caller may. Read calls only.

    `look`: what is read through, where more than this is read in one look; later questions are put to the place's own cloud.
    `again`: whether the region has room, asked now, and once more when the API that tells the quota is enabled.

    Raises:
        Trouble: a read that the plan needs was refused.
    """
    from gemmactl.doctor.checks import rights
    from gemmactl.doctor.checks.rows import CHECKS
    from gemmactl.doctor.checks.run import run

    ground = _ground(stack, place, bucket, live=live)
    reads = look or one_look(place.cloud)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(run, CHECKS, replace(ground, cloud=reads))
        plan = make_plan(stack, reads)
        verdicts = asked.result()
    verdicts = _with_room(verdicts, refusal_of(again, reads))
    plan = widened(plan, verdicts, ground)
    if (plan.work or plan.unseen) and not plan.blocked:
        verdicts = (*verdicts, *rights.check(plan.work, ground, plan.unseen))
    return Grounded(gated(plan, verdicts, ground, again), verdicts)


def _with_room(verdicts: tuple[Verdict, ...], short: Trouble | None) -> tuple[Verdict, ...]:
    """The verdicts, with what the quota does not allow as the end of its own check."""
    from gemmactl.doctor.checks.check import Verdict
    from gemmactl.doctor.checks.quota import NAME, NO_GRANT
    from gemmactl.doctor.finding import Finding

    if short is None:
        return verdicts
    told = Finding(
        code=short.code,
        category="quota_capacity",
        subcategory="instances",
        title=short.what,
        cause=short.why,
        remedy=short.remedy,
        fix_kind="admin_action",
        not_fix=NO_GRANT,
        confidence=1.0,
    )
    return tuple(Verdict(NAME, "finding", short.what, (told,)) if v.check == NAME else v for v in verdicts)


def for_another_hand(plan: Plan, stack: Sequence[Resource], place: Place, *, bucket: str = "") -> Plan:
    """The plan, with the APIs that only the checks ask: whoever may enable them does it for the caller."""
    from gemmactl.doctor.checks.rows import CHECKS
    from gemmactl.doctor.checks.run import run

    ground = replace(_ground(stack, place, bucket, live=False), whoami=None)
    return widened(plan, run(CHECKS, ground), ground, by_anybody=True)


def ask_checks(stack: Sequence[Resource], place: Place, reads: Cloud, bucket: str) -> None:
    """The checks' own reads, through `reads`, which keeps the answers; those that a service which is there brings as well."""
    from gemmactl.doctor.checks.rows import CHECKS
    from gemmactl.doctor.checks.run import run

    # the hub's answer is no read of the cloud: it would not be kept, and the token would travel twice
    run(CHECKS, replace(_ground(stack, place, bucket, live=True), cloud=reads, whoami=None))


def standing(place: Place, stack: Sequence[Resource], context: Context, *, bucket: str = "", live: bool = True) -> Looked:
    """Doctor's part: the same checks, and how each ended. `live`: of a service that is there.

    What waits for an API that nothing of the service needs is one advice: it is not known, and no fault either.
    """
    from gemmactl.doctor.checks.rows import CHECKS
    from gemmactl.doctor.checks.run import run
    from gemmactl.doctor.live import Looked

    verdicts = run(CHECKS, replace(_on(place, stack, bucket, context, live=live), values=True))
    found = (*(f for v in verdicts for f in v.findings), *_unknowns(verdicts, context))
    return Looked(found, tuple((v.check, v.end) for v in verdicts))


def _unknowns(verdicts: Sequence[Verdict], context: Context) -> tuple[Finding, ...]:
    """One finding for each reason: fourteen policies behind one missing right are one thing to ask for."""
    from gemmactl.doctor.finding import Finding

    reasons: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in (v for v in verdicts if v.end == "unknown"):
        reasons.setdefault(("off", "") if verdict.api else (verdict.seen, verdict.permission), []).append(verdict)
    found = []
    for (seen, permission), those in reasons.items():
        names = ", ".join(v.check for v in those)
        base = Finding(
            "unknown",
            "unknown",
            f"{seen}: {names}",
            seen,
            "Ask for a role with it." if permission else "It is told when it can be seen.",
            subcategory=those[0].check,
        )
        base = replace(base, permission=permission, principal=context.caller * bool(permission), confidence=1.0, state="unknown")
        if apis := sorted({v.api for v in those if v.api}):
            checks = names if len(those) < 3 else f"{len(those)} checks"
            said = f"unknown until {', '.join(apis)} {'is' if len(apis) == 1 else 'are'} enabled: {checks}"
            cause = f"Not asked: {_listed([v.check for v in those])}."
            line = f"gcloud services enable {' '.join(apis)} --project={context.project}"
            base = replace(base, title=said, cause=cause, remedy="Enable them to know.", commands=(line,), state="advice")
        elif all(v.needless for v in those):
            base = replace(base, remedy="No step needs it; with it this would be known.", state="advice")
        found.append(base)
    return tuple(found)


def _listed(checks: Sequence[str]) -> str:
    """`billing, quota; organization policies a, b`: eighteen names with the same word before each would hide the others."""
    from gemmactl.serving.findings import POLICY

    policies = [check.removeprefix(POLICY) for check in checks if check.startswith(POLICY)]
    others = ", ".join(check for check in checks if not check.startswith(POLICY))
    if not policies:
        return others
    said = f"organization polic{'ies' if len(policies) > 1 else 'y'} {', '.join(policies)}"
    return f"{others}; {said}" if others else said


def _ground(stack: Sequence[Resource], place: Place, bucket: str, *, live: bool) -> Ground:
    from gemmactl.doctor.finding import Context

    context = Context(project=place.id, region=place.region.text, caller=place.cloud.caller(), bucket=bucket)
    return _on(place, stack, bucket, context, live=live)


def _on(place: Place, stack: Sequence[Resource], bucket: str, context: Context, *, live: bool) -> Ground:
    from gemmactl.doctor.checks.check import Ground

    # nothing of the sandbox leaves the machine, a token least of all
    whoami = None if place.target == "sandbox" else place.whoami
    return Ground(place.cloud, tuple(stack), bucket, context, live, place.hf_token, whoami)


def _summary(unknown: Sequence[Verdict], how: str) -> str:
    """`not known: 16 checks until these APIs are enabled: orgpolicy, run; billing (missing permission X)`."""
    off = [verdict for verdict in unknown if verdict.api]
    reasons: dict[str, list[str]] = {}
    if off:
        apis = ", ".join(sorted({verdict.api.removesuffix(".googleapis.com") for verdict in off}))
        reasons[f"until these APIs are enabled: {apis}"] = [verdict.check for verdict in off]
    for verdict in unknown:
        if not verdict.api:
            reasons.setdefault(verdict.seen.removeprefix("unknown").strip(" :"), []).append(verdict.check)
    told = [f"{checks[0] if len(checks) == 1 else f'{len(checks)} checks'} {reason}" for reason, checks in reasons.items()]
    more = len(told) - MOST
    rest = f"; and {more} more reason{'s' * (more != 1)}" if more > 0 else ""
    return f"not known: {'; '.join(told[:MOST])}{rest} ({how} names each)" if told else ""


def _located(trouble: Trouble, place: Place) -> Trouble:
    trouble.exit = Exit.REFUSED
    trouble.facts |= {"at_project": place.id, "at_region": place.region.text}
    return trouble
