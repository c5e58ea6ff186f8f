"""finetune status and list: what the bucket's objects and the job's executions say of a fine-tune. Makes read calls only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gemmactl.errors import Trouble
from gemmactl.result import Block, Line, Result, Table
from gemmactl.serving.evidence import clean
from gemmactl.serving.place import Place
from gemmactl.tune import deploy_line as deploying
from gemmactl.tune import find, runs, showing
from gemmactl.tune.executions import Execution, newest
from gemmactl.tune.find import Tune
from gemmactl.tune.runs import Tuned


def status(place: Place, name: str | None, run_id: str | None = None) -> Result:
    """One fine-tune: its newest run, or the one that is named.

    Raises:
        Trouble: there is none of that name, or no such run.
    """
    tune = find.tune(place, name)
    run, execution, latest = seen(place, tune, run_id)
    blocks: list[Block] = [place.line()]
    data: dict[str, Any] = {**place.document(), "name": tune.name, "job": tune.short, "bucket": tune.bucket}
    if run is None:
        said = execution.words if execution else "it was never started"
        blocks.append(Line(f"{tune.name}: no run has begun in gs://{tune.bucket}/{tune.runs}; job {tune.short}: {clean(said)}"))
        data |= {"run": "", "state": execution.state if execution else "none", "execution": _told(execution)}
        return Result("finetune status", data, tuple(blocks), _without_run(place, tune, execution), place.target)
    blocks += [showing.facts(tune, run, execution, latest), *showing.attempts(run, execution)]
    blocks += [*showing.failure(run), *showing.notes(run)]
    data |= showing.document(tune, run, execution, latest)
    return Result("finetune status", data, tuple(blocks), following(place, tune, run, execution), place.target)


def seen(place: Place, tune: Tune, run_id: str | None) -> tuple[Tuned | None, Execution | None, str]:
    """(the run, the job's newest execution if it is this run's, what LATEST is), as much at once as can be.

    Raises:
        Trouble: the run that is named is not there.
    """
    with ThreadPoolExecutor(3) as pool:
        known = pool.submit(runs.ids, place.cloud, tune.bucket, tune.name)
        ran = pool.submit(newest, place.cloud, tune.job_name) if tune.job_name else None
        latest = pool.submit(runs.latest, place.cloud, tune.bucket, tune.name)
        ids = known.result()
        if run_id is not None and run_id not in ids:
            raise _no_run(place, tune, run_id, ids)
        current = tune.run_id if tune.run_id in ids else (ids[0] if ids else "")
        wanted = run_id or current
        read = runs.read(place.cloud, tune.bucket, tune.name, wanted) if wanted else None
        execution = ran.result() if ran and wanted == current else None
        return read, execution, latest.result()


def following(place: Place, tune: Tune, run: Tuned, execution: Execution | None) -> tuple[str, ...]:
    """What to type next."""
    state = run.state(execution)
    if state == "done":
        return (deploy_line(place, run),)
    if state in ("running", "starting"):
        verbs = ("logs", "cancel")
        return tuple(f"gemmactl finetune {verb} {tune.name}{' -f' * (verb == 'logs')} {place.flags}" for verb in verbs)
    if run.spent:
        return (f"gemmactl finetune logs {tune.name} {place.flags}",)
    return (f"gemmactl finetune resume {tune.name} {place.flags}", f"gemmactl finetune logs {tune.name} {place.flags}")


def deploy_line(place: Place, run: Tuned) -> str:
    """The command that serves the result: the run's own word for it, or the plain one."""
    said = run.done.get("deploy") if run.done else None
    return clean(said) if isinstance(said, str) and said.startswith("gemmactl deploy ") else _deploy(place, run)


def listing(place: Place) -> Result:
    """All names with their newest run."""
    tunes = find.everything(place)
    with ThreadPoolExecutor(8) as pool:
        found = list(zip(tunes, pool.map(lambda one: seen(place, one, None), tunes), strict=True))
    rows = tuple(_row(tune, *of) for tune, of in found)
    data = {**place.document(), "finetunes": [_document(tune, *of) for tune, of in found]}
    blocks: tuple[Block, ...] = (place.line(),)
    if rows:
        columns = ("NAME", "RUN", "STATE", "STEP", "LOSS", "HELD-OUT", "COST", "PUBLISHED")
        blocks = (*blocks, Table(columns, rows))
        follow = f"gemmactl finetune status {tunes[0].name} {place.flags}"
    else:
        blocks = (*blocks, Line(f"nothing was fine-tuned in {place.region.text}"))
        follow = f"gemmactl finetune run DATA {place.flags}"
    return Result("finetune list", data, blocks, (follow,), place.target)


def _row(tune: Tune, run: Tuned | None, execution: Execution | None, _latest: str) -> tuple[str, ...]:
    if run is None:
        return (tune.name, "", execution.state if execution else "never run", "", "", "", "", "")
    loss = f"{run.told.losses[-1]:.3f}" if run.told.losses else ""
    held = f"{run.told.held_out:.3f}" if run.told.held_out is not None else ""
    step = f"{run.told.step}/{run.told.max_steps}" if run.told.max_steps else ""
    cost = f"${run.usd:.2f}" if run.usd is not None else ""
    return (tune.name, run.run_id, run.state(execution), step, loss, held, cost, run.published)


def _document(tune: Tune, run: Tuned | None, execution: Execution | None, latest: str) -> dict[str, object]:
    if run is None:
        return {"name": tune.name, "run": "", "job": tune.short, "state": execution.state if execution else "none"}
    return showing.document(tune, run, execution, latest)


def _told(execution: Execution | None) -> dict[str, object] | None:
    return execution.document() if execution else None


def _deploy(place: Place, run: Tuned) -> str:
    if run.run is not None:
        return deploying.deploy_line(run.run, place.flags)
    return f"gemmactl deploy {run.published} --name {run.name} {place.flags}"


def _without_run(place: Place, tune: Tune, execution: Execution | None) -> tuple[str, ...]:
    if execution is not None:
        return (f"gemmactl finetune logs {tune.name} {place.flags}",)
    return (f"gemmactl finetune resume {tune.name} {place.flags}",)


def _no_run(place: Place, tune: Tune, run_id: str, ids: tuple[str, ...]) -> Trouble:
    return Trouble(
        f"{tune.name} has no run {run_id}",
        why=f"its runs, the newest first: {', '.join(ids[:10])}" if ids else "it has none",
        remedy=f"gemmactl finetune status {tune.name} {place.flags}",
        code="run-missing",
    )
