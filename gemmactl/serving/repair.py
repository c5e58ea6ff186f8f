"""doctor on a live service: look, show, and with --fix apply the safe remedies. Knows no failure by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gemmactl import stack, vllm
from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.plan import api_disabled
from gemmactl.kernel.resource import Resource
from gemmactl.resources import names
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.service_account import email_of
from gemmactl.result import Line, Result
from gemmactl.serving import find
from gemmactl.serving.findings import document, findings_blocks, findings_result, fine
from gemmactl.serving.folder import Folders
from gemmactl.serving.grounding import standing
from gemmactl.serving.one_look import one_look
from gemmactl.serving.place import Place
from gemmactl.serving.recall import recalled
from gemmactl.settings import Settings
from gemmactl.spec import Serve, parse_model
from gemmactl.voice import Voice
from inference_image import contract

if TYPE_CHECKING:
    from gemmactl.doctor.checks.check import End
    from gemmactl.doctor.finding import Context, Finding
    from gemmactl.doctor.fix import Fixed
    from gemmactl.serving.mending import Anew, Keep


def repair(
    place: Place,
    settings: Settings,
    name: str | None,
    voice: Voice,
    *,
    fix: bool,
    yes: bool,
    retry: bool = False,
    for_admin: bool = False,
    keep: Keep = lambda _known: None,
) -> Result:
    """Look at a service that is there: its stack, its conditions, its newest log.

    `retry`: once the remedies hold, deploy it again as it was wished. `for_admin`: findings as text for a ticket.
    """
    from gemmactl.serving.deploy import deploy

    seen = _look(place, settings, name, voice)

    def again() -> Result:
        service = find.service(place, settings, name)
        voice.say(Line(f"deploying {find.short(service)} again", "dim"))
        return deploy(recalled(place, find.short(service), service), place, voice, yes=yes)

    anew = None
    if fix and seen.wish is not None:
        from gemmactl.serving.mending import Anew, beside

        anew = Anew(
            seen.wish,
            lambda wish: deploy(wish, place, voice, yes=yes),
            lambda: _look(place, settings, name, voice),
            beside(settings),
        )
    return concluded(
        seen, place, voice, fix=fix, yes=yes, for_admin=for_admin, again=again if retry else None, anew=anew, keep=keep
    )


def concluded(
    seen: Seen,
    place: Place,
    voice: Voice,
    *,
    fix: bool,
    yes: bool,
    for_admin: bool,
    again: Callable[[], Result] | None = None,
    carry: Callable[..., Fixed] | None = None,
    anew: Anew | None = None,
    keep: Keep = lambda _known: None,
) -> Result:
    """What was found as a Result; with `fix`, once the safe remedies are applied. `again`: what to do when they hold.

    `carry`: what applies them and waits; None: fix.carry_out. `anew`: the deploy that changes settings; None: none may.
    """
    keep(document(seen.findings, seen.checked))
    if not fix or not any(f.state == "problem" for f in seen.findings):
        return findings_result(
            seen.findings, place.target, place, for_admin=for_admin, then=seen.then, checked=seen.checked, service=seen.name
        )
    from gemmactl.serving.mending import mended

    voice.say(place.line(), *findings_blocks(seen.findings), *fine(seen.checked))
    fixed = mended(seen, place, voice, yes=yes, carry=carry, anew=anew, keep=keep)
    if again is None or fixed.exit is not Exit.OK or "deploy" in fixed.data:
        return fixed
    voice.say(*fixed.blocks)
    try:
        done = again()
    except Trouble as trouble:  # what was repaired stays told, with the way back
        done = Result("deploy", {}, target=place.target, exit=trouble.exit, problems=(trouble,))
    keep({"retry": done.document()})
    return replace(done, data={**done.data, "doctor": dict(fixed.data)})


@dataclass(frozen=True)
class Seen:
    """What a look found. `name`: of the service or fine-tune, `` when none could be asked for.

    `accounts`: whom its stack grants anything. `follow`: what to type once it is repaired.
    """

    name: str
    context: Context
    findings: tuple[Finding, ...]
    accounts: frozenset[str] = frozenset()
    follow: str = ""
    then: str = ""
    """What to type next although nothing is repaired."""
    checked: tuple[tuple[str, End], ...] = ()
    """Each question that was asked, with its end."""
    wish: Serve | None = None
    """What the live service was made from; None: there is none, or it is a fine-tune."""


def _look(place: Place, settings: Settings, name: str | None, voice: Voice) -> Seen:
    from gemmactl.doctor.live import looked
    from gemmactl.doctor.several import together

    once = replace(place, cloud=one_look(place.cloud))  # what several questions ask for is asked once
    try:
        service = find.service(once, settings, name)
    except Trouble as trouble:
        if not api_disabled(trouble):
            raise
        # without Cloud Run's API no service can be asked for: the project can
        from gemmactl.serving import unmade

        return unmade.look(place, settings, name or "", trouble, voice)
    short = find.short(service)
    context = context_of(place, service)
    wish = recalled(place, short, service)
    wanted = stack.serving(wish)
    with ThreadPoolExecutor(2) as pool:
        ground = pool.submit(standing, once, wanted, context, bucket=wish.model.bucket)
        model = pool.submit(_model, once, service, context)
        own = looked(once.cloud, wanted, service=find.full_name(place, short), context=context)
        checks, inspected = ground.result(), model.result()
        findings = tuple(_settled(f, wish, once) for f in together(own.findings, inspected, checks.findings))
    follow = f'gemmactl generate "Good morning." --type translation --name {short} {place.flags}'
    checked = (*checks.checked, *own.checked, *_inspected(service, inspected))
    return Seen(short, context, findings, accounts(wanted, context), follow, checked=checked, wish=wish)


def _settled(finding: Finding, wish: Serve, place: Place) -> Finding:
    """The finding with the settings that cure it, where their values follow from what the service has."""
    from gemmactl.doctor.setting import derived, line
    from gemmactl.serving import room

    if finding.state != "problem" or finding.redeploys:
        return finding
    found = derived(finding, wish, lambda one: room.instances(place.cloud, one))
    if isinstance(found, str):
        return finding
    others = tuple(c for c in finding.commands if not c.startswith(("gcloud run services update", "gcloud run deploy")))
    return replace(finding, settings=found, commands=(line(wish, {s.field: s.value for s in found}), *others))


def _inspected(service: find.Json, found: Sequence[Finding]) -> tuple[tuple[str, End], ...]:
    """How the look at its model ended; a service without one was not asked."""
    if not find.model_of(service):
        return ()
    hidden = any(f.state == "unknown" for f in found)
    return (("the model", "unknown" if hidden else "finding" if found else "ok"),)


def accounts(stack: Sequence[Resource], context: Context) -> frozenset[str]:
    """Members that a remedy may be for: those whom the stack grants anything, the caller, and Cloud Run's own."""
    from gemmactl.doctor.principal import member, run_agent

    known = {member(a) for a in (context.caller, context.runtime_account, context.build_account) if a}
    agent = {run_agent(context.number)} if context.number else set()
    granted = {resource.member for resource in stack if isinstance(resource, IamMember)}
    return frozenset({*known, *granted, *agent})


