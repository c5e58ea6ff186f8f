"""How derived settings came about: rows for people, a document for machines. Decides nothing; sizing does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from gemmactl.checkpoint import budget, container
from gemmactl.checkpoint.sizing import WAITING, Fit, Sizing
from gemmactl.checkpoint.too_large import gb
from gemmactl.spec import DERIVED, Probe, Serve
from inference_image import contract

Row = tuple[str, str, str]
"""(what, value, how)"""


def rows(sizing: Sizing) -> tuple[Row, ...]:
    """Every step, in the order of the calculation."""
    gpu = tuple(_gpu(sizing, sizing.fit)) if sizing.fit else ()
    return (*gpu, *_container(sizing))


def document(sizing: Sizing) -> dict[str, Any]:
    """For machines: bytes are bytes, what is not known is null."""
    fit, wish = sizing.fit, sizing.wish
    need = fit.demand if fit else None
    return {
        "gpu": {"type": sizing.gpu.name, "usable_bytes": sizing.gpu.usable, "source": sizing.gpu.usable_from},
        "weights_bytes": need.weights if need else None,
        "kv_bytes": need.kv + need.prompt if need else None,
        "work_bytes": need.work if need else None,
        "need_bytes": need.total if need else None,
        "longest_context": fit.longest if fit else None,
        "sequences_that_fit": fit.sequences if fit else None,
        "parallel_sequences": contract.PARALLEL_SEQUENCES,
        "host_need_bytes": sizing.host.wanted if sizing.host else None,
        **{name: getattr(wish, name) for name in DERIVED if name != "probe"},
        "probe": asdict(wish.probe) | {"budget_seconds": wish.probe.budget},
        "given": sorted(wish.given),
        "arithmetic": [{"what": what, "value": value, "how": how} for what, value, how in rows(sizing)],
        "cautions": [{"code": one.code, "what": one.what, "remedy": one.remedy} for one in sizing.cautions],
    }


def _gpu(sizing: Sizing, fit: Fit) -> Iterator[Row]:
    row, shape, need, item = sizing.gpu, fit.weights.shape, fit.demand, fit.item
    tokens, at_once = fit.context, contract.PARALLEL_SEQUENCES
    dtype = "bfloat16" if item == 2 else "float32"
    kept = min(tokens, shape.window)
    ring = f"{gb(shape.kv(tokens, item))} while it is answered, as {shape.sliding} sliding layers keep {kept} tokens"
    prompt = f"2 x {shape.keys} x {item} bytes x {shape.layers} layers x {tokens} tokens, right after a prompt of that length"
    cuda = need.work - need.activations - need.spare
    work = f"reading a prompt {gb(need.activations)}, CUDA {gb(cuda)}, a tenth spare {gb(need.spare)}"
    reach = f"the model knows {shape.longest}, the GPU holds {fit.longest}, the engine's default is {contract.DEFAULT_CONTEXT}"
    yield "GPU memory", gb(row.usable), f"{row.name}, {row.memory_gib} GB by name ({row.usable_from})"
    yield "weights", gb(need.weights), f"{shape.parameters:,} parameters x {item} bytes ({dtype}); no vision tower is loaded"
    yield "keys, values", gb(need.kv + need.prompt), f"{prompt}; {ring}"
    yield "work memory", gb(need.work), f"{work}; an estimate, not measured on a GPU"
    if need.loads_highest:
        yield "load", gb(need.loading), "weights, and the largest tensor once more while it is cast"
    yield "needed", gb(need.total), f"{need.total / row.usable:.0%} of the GPU, {gb(row.usable - need.total)} stay free"
    yield "context", f"{tokens} tokens", f"{_who(sizing.wish, 'context')}: {reach}"
    count = f"{at_once} sequence{'s' * (at_once != 1)}"
    yield "at once", count, f"what this version's engine computes; the GPU would hold {fit.sequences}"


def _container(sizing: Sizing) -> Iterator[Row]:
    wish, host = sizing.wish, sizing.host
    rule = "" if "concurrency" in wish.given else f"{WAITING} for each that is computed; "
    why = f": {rule}{contract.PARALLEL_SEQUENCES} at once, the others wait in the engine's queue" if wish.image is None else ""
    yield "concurrency", str(wish.concurrency), _who(wish, "concurrency") + why
    if host is None:
        how = "nothing is known of the load, so what Google recommends for this GPU"
    else:
        how = (
            f"a load holds up to {gb(host.need)} on the host (runtime {gb(container.RUNTIME)} estimated, staging"
            f" {gb(host.staging)}, reads {gb(host.flight)}), {gb(host.wanted)} with a reserve; the smallest legal pair holds it"
        )
    yield "CPU, memory", f"{wish.cpu}, {wish.memory}", f"{_who(wish, 'cpu', 'memory')}: {how}"
    most = "" if "max_instances" in wish.given else ": nothing can cost more than one GPU"
    yield "instances", f"at most {wish.max_instances}", _who(wish, "max_instances") + most
    yield "start-up", f"{wish.probe.budget} s", f"{_who(wish, 'probe')}: {_probe(wish.probe, sizing.size)}"


def _probe(probe: Probe, size: int | None) -> str:
    asked = f"{'TCP' if probe.tcp else f'HTTP {probe.path}'} every {probe.period} s, {probe.failures} times"
    if size is None:
        return f"{asked}; the size is not known here"
    rate = f"{gb(size)} at {budget.RATE / 1e6:.0f} MB/s, assumed"
    return f"{asked}; these weights: ({budget.BASE:.0f} s + {rate}) x {budget.SLACK:.0f} = {budget.seconds(size)} s"


def _who(wish: Serve, *names: str) -> str:
    return "given" if set(names) <= wish.given else "partly given" if set(names) & wish.given else "derived"
