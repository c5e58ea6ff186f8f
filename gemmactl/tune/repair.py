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
from gemmactl.resources.image import made_for
from gemmactl.resources.service_account import email_of
from gemmactl.result import Line, Result
from gemmactl.serving.grounding import standing
from gemmactl.serving.place import Place
from gemmactl.serving.repair import Seen, accounts, concluded, number
from gemmactl.tune import ending, find, logs, status
from gemmactl.tune.executions import Execution
from gemmactl.tune.find import Tune
from gemmactl.tune.recall import recalled
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
    seen = _look(place, tune)

    def again() -> Result:
        from gemmactl.tune.steering import resume

        voice.say(Line(f"resuming {tune.name}", "dim"))
        return resume(place, tune.name, None, voice, yes=True)  # --retry says so

    return concluded(seen, place, voice, fix=fix, yes=yes, for_admin=for_admin, again=again if retry else None, keep=keep)


def _look(place: Place, tune: Tune) -> Seen:
    from gemmactl.doctor.finding import Context
    from gemmactl.doctor.live import Looked, looked
    from gemmactl.doctor.several import together

    # with the image that its job has: a newer gemmactl's own is no fault of this run
    image = str(find.container(tune.job or {}).get("image", ""))
    wish = replace(recalled(place.id, place.region.text, tune.job), image=image) if tune.job else None
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
    with ThreadPoolExecutor(2) as pool:
        ground = pool.submit(standing, place, wanted, context, bucket=tune.bucket) if wish else None
        ran = pool.submit(_run, place, tune, context)
        own = looked(place.cloud, wanted, context=context) if wish else Looked(_unbuilt(place, tune.name, context))
        checks = ground.result() if ground else Looked()
        findings = together(ran.result(), own.findings, checks.findings)
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


def _run(place: Place, tune: Tune, context: Context) -> tuple[Finding, ...]:
    """Why the newest run ended without a result: what its folder says, else what its last execution did."""
    from gemmactl.doctor.several import unknown

    try:
        run, execution, _ = status.seen(place, tune, None)
    except Trouble as trouble:
        return tuple(unknown(f"the runs of {tune.name}", trouble, context))
    if run is not None and (run.done is not None or run.cancelled):
        return ()
    if run is not None and run.failure is not None:
        return (_failed(run.failure, context),)
    if execution is None or execution.state != "failed":
        return ()
    return _execution(place, tune, execution, context)


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