def _model(place: Place, service: find.Json, context: Context) -> tuple[Finding, ...]:
    """What inspect says of the service's model; a folder that can't be read is unknown, never ok."""
    from gemmactl.checkpoint.inspect import inspect
    from gemmactl.checkpoint.unread import unread
    from gemmactl.doctor.checkpoint import model_findings
    from gemmactl.doctor.several import unknown

    text = find.model_of(service)
    if not text:
        return ()
    folders = Folders(lambda: place.cloud, place.hub)
    try:
        files = folders.open(parse_model(text))
        corrections, presets = (find.variable(service, name) for name in (contract.ENV_OVERRIDES, contract.ENV_PRESETS))
        report = inspect(files, open_base=folders.named, variable=corrections, presets=presets)
        if vllm.runs(find.container(service)):
            report = replace(report, findings=(*report.findings, *unread(report, corrections)))
    except Trouble as trouble:
        return tuple(unknown(f"the model {text}", trouble, context))
    return model_findings(report, again=f"gemmactl inspect {text} --project {place.project.text}")


def context_of(place: Place, service: find.Json) -> Context:
    """What is known about a service beside the words of its errors."""
    from gemmactl.doctor.finding import Context

    return Context(
        project=place.id,
        number=number(place),
        region=place.region.text,
        caller=place.cloud.caller(),
        build_account=email_of(names.BUILD_ACCOUNT, place.id),
        **find.about(service),
    )


def number(place: Place) -> str:
    """The project's number; `` where it may not be asked, or there is no such project: another finding says so."""
    try:
        return place.cloud.number()
    except Trouble as trouble:
        if api_disabled(trouble) or trouble.facts.get("status") in (403, 404):
            return ""
        raise
