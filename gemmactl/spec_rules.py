"""The rules that a wish must keep before any call; each refusal names the legal choices. limits.py has the numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gemmactl import access_rules, hands_rules, limits, probe_rules
from gemmactl.errors import usage
from gemmactl.limits import GPUS, Gpu
from gemmactl.spec import Serve
from gemmactl.spec_parts import Sized
from inference_image.contract import CONTEXT_MOST, ENV_MODEL_NAME, ENV_PIN


def check(serve: Serve) -> None:
    """All rules in order; the first that is broken speaks.

    Raises:
        Trouble: (usage) a wish that Cloud Run would reject, or accept and never fulfil.
    """
    for rule in RULES:
        rule(serve)


def gib(memory: str) -> float:
    """`32Gi` -> 32.0; also Mi, G, M and plain bytes, as gcloud takes them."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(Gi|Mi|G|M|)", memory)
    if not found:
        raise usage(
            f"--memory {memory!r} is not a size",
            why="a size is a number with Gi or Mi",
            remedy="for example --memory 32Gi",
            code="memory-illegal",
        )
    factor = {"Gi": 2**30, "Mi": 2**20, "G": 10**9, "M": 10**6, "": 1}[found[2]]
    return float(found[1]) * factor / 2**30


def gpu(name: str) -> Gpu:
    """The row of an accelerator."""
    if name not in GPUS:
        raise usage(
            f"--gpu-type {name!r} is not a GPU of Cloud Run",
            why=f"there are {' and '.join(GPUS)}",
            remedy="choose one of them",
            code="gpu-unknown",
        )
    return GPUS[name]


def regions(row: Gpu) -> tuple[str, ...]:
    """Where the GPU is, as a reader needs to know it."""
    return tuple(name + (" (on invitation)" if name in row.invited else "") for name in row.regions)


def sizes_text(row: Gpu) -> str:
    """The legal pairs in one line."""
    return "; ".join(
        f"--cpu {cpu} with {low}Gi" + (f" to {high}Gi" if high != low else "") for cpu, (low, high) in row.sizes.items()
    )


def partner(row: Gpu, cpu: int | None, memory: str | None, need: float = 0) -> tuple[int, str]:
    """The smallest legal (CPU, memory) that holds `need` GiB, keeping what is given.

    Where no pair is large enough it is the largest; where no partner is legal it is the GPU's default, which `check` refuses.
    """
    if cpu is not None and memory is not None:
        return cpu, memory
    if memory is not None:
        fits = [count for count, (low, high) in row.sizes.items() if low <= gib(memory) <= high]
        return (fits[0] if fits else row.default_cpu), memory
    if cpu is not None:
        low, high = row.sizes.get(cpu, (0, 0))
        return cpu, f"{min(high, max(low, math.ceil(need)))}Gi" if high else row.default_memory
    count = next((count for count, (_, high) in row.sizes.items() if need <= high), max(row.sizes))
    return partner(row, count, None, need)


def default_pair(row: Gpu, cpu: int | None, memory: str | None) -> tuple[int, str]:
    """What is given with a legal partner, or what Google recommends for the GPU: for a model of unknown size."""
    if cpu is None and memory is None:
        return row.default_cpu, row.default_memory
    return partner(row, cpu, memory, gib(row.default_memory))


def _name(serve: Serve) -> None:
    if not re.fullmatch(rf"[a-z]([a-z0-9-]{{0,{limits.NAME_MOST - 2}}}[a-z0-9])?", serve.name):
        raise usage(
            f"{serve.name!r} can't be the name of a service",
            why=f"1 to {limits.NAME_MOST} lower-case letters, digits and hyphens, a letter first, no hyphen last",
            remedy="choose another with --name",
            code="name-illegal",
        )


def region(serve: Sized) -> None:
    """The region has the GPU."""
    row = gpu(serve.gpu_type)
    if serve.region not in row.regions:
        near = [r for r in row.regions if r.partition("-")[0] == serve.region.partition("-")[0]]
        raise usage(
            f"Cloud Run has no {row.name} in region {serve.region!r}",
            why=f"regions with it: {', '.join(regions(row))}",
            remedy=f"add --region {near[0] if near else row.regions[0]}",
            code="region-without-gpu",
        )


def size(serve: Sized) -> None:
    """CPU and memory are a pair that goes with the GPU."""
    row = gpu(serve.gpu_type)
    memory = gib(serve.memory)
    if serve.cpu not in row.sizes:
        raise usage(
            f"--cpu {serve.cpu} can't go with {row.name}",
            why=f"it needs at least {min(row.sizes)} CPU; legal: {sizes_text(row)}",
            remedy=f"choose --cpu {row.default_cpu} --memory {row.default_memory}",
            code="cpu-illegal",
        )
    low, high = row.sizes[serve.cpu]
    if not low <= memory <= high:
        fits = [cpu for cpu, (least, most) in row.sizes.items() if least <= memory <= most]
        remedy = f"choose --cpu {fits[0]} for {serve.memory}" if fits else f"choose --memory {low if memory < low else high}Gi"
        raise usage(
            f"--cpu {serve.cpu} and --memory {serve.memory} are not a legal pair with {row.name}",
            why=f"legal: {sizes_text(row)}",
            remedy=remedy,
            code="cpu-memory-pair",
        )


def _throttling(serve: Serve) -> None:
    if serve.cpu_throttling:
        raise usage(
            "--cpu-throttling can't be used with a GPU",
            why="Cloud Run bills GPU instances by their life time and keeps their CPU on",
            remedy="leave it out, or say --no-cpu-throttling",
            code="throttling-with-gpu",
        )


