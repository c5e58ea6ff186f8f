"""doctor on a fine-tune: its stack, its job, and why its newest run came to no end. Knows no failure by itself."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from finetune_image.contract import Code, Failure
from gemmactl import stack_tune
from gemmactl.errors import Trouble
from gemmactl.resources import names
from gemmactl.resources.cloud import Json
from gemmactl.resources.image import made_for
from gemmactl.resources.service_account import email_of
from gemmactl.result import Line, Result
from gemmactl.serving.grounding import standing
from gemmactl.serving.one_look import one_look
from gemmactl.serving.place import Place
from gemmactl.serving.repair import Seen, accounts, concluded, number
from gemmactl.tune import ending, find, logs, status
from gemmactl.tune.executions import Execution
from gemmactl.tune.find import Tune
from gemmactl.tune.recall import recalled
from gemmactl.tune_spec import Tune as Wish
from gemmactl.voice import Voice

if TYPE_CHECKING:
    from gemmactl.doctor.finding import Context, Finding
    from gemmactl.serving.mending import Keep


def repair(
    place: Place,
    name: str | None,
    voice: Voice,
    *,
    fix: bool,
    yes: bool,
    retry: bool,
    for_admin: bool,
    keep: Keep = lambda _known: None,
) -> Result:
    """Look at a fine-tune that is there; `retry`: once the remedies hold, its run goes on.

    Raises:
        Trouble: there is no fine-tune of that name, or it can't be told which is meant.
    """
    tune = find.tune(place, name)
    seen = look(place, tune)

    def again() -> Result:
        from gemmactl.tune.steering import resume

        voice.say(Line(f"resuming {tune.name}", "dim"))
        return resume(place, tune.name, None, voice, yes=True)  # --retry says so

    anew = None
    if fix and tune.job is not None:
        from gemmactl.tune.mending import set_anew

        anew = set_anew(_wish(place, tune.job), place, tune, voice, lambda: look(place, find.tune(place, tune.name)), yes=yes)
    return concluded(
        seen, place, voice, fix=fix, yes=yes, for_admin=for_admin, again=again if retry else None, anew=anew, keep=keep
    )


def _wish(place: Place, job: Json) -> Wish:
    """What the job was made from, with the image that it has: a newer gemmactl's own is no fault of this run."""
    image = str(find.container(job).get("image", ""))
    return replace(recalled(place.id, place.region.text, job), image=image)


def look(place: Place, tune: Tune) -> Seen:
    """All that can be asked of a fine-tune; only reads are made."""
    from gemmactl.doctor.finding import Context
    from gemmactl.doctor.live import Looked, looked
    from gemmactl.doctor.several import together

    wish = _wish(place, tune.job) if tune.job else None
    wanted = stack_tune.tuning(wish) if wish else ()
    account = str(tune.job.get("template", {}).get("template", {}).get("serviceAccount", "")) if tune.job else ""
    context = Context(
        project=place.id,
        number=number(place),
        region=place.region.text,
        bucket=tune.bucket,
        caller=place.cloud.caller(),
        build_account=email_of(names.BUILD_ACCOUNT, place.id),
        runtime_account=account,
    )
    once = replace(place, cloud=one_look(place.cloud))  # what several questions ask for is asked once
    with ThreadPoolExecutor(2) as pool:
        ground = pool.submit(standing, once, wanted, context, bucket=tune.bucket) if wish else None
        ran = pool.submit(_run, once, tune, context, wish)
        own = looked(once.cloud, wanted, context=context) if wish else Looked(_unbuilt(once, tune.name, context))
        checks = ground.result() if ground else Looked()
        findings = tuple(_settled(f, wish) for f in together(ran.result(), own.findings, checks.findings))
    follow = f"gemmactl finetune resume {tune.name} {place.flags}"
    checked = (*checks.checked, *own.checked)
    return Seen(tune.name, context, findings, accounts(wanted, context), follow, checked=checked)


def _unbuilt(place: Place, name: str, context: Context) -> tuple[Finding, ...]:
    """Why there is no job: the build of its image failed."""
    from gemmactl.doctor.builds import failed_build
    from gemmactl.doctor.several import unknown

    try:
        return failed_build(place.cloud, place.region.text, made_for(name), context)
    except Trouble as trouble:
        return tuple(unknown("the builds", trouble, context))


