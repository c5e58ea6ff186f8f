"""How a run ended, as the Result of its command: figures and the deploy line, or why it stopped and what to do. Makes no call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from finetune_image.contract import Code
from gemmactl.errors import Exit, Trouble
from gemmactl.result import Block, Facts, Line, Result
from gemmactl.serving.evidence import clean
from gemmactl.serving.place import Place
from gemmactl.tune.deploy_line import deploy_line
from gemmactl.tune.executions import Execution
from gemmactl.tune.published import places
from gemmactl.tune.runs import Tuned
from gemmactl.tune.told import span
from inference_image.contract import REPORT

CODE = "finetune-failed"
EARLY: Final[Mapping[str, str]] = {
    "patience": ": the held-out loss got no better",
    "budget": ": the budget was spent",
}
"""`ended` of its figures -> why it ended before all of its steps."""


def ended(verb: str, place: Place, run: Tuned, data: Mapping[str, Any], engine: str, last: Execution | None = None) -> Result:
    """A run that nothing works at any more.

    Raises:
        Trouble: it has no result.
    """
    if run.done is not None:
        return done(verb, place, run, data, engine)
    if run.failure is not None:
        raise failed(run, run.failure, Exit.FAILURE, _resumed(place, run), _facts(place, run))
    resume = f"gemmactl finetune resume {run.name} {place.flags}"
    if run.cancelled:
        raise Trouble(
            f"run {run.run_id} of {run.name} was cancelled",
            why="somebody cancelled it; its checkpoints stay",
            remedy=resume,
            code="run-cancelled",
        )
    attempt = run.attempts[-1] if run.attempts else None
    why = clean(attempt.error or attempt.why) if attempt else ""
    said = f"; {clean(last.words)}" if last else ""
    kept = f"step {run.checkpoints[-1].step}" if run.checkpoints else "the beginning"
    raise Trouble(
        f"run {run.run_id} of {run.name} ended without a result",
        why=(f"its last attempt ended with: {why}{said}" if why else f"no attempt said why{said}") + f"; it goes on from {kept}",
        remedy=f"{resume}\ngemmactl finetune logs {run.name} {place.flags} shows what the container wrote",
        code="run-stopped",
        facts=_facts(place, run),
    )


def refused(place: Place, run: Tuned) -> Trouble:
    """A run that failed before and would fail again."""
    return failed(run, run.failure or {}, Exit.REFUSED, _resumed(place, run), _facts(place, run))


def failed(run: Tuned, failure: Mapping[str, Any], code: Exit, again: str, facts: Mapping[str, Any]) -> Trouble:
    """The document FAILED as an error: its words are data of the worker's. `again`: what lets it go on, after the cure."""
    said, ways = told(failure)
    known = said["code"] if said["code"] in tuple(Code) else str(Code.INTERNAL)
    return Trouble(
        f"run {run.run_id} of {run.name} failed: {said['code']}: {said['where']}",
        why=said["detail"] or "the worker said no more",
        remedy="\n".join(filter(None, (*ways, again))),
        code=CODE,
        exit=code,
        facts={"finetune_failed": {**said, "code": known, "advice": ways}, **facts},
    )


def told(failure: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """(`code`, `where` and `detail`, the advice, best first) of the document FAILED, fit for a screen."""
    advice = failure.get("advice")
    ways = [clean(str(one))[:300] for one in advice] if isinstance(advice, list) else []
    return {key: clean(str(failure.get(key, "")))[:400] for key in ("code", "where", "detail")}, ways


def done(verb: str, place: Place, run: Tuned, data: Mapping[str, Any], engine: str) -> Result:
    """Where it is, how good it got, what it cost, and the command that serves it."""
    line = deploy_line(run.run, place.flags, engine) if run.run else ""
    told = {**data, **document(run), "deploy": line}
    return Result(verb, told, blocks(run, f"gs://{run.bucket}"), (line,) if line else (), place.target)


def document(run: Tuned) -> dict[str, Any]:
    """What became of a run, for machines."""
    return {"state": "done", "result": dict(run.done or {}), "usd": run.usd}


def blocks(run: Tuned, bucket: str) -> tuple[Block, ...]:
    """The same for people. `bucket`: `gs://bucket` or a directory."""
    return (Facts(tuple(_rows(run, bucket)), f"fine-tune {run.name}/{run.run_id} is done"), *_notes(run))


def trained(run: Tuned) -> str:
    """`40 of 100 steps: the held-out loss got no better`, of what was published; empty where nothing says it."""
    figures = _mapping((run.done or {}).get("figures"))
    if not isinstance(figures.get("step"), int):
        return ""
    return f"{figures['step']} of {figures.get('max_steps')} steps{EARLY.get(str(figures.get('ended')), '')}"


def _rows(run: Tuned, bucket: str) -> Iterator[tuple[str, str]]:
    output = run.run.wish.output if run.run else None
    found = places(bucket, run.name, run.run_id, output)
    yield from found.items()
    figures = _mapping((run.done or {}).get("figures"))
    baseline, loss = figures.get("baseline"), figures.get("loss")
    if steps := trained(run):
        yield "trained", steps
    if isinstance(loss, int | float):
        before = f", before {baseline:.3f}" if isinstance(baseline, int | float) else ""
        yield "held-out loss", f"{loss:.3f}{before}"
    seconds, usd = (run.done or {}).get("seconds"), run.usd
    if isinstance(seconds, int | float):
        attempts = len(run.attempts) or 1
        money = f", ${usd:.2f}" if usd is not None else ""
        yield "took", f"{span(seconds)} in {attempts} attempt{'s' * (attempts != 1)}{money}"
    if "model" in found:
        yield "report", f"{found['model']}/{REPORT}"


def _notes(run: Tuned) -> tuple[Line, ...]:
    return tuple(Line(clean(note), "dim") for note in run.told.notes[-3:])


def _resumed(place: Place, run: Tuned) -> str:
    if run.spent:
        return f"gemmactl finetune status {run.name} {place.flags} shows what it cost"
    return f"then gemmactl finetune resume {run.name} {place.flags}; other settings are another run"


def _facts(place: Place, run: Tuned) -> dict[str, Any]:
    here = {"at_project": place.id, "at_region": place.region.text, "at_bucket": run.bucket, "at_caller": place.cloud.caller()}
    return {"run": run.run_id, "name": run.name, **{key: value for key, value in here.items() if value}}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
