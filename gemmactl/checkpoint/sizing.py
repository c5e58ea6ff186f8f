"""Derived settings: what a model and its GPU say about a wish. Pure; reads nothing. arithmetic.py shows how it came about.

What the user gave stays and is checked; everything else of spec.DERIVED is decided here, always to a legal value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from gemmactl import spec_rules
from gemmactl.checkpoint import budget, container, room, too_large, vllm_sizing
from gemmactl.checkpoint.container import GIB, Host
from gemmactl.checkpoint.finding import ModelFinding
from gemmactl.checkpoint.memory import Architecture, Demand, demand, longest_context, sequences_that_fit
from gemmactl.checkpoint.room import Room
from gemmactl.checkpoint.too_large import gb
from gemmactl.checkpoint.vllm_sizing import Foreign, VllmFit
from gemmactl.errors import refused, usage
from gemmactl.limits import Gpu
from gemmactl.spec import Serve
from inference_image import contract

LEAST_CONTEXT: Final = 1024
"""Tokens of prompt and answer below which a model is not served: most types of /generate answer with up to that many."""
ROUNDS: Final = 2
"""Requests that one instance takes for each that it computes at once: the others wait in the engine's queue, ready to go on."""
LEAST_TAKEN: Final = 4
"""Requests that one instance takes at least."""


@dataclass(frozen=True)
class Weights:
    """What must be known of a checkpoint: its shape, and the bytes of all its shards."""

    shape: Architecture
    bytes: int

    @property
    def stored(self) -> int:
        """Bytes of one stored value: 4 or 2. What else lies in the shards (a vision tower, a tied head) can only make it 4."""
        return 4 if self.bytes > 3 * self.shape.parameters else 2

    @property
    def loaded(self) -> int:
        """Bytes of what a start loads, as stored."""
        return (self.shape.parameters + self.shape.eye_parameters) * self.stored


@dataclass(frozen=True)
class Fit:
    """A model on its GPU at the chosen context."""

    weights: Weights
    context: int
    item: int
    """Bytes of one value in the engine's dtype."""
    int8: bool
    """Whether weights become int8 on arrival."""
    demand: Demand
    longest: int
    """The longest context that the GPU would hold."""
    sequences: int
    """Sequences of this context that the GPU would hold at once."""
    at_once: int
    """Those of them that the engine computes; `demand` counts so many."""


@dataclass(frozen=True)
class Sizing:
    """A wish with all derived values in place. `fit` and `host` are None where the model is not known before its start."""

    wish: Serve
    gpu: Gpu
    fit: Fit | None
    host: Host | None
    size: int | None
    """Bytes that a start reads."""
    cautions: tuple[ModelFinding, ...] = ()
    vllm: VllmFit | None = None
    """In place of `fit` where vLLM serves it."""


def derive(
    serve: Serve,
    weights: Weights | None,
    size: int | None,
    quota: Room,
    *,
    foreign: Foreign | None = None,
    existing: bool = False,
) -> Sizing:
    """Fill in what the user did not set. `weights`: None when nothing is known before the start (hf:), or with another server.
    `foreign`: the same for vLLM.

    `size`: bytes of all shards, for the time that a start may take. `existing`: the service is there already.

    Raises:
        Trouble: (refused) the model, its context or the instances don't fit, with what would; (usage) an illegal wish.
    """
    row = spec_rules.gpu(serve.gpu_type)
    if serve.engine == "vllm":
        return _for_vllm(serve, row, foreign, size, quota, existing=existing)
    host = container.host(weights.loaded, serve.env) if weights else None
    cpu, memory = container.pair(row, serve, host)
    fit = _fit(serve, row, weights) if weights else None
    wish = replace(
        serve,
        cpu=cpu,
        memory=memory,
        context=fit.context if fit else serve.context,
        concurrency=_concurrency(serve, fit),
        probe=serve.probe if "probe" in serve.given else budget.probe(size, serve.probe.port),
    )
    spec_rules.check(wish)
    return Sizing(wish, row, fit, host, size, (*_cautions(wish, host, size, fit), *room.check(wish, quota, existing=existing)))


def _for_vllm(serve: Serve, row: Gpu, model: Foreign | None, size: int | None, quota: Room, *, existing: bool) -> Sizing:
    """The container is what Google recommends for the GPU: two processes with torch, and a buffer that weights pass through."""
    fit = vllm_sizing.fit(serve, row, model)
    cpu, memory = container.pair(row, serve, None)
    wish = replace(
        serve,
        cpu=cpu,
        memory=memory,
        context=fit.context,
        concurrency=serve.concurrency if "concurrency" in serve.given else fit.sequences,
        probe=serve.probe if "probe" in serve.given else vllm_sizing.probe(size, serve.probe.port),
    )
    spec_rules.check(wish)
    return Sizing(wish, row, None, None, size, (*fit.cautions, *room.check(wish, quota, existing=existing)), fit)