def _settled(finding: Finding, wish: Wish | None) -> Finding:
    """The finding with the settings that cure it, where their values follow from what the job has."""
    from gemmactl.doctor.job_setting import derived, line

    if wish is None or finding.state != "problem" or finding.redeploys:
        return finding
    found = derived(finding, wish)
    if isinstance(found, str):
        return finding
    others = tuple(c for c in finding.commands if not c.startswith("gcloud run jobs update"))
    return replace(finding, settings=found, commands=(line(wish, {s.field: s.value for s in found}), *others))


def _outgrown(finding: Finding, execution: Execution | None, wish: Wish | None, again: str) -> Finding:
    """What ran out before the job was given more of it is no fault of the job any more: it waits to be resumed."""
    from gemmactl.doctor.job_setting import OUT_OF_MEMORY, OUT_OF_TIME
    from gemmactl.spec_rules import gib

    if wish is None or execution is None:
        return finding
    if finding.code in OUT_OF_MEMORY and execution.memory and gib(execution.memory) < gib(wish.memory):
        had, has = execution.memory, wish.memory
    elif finding.code in OUT_OF_TIME and 0 < execution.timeout < wish.timeout:
        had, has = f"{execution.timeout} s", f"{wish.timeout} s"
    else:
        return finding
    said = f"{finding.cause} It ran with {had}; the job has {has} by now."
    return replace(finding, state="advice", cause=said, remedy=f"Let it go on: {again}", commands=())


def _run(place: Place, tune: Tune, context: Context, wish: Wish | None) -> tuple[Finding, ...]:
    """Why the newest run ended without a result: what its folder says, else what its last execution did."""
    from gemmactl.doctor.several import unknown

    try:
        run, execution, _ = status.seen(place, tune, None)
    except Trouble as trouble:
        return tuple(unknown(f"the runs of {tune.name}", trouble, context))
    if run is not None and (run.done is not None or run.cancelled):
        return ()
    again = f"gemmactl finetune resume {tune.name} {place.flags}"
    if run is not None and run.failure is not None:
        return (_outgrown(_failed(run.failure, context), execution, wish, again),)
    if execution is None or execution.state != "failed":
        return ()
    return tuple(_outgrown(one, execution, wish, again) for one in _execution(place, tune, execution, context))


def _failed(failure: Mapping[str, Any], context: Context) -> Finding:
    """The document FAILED, by doctor's row of its code."""
    from gemmactl.doctor.diagnose import diagnose

    said, ways = ending.told(failure)
    known = said["code"] if said["code"] in tuple(Code) else str(Code.INTERNAL)
    line = Failure(Code(known), said["where"], said["detail"]).line()
    first = diagnose(line, {}, context)[0]
    # what a worker wrote is data: its advice is shown, and no remedy is made of it
    return replace(first, remedy="\n".join((*ways, first.remedy)) if ways else first.remedy, remedies=())


def _execution(place: Place, tune: Tune, execution: Execution, context: Context) -> tuple[Finding, ...]:
    """What the log of the last execution tells, else Cloud Run's own words."""
    from gemmactl.doctor import there
    from gemmactl.doctor.diagnose import diagnose
    from gemmactl.doctor.finding import Finding
    from gemmactl.doctor.last_start import LINES, printed
    from gemmactl.doctor.several import unknown

    source = logs.source(place, tune.short, execution.short)
    try:
        told = printed(place.cloud.logs.entries(source.filter, newest=True, limit=LINES), context)
    except Trouble as trouble:
        told = unknown(f"the log of {execution.short}", trouble, context)
    known = [f for f in told if f.state != "unknown"]
    said = [] if known else there.checked(diagnose(execution.message, {}, context), place.cloud)
    if known or said:
        return (*told, *said)
    silent = Finding(
        code="execution-failed",
        category="jobs",
        subcategory="exit",
        title=f"execution {execution.short} failed",
        cause=execution.message or "Cloud Run gave no reason.",
        remedy=f"Read what it wrote: gemmactl finetune logs {tune.name} {place.flags}",
        evidence=execution.message,
        fix_kind="diagnose",
        confidence=0.7,
    )
    return (*told, silent)