_UNITS: Final = {"--timeout": " seconds", "--min-instances": ", which is --max-instances", "--max-context": " tokens"}


def _numbers(serve: Serve) -> None:
    for flag, value, low, high in (
        ("--concurrency", serve.concurrency, 1, limits.CONCURRENCY_MOST),
        ("--timeout", serve.timeout, 1, limits.TIMEOUT_MOST),
        ("--max-instances", serve.max_instances, 1, limits.INSTANCES_MOST),
        ("--min-instances", serve.min_instances, 0, serve.max_instances),
        ("--max-context", 1 if serve.context is None else serve.context, 1, CONTEXT_MOST),
    ):
        if not low <= value <= high:
            unit = _UNITS.get(flag, "")
            raise usage(
                f"{flag} {value} is out of range",
                why=f"legal: {low} to {high}{unit}",
                remedy=f"choose {flag} between {low} and {high}" + (", or raise --max-instances" if "--min" in flag else ""),
                code="out-of-range",
            )


def _environment(serve: Serve) -> None:
    variables(
        serve.env,
        [name for name, _ in serve.secrets],
        {ENV_PIN: "it names the weights that a deploy approved, and is written with each revision"},
    )


def variables(env: Sequence[tuple[str, str]], secrets: Sequence[str], own: Mapping[str, str]) -> None:
    """The rules of the user's variables. `secrets`: names of those that hold a secret; `own`: gemmactl's, and what each is for.

    Raises:
        Trouble: (usage) a name that is taken, or a value that is too long.
    """
    names = [*(name for name, _ in env), *secrets]
    for name in names:
        if name in limits.ENV_RESERVED or name.startswith(limits.ENV_RESERVED_PREFIXES):
            raise usage(
                f"the variable {name} is reserved",
                why="Cloud Run sets PORT and every name that starts with K_, CLOUD_RUN_ or X_GOOGLE_",
                remedy="choose another name",
                code="env-reserved",
            )
        if name in own:
            raise usage(
                f"the variable {name} is gemmactl's own",
                why=own[name],
                remedy=f"leave {name} out of --set-env-vars",
                code="env-reserved",
            )
        if names.count(name) > 1:
            raise usage(
                f"the variable {name} is set twice",
                why="--set-env-vars and --set-secrets share their names",
                remedy="keep one of the two",
                code="env-twice",
            )
    for name, value in env:
        if len(value.encode()) > limits.ENV_VALUE_MOST:
            raise usage(
                f"the value of {name} is too long",
                why="Cloud Run takes 32 KiB for each variable",
                remedy="put it in a file of the model, or a secret",
                code="env-long",
            )


def _quantize(serve: Serve) -> None:
    if serve.int8 and serve.engine == "vllm":
        raise usage(
            "--quantize int8 is gemmactl's own engine's",
            why="vLLM reads weights as they are stored",
            remedy=f"leave --quantize out, or serve a quantised copy of the model (AWQ, GPTQ, compressed-tensors) without it;"
            f" or say --engine gemmactl, which makes int8 of {_int8()}",
            code="quantize-with-vllm",
        )


def _int8() -> str:
    """Families whose weights may become int8, then those that gemmactl serves in bfloat16 alone."""
    from inference_image.families import FAMILIES

    able, others = (", ".join(row.name for row in FAMILIES if row.served and row.int8 is int8) for int8 in (True, False))
    return f"{able} (not of {others})"


def loader(serve: Serve) -> None:
    """Asked again once the model's family has chosen an engine.

    Raises:
        Trouble: (usage) a bucket is to be mounted for an engine, or from a place, that has no use for it.
    """
    if serve.loader != "fuse":
        return
    if serve.engine != "vllm":
        raise usage(
            "--loader fuse is vLLM's",
            why="gemmactl's own engine reads the bucket itself, in parallel, which a mounted one is not",
            remedy="add --engine vllm, or leave --loader out",
            code="loader-engine",
        )
    if serve.model.kind == "hf":
        raise usage(
            "--loader fuse can't mount a model of the Hub",
            why="it shows a bucket's folder to the container",
            remedy="`gemmactl copy hf:OWNER/NAME gs://BUCKET/FOLDER` brings it into one, or leave --loader out",
            code="loader-place",
        )


def _loader(serve: Serve) -> None:
    if serve.engine_given or serve.engine == "vllm":
        loader(serve)


def _adapters(serve: Serve) -> None:
    if not serve.adapters:
        return
    if serve.engine == "vllm":
        raise usage(
            "--adapter can't go with vLLM",
            why="vLLM loads adapters from a disk of its own or the Hub, not from a bucket; gemmactl's own server reads them",
            remedy=f"{access_rules.OWN_SERVER}; or merge the adapter into its model",
            code="adapter-with-vllm",
        )
    own = dict(serve.env).get(ENV_MODEL_NAME, serve.model.leaf)
    if own in dict(serve.adapters):
        raise usage(
            f"an adapter can't be called {own}",
            why="that is the model's own name: requests could not tell them apart",
            remedy="give the adapter another name",
            code="adapter-name",
        )


RULES: Final[tuple[Callable[[Serve], None], ...]] = (
    _name,
    region,
    size,
    _throttling,
    probe_rules.check,
    _numbers,
    _environment,
    _quantize,
    _loader,
    hands_rules.check,
    _adapters,
    access_rules.check,
)
