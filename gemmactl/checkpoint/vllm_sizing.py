"""What vLLM's command line needs to know of a model: weights, cache, context, requests at once. All estimates; knows no file.

vLLM measures its own work at start and gives what is left to the cache, so only the weights are certain: a model whose weights
alone exceed its share of the GPU is refused, everything else is a caution at most. Not measured on a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gemmactl import limits, spec_rules, vllm
from gemmactl.checkpoint import container
from gemmactl.checkpoint.finding import ModelFinding
from gemmactl.checkpoint.too_large import gb
from gemmactl.errors import refused
from gemmactl.limits import Gpu
from gemmactl.spec import Probe, Serve
from inference_image import contract

WORK: Final = 2 << 30
"""Activations of one batch, sampling over a vocabulary of 262,144, CUDA graphs. An estimate."""
TYPICAL: Final = 1024
"""Tokens that a request holds in the cache on average. An assumption: it only says how many may run at once."""
MOST: Final = 32
"""Requests at once; more wait in vLLM. A choice: an L4 computes no faster with more of them."""
UNKNOWN: Final = 8
"""Requests at once where nothing is known of the model."""
LEAST_CONTEXT: Final = 1024
STEP: Final = 256

START: Final = 120.0
"""Seconds of a start beside the weights: imports, compilation, CUDA graphs. An estimate: 59 s were reported for a small model
with its compiled code in a cache (vllm issue 20264); Cloud Run starts with an empty one."""
RATE: Final = 100e6
SLACK: Final = 3.0


@dataclass(frozen=True)
class Foreign:
    """A model that vLLM is to serve. `weights`: bytes on the GPU, vision and quantised ones included; None: not known."""

    weights: int
    per_token: int | None
    """Bytes of cache for each token if every layer kept all of them: the most it can be, sliding layers keep less."""
    longest: int | None
    largest: int = 0
    """Bytes of the largest file; 0: not known."""

    @classmethod
    def of(cls, config: Mapping[str, Any], stored: int, largest: int = 0) -> Foreign:
        """From config.json and the bytes of all shards. Asks for nothing: what a config does not say stays unknown."""
        inner = config.get("text_config")
        text: Mapping[str, Any] = inner if isinstance(inner, Mapping) else config
        layers, heads = _natural(text, "num_hidden_layers"), _natural(text, "num_attention_heads")
        hidden = _natural(text, "hidden_size")
        groups = max(_natural(text, "num_key_value_heads") or heads or 0, _natural(text, "num_global_key_value_heads") or 0)
        wide = max(_natural(text, "head_dim") or 0, _natural(text, "global_head_dim") or 0)
        head = wide or (hidden // heads if hidden and heads else 0)
        cache = 2 * 2 * layers * groups * head if layers and groups and head else None
        return cls(stored // 2 if _float32(config, text) else stored, cache, _natural(text, "max_position_embeddings"), largest)


@dataclass(frozen=True)
class VllmFit:
    """The result. `share`: bytes that vLLM takes of the GPU; `cache`: what is left of it for keys and values."""

    share: int
    weights: int | None
    cache: int | None
    per_token: int | None
    context: int | None
    sequences: int
    longest: int | None
    cautions: tuple[ModelFinding, ...] = ()


def fit(serve: Serve, row: Gpu, model: Foreign | None) -> VllmFit:
    """Context and requests at once; the user's own stay.

    Raises:
        Trouble: (refused) the weights alone don't fit, or the context is longer than the model's.
    """
    share = int(row.usable * vllm.UTILIZATION)
    given = serve.context if "context" in serve.given else None
    if model is None:
        return VllmFit(share, None, None, None, given, UNKNOWN, None)
    if model.weights > share:
        raise _too_large(serve, row, model.weights, share)
    if given is not None and model.longest is not None and given > model.longest:
        raise refused(
            f"--max-context {given} is more than the model knows",
            why=f"config.json says max_position_embeddings {model.longest}; vLLM would refuse to start",
            remedy=f"use --max-context {model.longest} or less",
            code="context-too-long",
        )
    cache = max(0, share - model.weights - WORK)
    context = given or min(contract.DEFAULT_CONTEXT, model.longest or contract.DEFAULT_CONTEXT)
    tokens = cache // model.per_token if model.per_token else None
    if given is None and tokens is not None and tokens < context:
        context = max(min(LEAST_CONTEXT, context), tokens // STEP * STEP)
    sequences = UNKNOWN if tokens is None else max(1, min(MOST, tokens // min(TYPICAL, context)))
    cautions = (*_cautions(context, tokens, cache), *_host(serve, row, model))
    return VllmFit(share, model.weights, cache, model.per_token, context, sequences, model.longest, cautions)


def seconds(size: int | None) -> int:
    """(120 + bytes / 100 MB/s) x 3, at most what Cloud Run allows; that most when the size is not known."""
    if size is None:
        return limits.PROBE_BUDGET_MOST
    return min(limits.PROBE_BUDGET_MOST, math.ceil((START + size / RATE) * SLACK))


def probe(size: int | None, port: int) -> Probe:
    """HTTP on vLLM's /health every 2 s: an attempt on its closed port ends at once."""
    return Probe(path=vllm.HEALTH, port=port, timeout=2, period=2, failures=math.ceil(seconds(size) / 2))


