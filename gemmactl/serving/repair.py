"""doctor on a live service: findings -> a plan of remedies -> applied. Knows no failure by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gemmactl.errors import Trouble, refused
from gemmactl.kernel.apply import apply
from gemmactl.kernel.plan import make_plan
from gemmactl.result import Line, Result
from gemmactl.serving import evidence, find, show
from gemmactl.serving.deploy import unfinished
from gemmactl.serving.findings import findings_blocks, findings_result
from gemmactl.serving.place import Place
from gemmactl.settings import Settings
from gemmactl.voice import Voice

if TYPE_CHECKING:
    from gemmactl.doctor.finding import Context, Finding

BAD: Final = frozenset({"WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY"})


def repair(place: Place, settings: Settings, name: str | None, voice: Voice, *, fix: bool, yes: bool) -> Result:
    """Look at a service that is there: its conditions, its newest errors, what its stack should be."""
    service = find.service(place, settings, name)
    context, findings = examine(place, service)
    if not fix or not findings:
        return findings_result(findings, place.target, place=place, service=context.service)
    voice.say(place.line(), *findings_blocks(findings))
    return _fixed(place, findings, context, voice, yes=yes)


def examine(place: Place, service: find.Json) -> tuple[Context, tuple[Finding, ...]]:
    """What doctor finds in a service's own words."""
    from gemmactl.doctor.diagnose import diagnose
    from gemmactl.doctor.finding import Context

    name = find.short(service)
    model = find.model_of(service)
    context = Context(
        project=place.id,
        number=place.cloud.number(),
        region=place.region.text,
        service=name,
        bucket=model.removeprefix("gs://").partition("/")[0] if model.startswith("gs://") else "",
        caller=place.cloud.caller(),
        runtime_account=evidence.account(service),
    )
    good, words = find.ready(service)
    entries = evidence.start(place, name)
    failure = evidence.load_failure(entries)
    texts = ([] if good else [words]) + [evidence.text_of(e) for e in entries if e.severity in BAD][-5:]
    facts: dict[str, Any] = evidence.facts(failure) if failure else {}
    return context, diagnose("\n".join(texts), facts, context)


def _fixed(place: Place, findings: tuple[Finding, ...], context: Context, voice: Voice, *, yes: bool) -> Result:
    remedies = tuple(dict.fromkeys(r for finding in findings if finding.safe for r in finding.remedies))
    if not remedies:
        raise refused(
            "nothing here can be fixed by a plan",
            why="no finding has a remedy that is safe to apply by itself",
            remedy="follow the remedies above",
            code="no-safe-remedy",
        )
    plan = make_plan(remedies, place.cloud)
    voice.show(*show.blocks(plan))
    if plan.work and not yes and not voice.confirm("Apply these remedies?", flag="--yes"):
        raise Trouble(
            "nothing was changed",
            why="the remedies were not confirmed",
            remedy="run it again when they are right",
            code="not-confirmed",
        )
    outcome = apply(plan, place.cloud, events=voice.events)
    data = {"findings": [f.document() for f in findings], **show.document(plan), "done": list(outcome.done)}
    if not outcome.ok:
        return unfinished("doctor", outcome, data, place, service=context.service)
    line = Line(f"{len(outcome.done)} remedies applied; a grant may take minutes to reach every server", "good")
    follow = (f'gemmactl generate "Good morning." --name {context.service} {place.flags}',)
    return Result("doctor", data, (line,), follow, place.target)
