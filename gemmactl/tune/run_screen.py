"""What a run says before somebody says yes, and as a document: base, data, size, time, money, steps. Pure: knows no cloud."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gemmactl import prices
from gemmactl.checkpoint.too_large import gb
from gemmactl.kernel.plan import Plan
from gemmactl.prices import Certainty
from gemmactl.resources.image import Image
from gemmactl.result import Block, Facts, Item, Line
from gemmactl.serving import plan_time, show
from gemmactl.serving.place import Place
from gemmactl.tune import fits
from gemmactl.tune.estimate import SLICE
from gemmactl.tune.material import cautions
from gemmactl.tune.prepare import Ready
from gemmactl.tune.published import places
from gemmactl.tune.told import span


def blocks(ready: Ready, place: Place, planned: Plan, ground: tuple[Block, ...] = ()) -> tuple[Block, ...]:
    """Who and where; what is trained on what; what it takes; what may bite; the steps."""
    return (
        place.line(),
        Facts(tuple(_facts(ready)), f"fine-tune {ready.slug}"),
        *_cautions(ready),
        *ground,
        *show.blocks(planned),
        *_built(planned),
    )


def document(ready: Ready, place: Place, planned: Plan | None = None) -> dict[str, Any]:
    """The same for machines."""
    data, tune = ready.data, ready.tune
    return {
        **place.document(),
        "name": ready.wish.name,
        "run": ready.run.run_id,
        "uri": tune.run_uri,
        "base": ready.base_model.document(),
        "data": {
            "train": ready.run.train.uri,
            "eval": ready.run.eval.uri if ready.run.eval else None,
            "rows": len(data.split.train),
            "held_out": len(data.split.eval),
            "tokens_per_epoch": ready.tokens,
        },
        "job": {
            "gpu": tune.gpu_type,
            "cpu": tune.cpu,
            "memory": tune.memory,
            "timeout_seconds": tune.timeout,
            "retries": tune.retries,
            "usd_per_hour": ready.hour.document(),
        },
        "gpu_memory": ready.need.document() if ready.need else None,
        "estimate": ready.estimate.document() if ready.estimate else None,
        "promises": {"max_usd": ready.wish.stop.max_usd, "max_hours": ready.wish.stop.max_hours},
        **(show.document(planned) if planned else {}),
    }


def estimated(ready: Ready) -> str:
    """`8 to 15 min, $0.14 to $0.27 (...)`."""
    if ready.estimate is None:
        return "not known: the base can't be looked at from here"
    return f"{ready.estimate.text} ({ready.estimate.how})"


def _facts(ready: Ready) -> Iterator[tuple[str, str]]:
    wish, tune, data = ready.wish, ready.tune, ready.data
    yield "base", ready.base_model.text
    held = f", {len(data.split.eval):,} held out" if data.split.eval else ", none held out"
    yield "data", f"{data.train.source.origin}: {len(data.split.train):,} rows{held}, {_tokens(ready)} tokens an epoch"
    mode = fits.quantized(wish, ready.base_model.parameters) if ready.base_model.parameters else wish.quantize
    base = {"nf4": "4 bits (NF4)", "none": "bfloat16", "auto": "bfloat16, above 5B in 4 bits"}.get(mode, mode)
    epochs = f"{wish.train.epochs:g} epoch{'s' * (wish.train.epochs != 1)}"
    yield "training", f"{epochs}, LoRA r {wish.lora.r} alpha {wish.lora.alpha}, lr {wish.train.lr:g}, base in {base}"
    attempts = f"at most {tune.retries + 1} attempts of {span(tune.timeout)}, each from the last checkpoint"
    yield "job", f"{tune.gpu_type}, {tune.cpu} CPU, {tune.memory}: {ready.hour} an hour; {attempts}"
    if ready.need:
        yield "GPU memory", f"about {gb(ready.need.total)} of {gb(fits.limit(tune.gpu_type))}"
    yield "estimate", estimated(ready)
    stop = wish.stop
    usd = "" if stop.max_usd is None else f"${stop.max_usd:,.2f}" if stop.max_usd >= 0.01 else f"${stop.max_usd:g}"
    kept = [usd, f"{stop.max_hours:g} h" if stop.max_hours else ""]
    if any(kept):
        yield "ends at", f"{' or '.join(filter(None, kept))}: it saves, stops and publishes the best until then"
    for kind, uri in places(ready.run.bucket, wish.name, ready.run.run_id, wish.output).items():
        yield f"new {kind}", uri


def _built(planned: Plan) -> tuple[Block, ...]:
    """What comes before the first second of the run: the worker's image, once for each version of it."""
    if not any(isinstance(step.resource, Image) for step in planned.work):
        return ()
    cost = prices.built(plan_time.BUILD / 60)
    return (Line(f"the image is built first, once for each version of gemmactl: about {span(plan_time.BUILD)}, {cost}", "dim"),)


def _tokens(ready: Ready) -> str:
    seen = ready.made.lengths
    return f"{'about ' if seen.sampled or not seen.exact else ''}{seen.tokens:,}"


def _cautions(ready: Ready) -> Iterator[Block]:
    found, tune, stop = ready.estimate, ready.tune, ready.wish.stop
    yield from cautions(ready.made)
    if found is None:
        return
    if stop.max_usd is not None and found.usd is not None and found.usd.least > stop.max_usd:
        yield Item(
            "?", f"--max-usd {stop.max_usd:g} ends it before all steps: from ${found.usd.least:.2f} is expected", (), "warn"
        )
    if stop.max_hours is not None and found.seconds.least > stop.max_hours * 3600:
        least = span(found.seconds.least)
        yield Item("?", f"--max-hours {stop.max_hours:g} ends it before all steps: {least} or more is expected", (), "warn")
    granted = (tune.retries + 1) * tune.timeout
    if found.seconds.most > granted:
        more = "it is started again while somebody follows it; `gemmactl finetune resume` does the same"
        yield Item("?", f"{tune.retries + 1} attempts of {span(tune.timeout)} may not be enough", (more,), "warn")
    if tune.timeout > SLICE:
        yield Item("?", f"--timeout {span(tune.timeout)}: Cloud Run documents {span(SLICE)} for a task with a GPU", (), "warn")
    if ready.hour.certainty is Certainty.AT_LEAST:
        yield Line(f"{tune.region} is dearer than {prices.LIST_REGION}, whose list prices these are ({prices.LIST_DATE})", "dim")
