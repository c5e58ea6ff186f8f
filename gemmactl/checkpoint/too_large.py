"""A model that does not fit its GPU: the refusal, with each way out computed and marked as possible or not. Knows no cloud."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gemmactl import limits, spec_rules
from gemmactl.checkpoint.memory import Architecture, Demand, demand, longest_context
from gemmactl.errors import Trouble, refused
from gemmactl.limits import Gpu
from gemmactl.spec import Serve


def gb(size: float) -> str:
    """Bytes for people: decimal GB, or MB below one."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"


def sum_of(need: Demand) -> str:
    """The arithmetic in one line."""
    return f"weights {gb(need.weights)} + keys and values {gb(need.kv)} + work memory {gb(need.work)} = {gb(need.total)}"


def refusal(serve: Serve, row: Gpu, shape: Architecture, tokens: int, *, item: int, stored: int, least: int) -> Trouble:
    """The Trouble for a model that at `tokens` of context does not fit; `least`: the shortest context worth serving."""
    need = demand(shape, tokens, item=item, stored=stored, int8=serve.int8)
    asked = "context" in serve.given
    shorter = longest_context(shape, row.usable, min(tokens, shape.longest), item=item, stored=stored, int8=serve.int8)
    if asked and shorter >= least:
        what, code = f"--max-context {tokens} does not fit {row.name}", "context-too-large"
    else:
        what, code = f"the model does not fit {row.name}", "model-too-large"
    return refused(
        what,
        why=f"{sum_of(need)} at a context of {tokens} tokens; {row.name} has {gb(row.usable)}",
        remedy="\n".join(_ways(serve, row, shape, tokens, item=item, stored=stored, least=least)),
        code=code,
        facts={
            "gpu": row.name,
            "usable_bytes": row.usable,
            "weights_bytes": need.weights,
            "kv_bytes": need.kv,
            "work_bytes": need.work,
            "need_bytes": need.total,
            "context": tokens,
        },
    )


def _ways(serve: Serve, row: Gpu, shape: Architecture, tokens: int, *, item: int, stored: int, least: int) -> Iterator[str]:
    int8 = serve.int8
    shorter = longest_context(shape, row.usable, min(tokens, shape.longest), item=item, stored=stored, int8=int8)
    if shorter >= least:
        yield f"shorter context: --max-context {shorter} fits"
    small = demand(shape, tokens, item=item, stored=stored, int8=True).total
    if not int8 and shape.int8:
        word = "--quantize int8 fits" if small <= row.usable else "would not fit either"
        yield f"8-bit weights: {gb(small)}, {word}"
    for other in limits.GPUS.values():
        if other.usable > row.usable:
            there = demand(shape, tokens, item=item, stored=stored, int8=int8).total
            if there <= other.usable:
                where = f"{gb(there)} of {gb(other.usable)}; regions: {', '.join(spec_rules.regions(other))}"
                yield f"another GPU: {_flags(serve, other)} ({where})"
    if item == 4:
        half = demand(shape, tokens, stored=stored, int8=int8).total
        if half <= row.usable:
            yield f"bfloat16: without GEMMACTL_DTYPE=float32 it needs {gb(half)} and fits"
    if small <= row.usable:
        yield "quantised weights: --engine vllm serves a copy of the model in AWQ, GPTQ or compressed-tensors"
    if shape.eyes is None:
        yield "text only: counted so already, no vision tower is loaded"
        return
    blind = demand(replace(shape, eyes=None), tokens, item=item, stored=stored).total
    yield f"text only: without --images it needs {gb(blind)} and {'fits' if blind <= row.usable else 'does not fit either'}"


def _flags(serve: Serve, other: Gpu) -> str:
    region = "" if serve.region in other.regions else f" --region {_near(serve.region, other)}"
    without = [f"--{name}" for name in ("cpu", "memory") if name in serve.given]
    return f"--gpu-type {other.name}{region}" + (f", without {' and '.join(without)}" if without else "")


def _near(region: str, other: Gpu) -> str:
    open_ones = [name for name in other.regions if name not in other.invited]
    return next((name for name in open_ones if name.partition("-")[0] == region.partition("-")[0]), open_ones[0])
