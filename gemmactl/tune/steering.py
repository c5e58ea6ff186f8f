"""finetune cancel and resume: the marks in the run's folder, and the job's executions. Neither removes a checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from finetune_image.contract import CANCELLED, ENV_RUN, FAILED
from gemmactl.errors import Trouble, refused
from gemmactl.kernel.apply import apply
from gemmactl.kernel.plan import make_plan
from gemmactl.kernel.resource import Clock
from gemmactl.resources import mark
from gemmactl.resources.job import Job
from gemmactl.resources.pace import pauses
from gemmactl.resources.service_types import Container, EnvVar
from gemmactl.result import Block, Facts, Item, Line, Result
from gemmactl.serving.deploy import unfinished
from gemmactl.serving.evidence import clean
from gemmactl.serving.place import Place
from gemmactl.tune import ending, executions, find, runs, status
from gemmactl.tune.executions import Execution
from gemmactl.tune.find import Tune
from gemmactl.tune.runs import Tuned
from gemmactl.voice import Voice

STOPPING: float = 60.0
"""Seconds that a cancelled execution is waited for: it gets 10 to save and is killed then."""


def cancel(place: Place, name: str | None, voice: Voice, clock: Clock | None = None, *, yes: bool = False) -> Result:
    """Let the run stand still: first the mark, so that no attempt begins any more, then the execution is ended.

    Raises:
        Trouble: (refused) the run is done; there is nothing of that name; nobody confirmed.
    """
    tune = find.tune(place, name)
    run, _, _ = status.seen(place, tune, None)
    if run is not None and run.done is not None:
        raise _done(place, run, "cancelled")
    data: dict[str, Any] = {**place.document(), "name": tune.name, "run": run.run_id if run else "", "job": tune.short}
    changed = False
    alive = executions.alive(place.cloud, tune.job_name) if tune.job else ()
    if alive or (run is not None and not run.cancelled):
        under = f"execution {alive[0].short} ends, and gets 10 seconds to save" if alive else "no attempt is under way"
        _agreed(voice, f"Cancel {tune.name}? {under}; resume goes on from its last checkpoint.", yes=yes)
    if run is not None and not run.cancelled:
        place.cloud.storage.write(run.bucket, f"{run.folder}/{CANCELLED}", _mark(place))
        changed = True
    ended = [_end(place, one, voice, clock or Clock()) for one in alive]
    data |= {"changed": changed or bool(ended), "executions": [one.document() for one in ended]}
    again = f"gemmactl finetune resume {tune.name} {place.flags}"
    if not ended and not changed:
        said = "is cancelled already" if run else "does not run"
        return Result("finetune cancel", data, (Line(f"{tune.name} {said}", "good"),), (again,) if run else (), place.target)
    if run is not None and ended:  # with what it saved in its 10 seconds
        run = runs.read(place.cloud, run.bucket, run.name, run.run_id)
    kept = run.checkpoints[-1] if run and run.checkpoints else None
    rows = (
        ("name", tune.name),
        ("run", run.run_id if run else ""),
        ("execution", ", ".join(f"{one.short}: {one.state}" for one in ended) or "none was under way"),
        ("kept", f"checkpoint of step {kept.step}, from which resume goes on" if kept else "no checkpoint: it begins anew"),
    )
    return Result("finetune cancel", data, (Facts(tuple(row for row in rows if row[1])),), (again,), place.target)


def resume(place: Place, name: str | None, run_id: str | None, voice: Voice, *, yes: bool = False) -> Result:
    """Let a run that failed, was cancelled or stopped go on: its marks go, its job is set to it and started.

    Raises:
        Trouble: (refused) it is done, or another run of that name is under way; it or its job is not there; nobody confirmed.
    """
    tune = find.tune(place, name)
    run, _, _ = status.seen(place, tune, run_id)
    if run is not None and run.done is not None:
        raise _done(place, run, "resumed")
    if tune.job is None:
        raise _no_job(place, tune)
    if running := executions.alive(place.cloud, tune.job_name):
        return _under_way(place, tune, run, running[0])
    said: tuple[Block, ...] = ()
    if run is not None:
        if run.spent:
            raise _spent(place, run)
        if run.failure is not None:
            was, _ = ending.told(run.failure)
            said = (Item("?", f"it had failed: {was['code']}: {was['where']}: {was['detail']}", (), "warn"),)
    at = f"step {run.checkpoints[-1].step}" if run and run.checkpoints else "the beginning: there is no checkpoint"
    voice.say(*(said if not yes else ()))
    _agreed(voice, f"Start job {tune.short} again? It goes on from {at}, and its GPU is billed while it runs.", yes=yes)
    if run is not None:
        # the codelab's job names no run: its worker finds it by what it is to train
        elsewhere = tune.run_id != run.run_id and bool(tune.run_id or run_id)
        if elsewhere and (left := _set_to(place, tune, run, voice)):
            return left
        for one in (FAILED, CANCELLED):
            place.cloud.storage.delete(run.bucket, f"{run.folder}/{one}")
    execution = start(place, tune.job_name)
    rows = (("name", tune.name), ("run", run.run_id if run else ""), ("goes on from", at), ("execution", execution.short))
    data = {**place.document(), "name": tune.name, "run": run.run_id if run else "", "execution": execution.document()}
    facts = Facts(tuple(row for row in rows if row[1]))
    return Result("finetune resume", data, (*said, facts), watching(place, tune.name), place.target)


def start(place: Place, job: str) -> Execution:
    """Begin an execution of a job, by its full name, as it is now.

    Raises:
        Trouble: it was changed meanwhile, or may not be started.
    """
    live = place.cloud.jobs.get(job) or {}
    operation = place.cloud.jobs.run(job, etag=str(live.get("etag", "")))
    name = place.cloud.jobs.started(operation)
    found = place.cloud.jobs.execution(name)
    return executions.read(found) if found else Execution(name, "pending")


def _agreed(voice: Voice, question: str, *, yes: bool) -> None:
    if not yes and not voice.confirm(question, flag="--yes"):
        raise Trouble(
            "nothing was changed", why="it was not confirmed", remedy="run it again when you are sure", code="not-confirmed"
        )


def watching(place: Place, name: str) -> tuple[str, ...]:
    """What to type after a start."""
    return (f"gemmactl finetune status {name} {place.flags}", f"gemmactl finetune logs {name} -f {place.flags}")


def _end(place: Place, one: Execution, voice: Voice, clock: Clock) -> Execution:
    """The execution when it is over, or as it is after a minute. One that ends by itself meanwhile is no fault."""
    voice.say(Line(f"ending {one.short}: it gets 10 seconds to save", "dim"))
    try:
        place.cloud.jobs.cancel(one.name)
    except Trouble as trouble:
        found = place.cloud.jobs.execution(one.name)
        if found is None or not executions.read(found).over:
            raise trouble from None
    began = clock.now()
    for pause in pauses():
        found = place.cloud.jobs.execution(one.name)
        one = executions.read(found) if found else one
        if found is None or one.over or clock.now() - began > STOPPING:
            break
        clock.sleep(pause)
    return one


def _set_to(place: Place, tune: Tune, run: Tuned, voice: Voice) -> Result | None:
    """Point the job to another run of its name; a Result when that did not come to its end."""
    live = Job(place.id, place.region.text, tune.short).read(place.cloud)
    if live is None:
        raise _no_job(place, tune)
    boxes = tuple(_pointed(box, run.uri) for box in live.containers or ())
    labels = tuple(sorted({**dict(live.labels or ()), mark.RUN_LABEL: run.run_id}.items()))
    wish = replace(live, containers=boxes, labels=labels, ready=True, live=None)
    voice.say(Line(f"job {tune.short} is set to run {run.run_id}", "dim"))
    outcome = apply(make_plan((wish,), place.cloud), place.cloud, events=voice.events)
    return None if outcome.ok else unfinished("finetune resume", outcome, {**place.document(), "name": tune.name}, place)


def _pointed(box: Container, uri: str) -> Container:
    others = tuple(one for one in box.env or () if one.name != ENV_RUN)
    return replace(box, env=(*others, EnvVar(ENV_RUN, uri)))


def _mark(place: Place) -> bytes:
    said = {"by": place.cloud.caller(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
    return (json.dumps(said) + "\n").encode()


def _under_way(place: Place, tune: Tune, run: Tuned | None, one: Execution) -> Result:
    if run is not None and tune.run_id not in ("", run.run_id):
        raise refused(
            f"run {tune.run_id} of {tune.name} is under way",
            why=f"execution {one.short} of the same job has not ended; one run of a name trains at a time",
            remedy=f"gemmactl finetune cancel {tune.name} {place.flags}, or wait until it is done",
            code="run-under-way",
        )
    if run is not None and run.cancelled:
        raise refused(
            f"{tune.name} is being cancelled",
            why=f"execution {one.short} has not ended yet",
            remedy=f"gemmactl finetune resume {tune.name} {place.flags} in a minute",
            code="run-under-way",
        )
    data = {**place.document(), "name": tune.name, "run": run.run_id if run else "", "execution": one.document()}
    said = Line(f"{tune.name} is under way already: execution {one.short}", "good")
    return Result("finetune resume", data, (said,), watching(place, tune.name), place.target)


def _done(place: Place, run: Tuned, what: str) -> Trouble:
    return refused(
        f"run {run.run_id} of {run.name} is done and can't be {what}",
        why=f"its model is in {run.published}",
        remedy=status.deploy_line(place, run),
        code="run-done",
    )


def _spent(place: Place, run: Tuned) -> Trouble:
    return refused(
        f"the budget of run {run.run_id} of {run.name} is spent",
        why=f"{clean(str((run.failure or {}).get('detail', '')))[:300]}; resumed, it would end at the same limit",
        remedy=f"the same gemmactl finetune run command with a higher --max-usd or --max-hours goes on with it {place.flags}",
        code="budget-spent",
    )


def _no_job(place: Place, tune: Tune) -> Trouble:
    return refused(
        f"the job of {tune.name} is not there any more",
        why="its runs are kept, and nothing is left that could train them",
        remedy=f"the same gemmactl finetune run command again makes the job and goes on with the run it belongs to {place.flags}",
        code="job-missing",
    )