def _cautions(context: int, tokens: int | None, cache: int) -> Iterator[ModelFinding]:
    if tokens is not None and tokens < context:
        yield ModelFinding(
            "vllm-cache-small",
            "warning",
            "--max-context",
            f"beside the weights about {gb(cache)} are left for the cache, {tokens} tokens at least; {context} are asked for"
            " (an estimate: vLLM measures it at start, and refuses to start when it is too little)",
            remedy="lower --max-context, or choose a larger GPU",
        )


def mounted_need(largest: int) -> int:
    """Host memory of a start from a mounted bucket: two processes, and one file at a time that is read whole."""
    return 2 * container.RUNTIME + largest


def _host(serve: Serve, row: Gpu, model: Foreign) -> Iterator[ModelFinding]:
    need = mounted_need(model.largest)
    _, memory = container.pair(row, serve, None)
    if serve.loader == "fuse" and spec_rules.gib(memory) * container.GIB < need:
        yield ModelFinding(
            "host-memory",
            "warning",
            "--memory",
            f"--loader fuse reads each file whole, the largest has {gb(model.largest)}: a start holds up to {gb(need)}"
            f" of host memory (an estimate), --memory is {memory}",
            remedy="raise --memory, save the model in smaller shards (max_shard_size), or leave --loader out",
        )


def _too_large(serve: Serve, row: Gpu, weights: int, share: int) -> Exception:
    larger = [gpu for gpu in limits.GPUS.values() if int(gpu.usable * vllm.UTILIZATION) >= weights and gpu.usable > row.usable]
    ways = [f"another GPU: --gpu-type {gpu.name} (regions: {', '.join(spec_rules.regions(gpu))})" for gpu in larger]
    ways.append("a quantised copy of the model (AWQ, GPTQ, compressed-tensors), which vLLM reads as it is")
    return refused(
        f"the model does not fit {row.name}",
        why=f"its weights are {gb(weights)}; vLLM takes {vllm.UTILIZATION:.0%} of {gb(row.usable)}, which is {gb(share)}",
        remedy="\n".join(ways),
        code="model-too-large",
        facts={"gpu": row.name, "usable_bytes": row.usable, "weights_bytes": weights, "engine": serve.engine},
    )


def _float32(config: Mapping[str, Any], text: Mapping[str, Any]) -> bool:
    """Whether full weights are stored in float32: vLLM casts them to bfloat16. Quantised ones stay as they are."""
    kinds = {str(one.get("dtype") or one.get("torch_dtype") or "") for one in (config, text)}
    return "float32" in kinds and not config.get("quantization_config")


def _natural(config: Mapping[str, Any], name: str) -> int | None:
    value = config.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 1 << 24 else None
