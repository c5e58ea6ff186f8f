"""finetune run of a job's own YAML: plan, ask, apply, start, stay until its end. Knows no field."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.apply import apply
from gemmactl.kernel.plan import Plan
from gemmactl.kernel.resource import Clock
from gemmactl.knative.read_job import ReadJob
from gemmactl.resources.context import BuildContext
from gemmactl.result import Facts, Result
from gemmactl.serving import show
from gemmactl.serving.deploy import unfinished
from gemmactl.serving.place import Place
from gemmactl.tune import ending, executions, find, runs, steering, watching
from gemmactl.tune.executions import Execution
from gemmactl.tune.job_file import Sheet, look, require_runnable
from gemmactl.voice import Voice

VERB: Final = "finetune run"


@dataclass(frozen=True)
class Way:
    """How it is started. `modern`: moved to gemmactl's worker; `follow`: stay until its end."""

    yes: bool = False
    modern: bool = False
    follow: bool = True
    clock: Clock = field(default_factory=Clock)
    context: BuildContext | None = None
    """None: the installed packages."""


def plan(found: ReadJob, place: Place, way: Way, *, again: str) -> Result:
    """What applying the file would change; read calls only. `again`: the command line that does it."""
    sheet, ground = look(found, place, modern=way.modern, context=way.context)
    planned = ground.plan
    data = {**sheet.document(), **place.document(), **show.document(planned), "checks": ground.document()}
    screen = (place.line(), *sheet.blocks(), *ground.blocks(how="--dry-run --format json"), *show.blocks(planned))
    if ground.refusing:
        return ground.refusal(VERB, data, place, *screen)
    code = Exit.REFUSED if _stuck(planned) else Exit.OK
    return Result(VERB, data, screen, () if _stuck(planned) else (again,), place.target, code)


def run(found: ReadJob, place: Place, voice: Voice, way: Way) -> Result:
    """Make the job what the file says, start it, and stay with it.

    Raises:
        Trouble: refused before any change, not confirmed, or its execution ended without success.
    """
    sheet, ground = look(found, place, modern=way.modern, context=way.context)
    planned = ground.plan
    require_runnable(sheet, place)
    voice.show(place.line(), *sheet.blocks(), *ground.blocks(how="--dry-run --format json"), *show.blocks(planned))
    data: dict[str, Any] = {**sheet.document(), **place.document(), **show.document(planned), "checks": ground.document()}
    if ground.refusing:
        return ground.refusal(VERB, data, place)
    if not _stuck(planned) and not way.yes and not voice.confirm("Apply this plan and start the job?", flag="--yes"):
        raise Trouble(
            "nothing was changed",
            why="the plan was not confirmed",
            remedy="run it again when the plan is right",
            code="not-confirmed",
        )
    outcome = apply(planned, place.cloud, events=voice.events)
    data["done"] = list(outcome.done)
    if not outcome.ok:
        return unfinished(VERB, outcome, data, place)
    job = sheet.job
    alive = executions.alive(place.cloud, job.full_name)
    execution = alive[0] if alive else steering.start(place, job.full_name)
    data["execution"] = execution.document()
    if not way.follow:
        said = f"{execution.short} is under way" + " already" * bool(alive)
        rows = (("job", job.name), ("execution", said), ("trains", sheet.name))
        facts = Facts(tuple(row for row in rows if row[1]))
        return Result(VERB, data, (facts,), steering.watching(place, sheet.name or job.name), place.target)
    return _ended(sheet, place, watching.watch(place, job.name, execution, voice, way.clock), data)


def _ended(sheet: Sheet, place: Place, last: Execution, data: dict[str, Any]) -> Result:
    """What became of it: the run's own word where gemmactl's worker wrote one."""
    data["execution"] = last.document()
    if sheet.name:
        tune = find.of_job(place.cloud.jobs.get(sheet.job.full_name) or {}, place)
        if ids := runs.ids(place.cloud, tune.bucket, tune.name):
            run = runs.read(place.cloud, tune.bucket, tune.name, ids[0])
            return ending.ended(VERB, place, run, {**data, "run": run.run_id}, "", last)
    if last.state != "succeeded":
        raise Trouble(
            f"execution {last.short} {last.state}",
            why=last.message or "Cloud Run gave no reason",
            remedy=f"gemmactl finetune logs {sheet.job.name} {place.flags} shows what the container wrote",
            code="execution-failed",
            exit=Exit.GATE,
        )
    facts = Facts((("job", sheet.job.name), ("execution", f"{last.short}: {last.words}")))
    return Result(VERB, data, (facts,), (), place.target)


def _stuck(planned: Plan) -> bool:
    return bool(planned.blocked or planned.unseen)
