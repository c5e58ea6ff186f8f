"""A run on the screen: facts, attempts, what it failed of, and what to type next. Pure: knows no cloud."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from finetune_image.contract import CHECKPOINTS
from gemmactl.result import Block, Facts, Item, Line, Table
from gemmactl.serving.evidence import clean
from gemmactl.tune import ending
from gemmactl.tune.executions import Execution
from gemmactl.tune.find import Tune
from gemmactl.tune.runs import Attempt, Tuned, Word
from gemmactl.tune.told import Told, details, headline, span, sparkline

WORDS: Mapping[Word, str] = {
    "done": "done",
    "cancelled": "cancelled; its checkpoints stay",
    "failed": "failed",
    "running": "running",
    "starting": "starting",
    "stopped": "not running, and not done",
}


def facts(tune: Tune, run: Tuned, execution: Execution | None, latest: str) -> Facts:
    """The run in a few rows."""
    state = run.state(execution)
    wish = run.run.wish if run.run else None
    step = f"{run.told.step} of {run.told.max_steps}" if run.told.max_steps else ""
    held = run.told
    kept = ", ".join(f"step {one.step}" for one in run.checkpoints)
    rows = (
        ("name", tune.name),
        ("run", run.run_id),
        ("state", WORDS[state] + (f": {headline(held)}" if state == "running" else "")),
        ("base", clean(wish.model) if wish else ""),
        ("data", clean(run.run.train.uri) if run.run else ""),
        ("trained", ending.trained(run)) if run.done is not None else ("step", step),
        ("told", details(held) if state == "running" else _trained(held)),
        ("held-out loss", loss(run)),
        ("cost", f"${run.usd:.2f} for all attempts" if run.usd is not None else ""),
        ("checkpoints", f"{kept} in {run.uri}/{CHECKPOINTS}" if kept else ""),
        ("job", tune.short or "none: it was removed"),
        ("execution", f"{execution.short}: {clean(execution.words)}" if execution else ""),
        ("published", run.published + (" (LATEST)" if run.published and latest == run.run_id else "")),
        ("LATEST", f"is run {clean(latest)}" if latest and latest != run.run_id else ""),
    )
    return Facts(tuple(row for row in rows if row[1]))


def loss(run: Tuned) -> str:
    """`1.234, best 1.210, before training 2.345`."""
    one = run.told
    if one.held_out is None:
        return ""
    best = f", best {one.best:.3f}" if one.best is not None else ""
    before = f", before training {one.baseline:.3f}" if one.baseline is not None else ""
    return f"{one.held_out:.3f}{best}{before}"


def _trained(held: Told) -> str:
    """What stays of it once nothing runs: no rate, no time that is left."""
    return f"loss {held.losses[-1]:.3f} {sparkline(held.losses)}" if held.losses else ""


def attempts(run: Tuned, execution: Execution | None = None) -> tuple[Block, ...]:
    """Each with why it ended; the last one may still be at work."""
    if not run.attempts:
        return ()
    at_work = execution is not None and not execution.over
    columns = ("ATTEMPT", "STARTED", "TOOK", "STEPS", "COST", "ENDED")
    return (Table(columns, tuple(_row(one, at_work and one is run.attempts[-1]) for one in run.attempts)),)


def failure(run: Tuned) -> tuple[Block, ...]:
    """Why no attempt may go on, and the advice, best first."""
    if run.failure is None:
        return ()
    said, ways = ending.told(run.failure)
    return (Item("!", f"{said['code']}: {said['where']}: {said['detail']}", tuple(ways), "bad"),)


def notes(run: Tuned) -> tuple[Block, ...]:
    return tuple(Line(clean(note), "dim") for note in run.told.notes[-5:])


def document(tune: Tune, run: Tuned, execution: Execution | None, latest: str) -> dict[str, Any]:
    """The same for machines."""
    return {
        "name": tune.name,
        "run": run.run_id,
        "uri": run.uri,
        "state": run.state(execution),
        "job": tune.short,
        "model": run.run.wish.model if run.run else "",
        "data": run.run.train.uri if run.run else "",
        "progress": run.told.document(),
        "usd": run.usd,
        "attempts": [one.document() for one in run.attempts],
        "checkpoints": [{"step": one.step, "size": one.size} for one in run.checkpoints],
        "failed": dict(run.failure) if run.failure is not None else None,
        "cancelled": run.cancelled,
        "done": dict(run.done) if run.done is not None else None,
        "execution": execution.document() if execution else None,
        "published": run.published,
        "latest": latest,
    }


def _row(one: Attempt, at_work: bool) -> tuple[str, ...]:
    started = datetime.fromtimestamp(one.started, UTC).strftime("%Y-%m-%d %H:%M") if 0 < one.started < 1e11 else ""
    cost = f"${one.usd:.2f}" if one.usd is not None else ""
    # a line without an end is of an attempt that runs, or of one that was killed without a word
    ended = one.why if one.ended is not None else "at work" if at_work else "killed without a word"
    why = ended + (f": {one.error}" if one.error else "")
    return (str(one.number), started, span(one.seconds), f"{one.first} to {one.step}", cost, clean(why)[:200])
