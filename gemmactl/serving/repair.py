"""doctor as a verb: a pasted log or a live service -> findings -> a plan of remedies. Knows no failure by itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmactl.errors import Exit, Trouble, refused, usage
from gemmactl.kernel.apply import apply
from gemmactl.kernel.plan import make_plan
from gemmactl.result import Block, Item, Line, Result
from gemmactl.serving import evidence, find, show
from gemmactl.serving.deploy import unfinished
from gemmactl.serving.place import Place
from gemmactl.settings import Settings
from gemmactl.voice import Voice

if TYPE_CHECKING:
    from gemmactl.doctor.finding import Context, Finding

LOG_LIMIT: Final = 4 * 1024 * 1024
BAD: Final = frozenset({"WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY"})


def from_log(path: Path, settings: Settings, project: str | None, region: str | None) -> Result:
    """Diagnose a text; no call is made."""
    from gemmactl.doctor.diagnose import diagnose
    from gemmactl.doctor.finding import Context

    text = _read(path)
    said = settings.value("project", project)
    findings = diagnose(text, None, Context(project=said.text if said else "", region=settings.region(region).text))
    return _result(findings, Context(), "local", source=str(path))


def live(place: Place, settings: Settings, name: str | None, voice: Voice, *, fix: bool, yes: bool) -> Result:
    """Look at a service that is there: its conditions, its newest errors, what its stack should be."""
    service = find.service(place, settings, name)
    context, findings = examine(place, service)
    if not fix or not findings:
        return _result(findings, context, place.target, place=place)
    voice.say(place.line(), *_blocks(findings))
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


def _result(findings: tuple[Finding, ...], context: Context, target: Any, place: Place | None = None, **more: str) -> Result:
    data = {"findings": [f.document() for f in findings], **more}
    head: tuple[Block, ...] = (place.line(),) if place else ()
    if not findings:
        return Result("doctor", data, (*head, Line("nothing known is wrong", "good")), target=target)
    fixable = place is not None and any(f.safe for f in findings)
    follow = (f"gemmactl doctor {context.service} --fix {place.flags}",) if place and fixable else ()
    return Result("doctor", data, (*head, *_blocks(findings)), follow, target, Exit.FOUND)


def _blocks(findings: tuple[Finding, ...]) -> tuple[Block, ...]:
    return tuple(_item(finding) for finding in findings)


def _item(finding: Finding) -> Item:
    rows = (
        ("cause", finding.cause),
        ("who", finding.principal),
        ("lacks", finding.permission),
        ("on", finding.resource),
        ("role", finding.role),
        ("remedy", finding.remedy),
    )
    lines = [f"{key}: {value}" for key, value in rows if value] + list(finding.commands)
    lines += [f"not this: {wrong}" for wrong in finding.not_fix]
    return Item(
        "?" if finding.state == "unknown" else "!", finding.title, tuple(lines), "warn" if finding.state == "unknown" else "bad"
    )


def _read(path: Path) -> str:
    try:
        text = sys.stdin.read(LOG_LIMIT) if str(path) == "-" else path.read_text(encoding="utf-8", errors="replace")[:LOG_LIMIT]
    except OSError as error:
        raise usage(
            f"{path} can't be read",
            why=error.strerror or str(error),
            remedy="give a file with the pasted error, or - for stdin",
            code="log-file",
        ) from None
    if not text.strip():
        raise usage(
            f"{path} is empty", why="there is nothing to diagnose", remedy="paste the error or the log into it", code="log-empty"
        )
    return text
