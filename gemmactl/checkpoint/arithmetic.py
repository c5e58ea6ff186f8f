"""How derived settings came about: rows for people, a document for machines. Decides nothing; sizing does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from gemmactl import vllm
from gemmactl.checkpoint import budget, container, vllm_sizing
from gemmactl.checkpoint.sizing import ROUNDS, Fit, Sizing, most_at_once
from gemmactl.checkpoint.too_large import gb
from gemmactl.checkpoint.vllm_sizing import VllmFit
from gemmactl.spec import DERIVED, Probe, Serve
from inference_image import contract
from inference_image.contract import INT8, UNQUANTIZED

Row = tuple[str, str, str]
"""(what, value, how)"""


def rows(sizing: Sizing) -> tuple[Row, ...]:
    """Every step, in the order of the calculation."""
    if sizing.vllm is not None:
        return (*_vllm(sizing, sizing.vllm), *_around(sizing))
    gpu = tuple(_gpu(sizing, sizing.fit)) if sizing.fit else ()
    return (*gpu, *_container(sizing))


def document(sizing: Sizing) -> dict[str, Any]:
    """For machines: bytes are bytes, what is not known is null."""
    fit, wish = sizing.fit, sizing.wish
    need = fit.demand if fit else None
    other = sizing.vllm
    return {
        "engine": wish.engine,
        "gpu": {"type": sizing.gpu.name, "usable_bytes": sizing.gpu.usable, "source": sizing.gpu.usable_from},
        "quantize": INT8 if wish.int8 else UNQUANTIZED,
        "weights_bytes": need.weights if need else other.weights if other else None,
        "kv_bytes": need.kv if need else None,
        "work_bytes": need.work if need else None,
        "need_bytes": need.total if need else None,
        "longest_context": fit.longest if fit else None,
        "sequences_that_fit": fit.sequences if fit else None,
        "parallel_sequences": wish.concurrency if other else fit.at_once if fit else None,
        "host_need_bytes": sizing.host.wanted if sizing.host else None,
        **{name: getattr(wish, name) for name in DERIVED if name != "probe"},
        "probe": asdict(wish.probe) | {"budget_seconds": wish.probe.budget},
        "given": sorted(wish.given),
        "arithmetic": [{"what": what, "value": value, "how": how} for what, value, how in rows(sizing)],
        "cautions": [{"code": one.code, "what": one.what, "remedy": one.remedy} for one in sizing.cautions],
    }


def _gpu(sizing: Sizing, fit: Fit) -> Iterator[Row]:
    row, shape, need, item = sizing.gpu, fit.weights.shape, fit.demand, fit.item
    tokens = fit.context
    dtype = "bfloat16" if item == 2 else "float32"
    many = f"{fit.at_once} sequence{'s' * (fit.at_once != 1)} x {gb(shape.kv(tokens, item))}"
    each = f"{many}: {shape.kv_text(tokens, item)}"
    chunk = f"{min(tokens, contract.PROMPT_CHUNK)} tokens of a prompt {gb(need.activations)}"
    work = f"the engine keeps {gb(need.reserved)} free ({chunk}, logits, libraries), CUDA takes {gb(need.work - need.reserved)}"
    reach = f"the model knows {shape.longest}, the GPU holds {fit.longest}, the engine's default is {contract.DEFAULT_CONTEXT}"
    yield "GPU memory", gb(row.usable), f"{row.name}, {row.memory_gib} GB by name ({row.usable_from})"
    beside = f"; adapters {gb(shape.beside)} in float32" if shape.beside else ""
    eyes = f"{shape.eye_parameters:,} more of the vision tower" if shape.eyes else "no vision tower is loaded"
    yield "weights", gb(need.weights), f"{_count(fit, dtype)}{beside}; {eyes}"
    yield "keys, values", gb(need.kv), each
    yield "work memory", gb(need.work), f"{work}; an estimate, not measured on a GPU"
    if shape.eyes is not None:
        yield "images", f"{shape.eyes.tokens} tokens", f"of the context for each; {gb(shape.seeing(item))} of the work memory"
    if need.loads_highest:
        again = "the rows that become int8" if fit.int8 else "the largest tensor once more while it is cast"
        yield "load", gb(need.loading), f"weights, and {again}"
    alone = f"; one request alone {gb(need.serving - (fit.at_once - 1) * shape.kv(tokens, item))}" if fit.at_once > 1 else ""
    yield "needed", gb(need.total), f"{need.total / row.usable:.0%} of the GPU, {gb(row.usable - need.total)} stay free{alone}"
    yield "context", f"{tokens} tokens", f"{_who(sizing.wish, 'context')}: {reach}"
    most = f"the engine computes {most_at_once(sizing.wish, shape)} at most"
    yield "at once", f"{fit.at_once} request{'s' * (fit.at_once != 1)}", f"{most}, the GPU holds {fit.sequences} of this context"


def _count(fit: Fit, dtype: str) -> str:
    shape, item = fit.weights.shape, fit.item
    if not fit.int8:
        return f"{shape.parameters:,} parameters x {item} bytes ({dtype})"
    rest = shape.rows + shape.parameters - shape.matrices
    return f"{shape.matrices:,} parameters x 1 byte (int8) + {rest:,} scales and norms x {item} bytes ({dtype})"


def _vllm(sizing: Sizing, fit: VllmFit) -> Iterator[Row]:
    """Estimates, all of them: vLLM measures its own work when it starts."""
    row, wish = sizing.gpu, sizing.wish
    share = f"vLLM takes {vllm.UTILIZATION:.0%} of {gb(row.usable)} ({row.usable_from})"
    yield "engine", "vLLM", f"image {wish.image or wish.engine_image or vllm.IMAGE}; none of these numbers was measured on a GPU"
    yield "GPU memory", gb(fit.share), share
    if fit.weights is not None and fit.cache is not None:
        yield "weights", gb(fit.weights), "bytes of all shards, vision and quantised ones included; float32 is cast to half of it"
        left = f"what is left beside {gb(vllm_sizing.WORK)} of work memory (an estimate)"
        each = (
            f"; {fit.per_token} bytes for each token at most" if fit.per_token else "; the config does not say what a token takes"
        )
        yield "cache", gb(fit.cache), left + each
    if fit.context is None:
        yield "context", "auto", "vLLM takes the longest that fits: nothing is known of the model before its start"
    else:
        reach = f"the model knows {fit.longest or 'not how many'}, the default is at most {contract.DEFAULT_CONTEXT}"
        yield "context", f"{fit.context} tokens", f"{_who(wish, 'context')}: {reach}"
    how = f": computed together, {vllm_sizing.TYPICAL} tokens each assumed, at most {vllm_sizing.MOST}; more wait in vLLM"
    yield "concurrency", str(wish.concurrency), _who(wish, "concurrency") + how


def _around(sizing: Sizing) -> Iterator[Row]:
    wish, probe = sizing.wish, sizing.wish.probe
    way = f"weights pass through {gb(vllm.STREAM_BUFFER)}"
    if wish.loader == "fuse":
        way = "the mounted folder's files are read whole, one after the other"
    host = f"what Google recommends for this GPU; {way}"
    yield "CPU, memory", f"{wish.cpu}, {wish.memory}", f"{_who(wish, 'cpu', 'memory')}: {host}"
    yield "instances", f"at most {wish.max_instances}", _who(wish, "max_instances")
    if sizing.size is None:
        need = f"the size is not known here, so {vllm_sizing.seconds(None)} s, the most Cloud Run allows"
    else:
        rate = f"{gb(sizing.size)} at {vllm_sizing.RATE / 1e6:.0f} MB/s, assumed"
        need = (
            f"({vllm_sizing.START:.0f} s, estimated, + {rate}) x {vllm_sizing.SLACK:.0f} = {vllm_sizing.seconds(sizing.size)} s"
        )
    yield "start-up", f"{probe.budget} s", f"{_who(wish, 'probe')}: {_asked(probe)}; {need}"


def _container(sizing: Sizing) -> Iterator[Row]:
    wish, host = sizing.wish, sizing.host
    yield "concurrency", str(wish.concurrency), _who(wish, "concurrency") + _computed(sizing)
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


def _computed(sizing: Sizing) -> str:
    """How many of the requests that an instance takes are computed."""
    if sizing.wish.stranger:
        return ""
    if sizing.fit is None:
        return f": at most {most_at_once(sizing.wish)} are computed at once, as far as memory holds them; the others wait"
    rule = "" if "concurrency" in sizing.wish.given else f"{ROUNDS} for each that is computed, as far as the queue takes them; "
    return f": {rule}{sizing.fit.at_once} at once, the others wait in the engine's queue"


def _probe(probe: Probe, size: int | None) -> str:
    asked = _asked(probe)
    if size is None:
        return f"{asked}; the size is not known here"
    rate = f"{gb(size)} at {budget.RATE / 1e6:.0f} MB/s, assumed"
    return f"{asked}; these weights: ({budget.BASE:.0f} s + {rate}) x {budget.SLACK:.0f} = {budget.seconds(size)} s"


def _asked(probe: Probe) -> str:
    return f"{'TCP' if probe.tcp else f'HTTP {probe.path}'} every {probe.period} s, {probe.failures} times"


def _who(wish: Serve, *names: str) -> str:
    return "given" if set(names) <= wish.given else "partly given" if set(names) & wish.given else "derived"