def _fit(serve: Serve, row: Gpu, weights: Weights) -> Fit:
    shape, stored, item, int8 = weights.shape, weights.stored, _item(serve), serve.int8
    if int8 and not shape.int8:
        raise refused(
            "--quantize int8 is not made for this model's family",
            why="its modules were not tried so: the engine would refuse it at its start",
            remedy="leave --quantize out",
            code="quantize-family",
        )
    tokens = _context(serve, row, shape, item=item, stored=stored)
    held = sequences_that_fit(shape, row.usable, tokens, item=item, stored=stored, int8=int8)
    at_once = min(most_at_once(serve, shape), held)
    return Fit(
        weights,
        tokens,
        item,
        int8,
        demand(shape, tokens, sequences=at_once, item=item, stored=stored, int8=int8),
        longest=longest_context(shape, row.usable, shape.longest, item=item, stored=stored, int8=int8),
        sequences=held,
        at_once=at_once,
    )


def most_at_once(serve: Serve, shape: Architecture | None = None) -> int:
    """Requests that the engine computes at once where memory is no matter. Raises Trouble for more than any engine computes."""
    most = shape.at_once if shape is not None else contract.PARALLEL_SEQUENCES
    asked = container.number(serve.env, contract.ENV_MAX_SEQUENCES, 0)
    if asked > contract.PARALLEL_SEQUENCES:
        raise usage(
            f"{contract.ENV_MAX_SEQUENCES}={asked} is more than the engine computes at once",
            why=f"it computes {contract.PARALLEL_SEQUENCES} at most, and the container would refuse to start",
            remedy=f"use {contract.PARALLEL_SEQUENCES} or less, or leave it out",
            code="sequences-too-many",
        )
    return asked or most


def queue(serve: Serve) -> int:
    """Requests that wait before the engine refuses."""
    return container.number(serve.env, contract.ENV_MAX_QUEUE, contract.DEFAULT_QUEUE)


def _concurrency(serve: Serve, fit: Fit | None) -> int:
    """The user's, else as many as are computed and as many again that wait, so that none is refused.

    Without a `fit` it is not known how many memory holds: those that are computed at most. A stranger's image: LEAST_TAKEN.
    """
    if "concurrency" in serve.given:
        return serve.concurrency
    if serve.stranger:
        return LEAST_TAKEN
    if fit is None:
        return min(most_at_once(serve), 1 + queue(serve))
    return min(max(LEAST_TAKEN, ROUNDS * fit.at_once), fit.at_once + queue(serve))


def _item(serve: Serve) -> int:
    return 4 if dict(serve.env).get(contract.ENV_DTYPE, "").strip().lower() == "float32" else 2


def _context(serve: Serve, row: Gpu, shape: Architecture, *, item: int, stored: int) -> int:
    """The user's, checked; else as much as model, engine and GPU allow."""
    least = min(LEAST_CONTEXT, shape.longest)
    if serve.context is not None and "context" in serve.given:
        if serve.context > shape.longest:
            raise refused(
                f"--max-context {serve.context} is more than the model knows",
                why=f"config.json says max_position_embeddings {shape.longest}: it never saw a later position",
                remedy=f"use --max-context {shape.longest} or less",
                code="context-too-long",
            )
        if demand(shape, serve.context, item=item, stored=stored, int8=serve.int8).total > row.usable:
            raise too_large.refusal(serve, row, shape, serve.context, item=item, stored=stored, least=least)
        return serve.context
    most = min(shape.longest, contract.DEFAULT_CONTEXT)
    found = longest_context(shape, row.usable, most, item=item, stored=stored, int8=serve.int8)
    if found < least:
        raise too_large.refusal(serve, row, shape, least, item=item, stored=stored, least=least)
    return found


def _cautions(wish: Serve, host: Host | None, size: int | None, fit: Fit | None) -> Iterator[ModelFinding]:
    if host is not None and spec_rules.gib(wish.memory) * GIB < host.need:
        yield ModelFinding(
            "host-memory",
            "warning",
            "--memory",
            f"a load holds up to {gb(host.need)} of host memory (an estimate), --memory is {wish.memory}",
            remedy=f"raise --memory, or lower {contract.ENV_STAGING_MIB} with --set-env-vars",
        )
    if "probe" in wish.given and size is not None and wish.probe.budget < budget.seconds(size):
        yield ModelFinding(
            "probe-short",
            "warning",
            "--startup-probe",
            f"the startup probe gives up after {wish.probe.budget} s; from a slow bucket these weights may take"
            f" {budget.seconds(size)} s",
            remedy="raise failureThreshold, or leave --startup-probe out",
        )
    at_once, waiting = fit.at_once if fit else most_at_once(wish), queue(wish)
    if not wish.stranger and wish.concurrency > at_once + waiting:
        yield ModelFinding(
            "concurrency-queue",
            "warning",
            "--concurrency",
            f"--concurrency {wish.concurrency}: the engine computes {at_once}, lets {waiting} wait and answers 429 to more",
            remedy=f"lower it, or raise {contract.ENV_MAX_QUEUE} with --set-env-vars",
        )
