"""finetune run: look, plan, ask, upload, make the job, start it, follow it, and say how to serve the result."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from finetune_image.contract import FAILED, RUNS
from gemmactl.errors import Exit, Trouble, refused
from gemmactl.kernel.apply import apply
from gemmactl.kernel.plan import Plan
from gemmactl.kernel.resource import Clock, Resource
from gemmactl.resources import apis
from gemmactl.resources.context import BuildContext
from gemmactl.resources.execution import Execution
from gemmactl.resources.job import Job
from gemmactl.resources.model_files import ModelFiles
from gemmactl.resources.run_files import DataFile, RunDocument
from gemmactl.result import Block, Line, Result, Verbatim
from gemmactl.serving import hands
from gemmactl.serving.deploy import unfinished
from gemmactl.serving.evidence import clean
from gemmactl.serving.grounding import Grounded, survey
from gemmactl.serving.place import Place
from gemmactl.stack_tune import job_of, tuning
from gemmactl.tune import ending, follow, run_screen, runs, steering
from gemmactl.tune.data_source import Places
from gemmactl.tune.prepare import Ready, prepare
from gemmactl.tune.wishes import Asked
from gemmactl.voice import Voice

VERB = "finetune run"


@dataclass(frozen=True)
class Way:
    """How a run is started. `again`: a further run where this one is done; `follow`: stay until its end."""

    yes: bool = False
    follow: bool = True
    again: bool = False
    dry: bool = False
    clock: Clock = field(default_factory=Clock)
    context: BuildContext | None = None
    """None: the installed packages."""
    line: str = ""
    """The command that does what a dry run showed."""


def run(asked: Asked, place: Place, places: Places, voice: Voice, way: Way) -> Result:
    """The same command again joins the run, goes on with it, or says that it is done.

    Raises:
        Trouble: refused before any change; or the run failed.
    """
    ready = prepare(asked, place, places, again=way.again, context=way.context)
    if ready.before.done is not None and not way.dry:
        voice.say(Line(f"run {ready.slug} is done already{_cut(ready)}; --again trains it once more", "good"))
        return ending.done(VERB, place, ready.before, run_screen.document(ready, place), ready.base_model.engine)
    _stands_still(ready, place)
    stack = resources(ready, way.context)
    ground = survey(stack, place, bucket=ready.tune.bucket, live=False)
    _no_stranger(ground.plan, place)
    hands.require_given(ready.tune, ground.plan, place.cloud)
    if way.dry:
        return _dry(ready, place, ground, stack, way.line)
    planned = ground.plan
    data = run_screen.document(ready, place, planned)
    voice.show(*run_screen.blocks(ready, place, planned, ground.blocks(how="--dry-run --format json")))
    if ground.refusing:
        return ground.refusal(VERB, data, place)
    _agreed(planned, voice, yes=way.yes)
    if ready.before.failure is not None:  # the settings are others now: let it try once more
        place.cloud.storage.delete(ready.tune.bucket, f"{ready.before.folder}/{FAILED}")
    outcome = apply(planned, place.cloud, events=voice.events)
    data["done"] = list(outcome.done)
    if not outcome.ok:
        return unfinished(VERB, outcome, data, place, bucket=ready.tune.bucket)
    if not way.follow:
        said = Line(f"run {ready.slug} is under way in job {job_of(stack).name}", "good")
        return Result(VERB, data, (said,), steering.watching(place, ready.wish.name), place.target)
    job = job_of(stack).full_name
    follow.follow(follow.Followed(place, job, ready.tune.bucket, ready.wish, ready.run.run_id), voice, way.clock)
    tuned = runs.read(place.cloud, ready.tune.bucket, ready.wish.name, ready.run.run_id)
    return ending.ended(VERB, place, tuned, data, ready.base_model.engine)


def resources(ready: Ready, context: BuildContext | None = None) -> tuple[Resource, ...]:
    """The whole stack of a run: what a fine-tune is made of, the data, the document, and the start."""
    made = tuning(ready.tune, context=context)
    bucket, job = ready.tune.bucket, job_of(made)
    after = tuple(one.address for one in made if one.kind == "bucket") or (apis.ADDRESS,)
    parts = [ready.data.train, *([ready.data.eval] if ready.data.eval else [])]
    files = tuple(DataFile(bucket, one.object, one.content, after) for one in {part.object: part for part in parts}.values())
    document = RunDocument.of(bucket, f"{RUNS}/{ready.slug}", ready.run.text(), (*after, *(one.address for one in files)))
    upload = _brought(ready, after)
    start = Execution(
        job.full_name, ready.tune.run_uri, (document.address, job.address, *(one.address for one in (*made, *upload)))
    )
    return (*made, *upload, *files, document, start)


def _brought(ready: Ready, after: tuple[str, ...]) -> tuple[Resource, ...]:
    """The base of a directory, as deploy uploads one: whole or visibly incomplete, and named by its content."""
    upload, model = ready.made.upload, ready.base_model.model
    return () if upload is None else (ModelFiles(model.bucket, model.prefix, model=upload, after=after),)


def _stands_still(ready: Ready, place: Place) -> None:
    """What a new start would not get going.

    Raises:
        Trouble: (refused) another run of the name is under way; this one failed or was cancelled.
    """
    name, run_id = ready.wish.name, ready.run.run_id
    if ready.stranger is not None:
        raise refused(
            f"another run of {name} is under way",
            why=f"execution {ready.stranger.short} of the same job has not ended; one run of a name trains at a time",
            remedy=f"gemmactl finetune status {name} {place.flags}\nor choose another --name",
            code="run-under-way",
        )
    if ready.execution is not None:
        return
    if ready.before.cancelled:
        raise refused(
            f"run {run_id} of {name} was cancelled",
            why="it stands still until somebody lets it go on",
            remedy=f"gemmactl finetune resume {name} {place.flags}",
            code="run-cancelled",
        )
    if ready.before.failure is not None and not _other_settings(ready):
        raise ending.refused(place, ready.before)


def _cut(ready: Ready) -> str:
    figures = (ready.before.done or {}).get("figures")
    budget = isinstance(figures, dict) and figures.get("ended") == "budget"
    return ", its training cut off by max_usd or max_hours" if budget else ""


def _other_settings(ready: Ready) -> bool:
    """Whether the run was made with settings that have since been changed: a larger budget, for example."""
    was = ready.before.run
    return was is not None and was.wish.document() != ready.wish.document()


def _no_stranger(planned: Plan, place: Place) -> None:
    """A job of that name that somebody else made is not taken over.

    Raises:
        Trouble: (refused) there is one.
    """
    for step in planned.steps:
        wanted, live = step.resource, step.live
        if isinstance(wanted, Job) and isinstance(live, Job) and not wanted.ours(place.cloud, live):
            short = wanted.name
            raise refused(
                f"there is a job {short} already, and gemmactl did not make it",
                why="it does not carry gemmactl's label; a run would replace what it does",
                remedy=f"choose another --name, or hand it over: gcloud run jobs update {short}"
                f" --update-labels=managed-by=gemmactl --region={place.region.text} --project={place.id}",
                code="job-not-ours",
            )


def _agreed(planned: Plan, voice: Voice, *, yes: bool) -> None:
    if not planned.work or planned.blocked or planned.unseen or yes:
        return
    if not voice.confirm("Apply this plan and start the run?", flag="--yes"):
        raise Trouble(
            "nothing was changed",
            why="the plan was not confirmed",
            remedy="run it again when the plan is right",
            code="not-confirmed",
        )


def _dry(ready: Ready, place: Place, ground: Grounded, stack: tuple[Resource, ...], line: str) -> Result:
    """What would be done and sent, without a change."""
    job, document = job_of(stack), json.loads(ready.run.text())
    body = job.body()
    data: dict[str, Any] = run_screen.document(ready, place, ground.plan)
    data |= {"job_body": body, "run_file": document, "checks": ground.document()}
    shown: tuple[Block, ...] = run_screen.blocks(ready, place, ground.plan, ground.blocks(how="--dry-run --format json"))
    shown = (
        *shown,
        Line(f"job {job.name}, as it is sent to Cloud Run (v2):", "dim"),
        Verbatim(json.dumps(body, indent=2)),
        Line(f"{ready.tune.run_uri}/run.json:", "dim"),
        Verbatim(ready.run.text()),
        Line("a dry run: nothing was changed", "good"),
    )
    if ready.before.done is not None:
        shown = (*shown, Line(f"run {clean(ready.slug)} is done already; --again trains it once more", "warn"))
    if ground.refusing:
        return ground.refusal(VERB, data, place, *shown)
    stuck = ground.plan.blocked or ground.plan.unseen
    following = (line,) if line and not stuck else ()
    return Result(VERB, data, shown, following, place.target, Exit.REFUSED if stuck else Exit.OK)
