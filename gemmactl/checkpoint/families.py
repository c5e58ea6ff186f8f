"""The families of inference_image.families as inspect asks for them, and the forms a checkpoint comes in. Reads no file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gemmactl.spec import Serve, ServingEngine
from inference_image import contract
from inference_image.families import FAMILIES, GEMMA3, Engine, Family, nearest, of

__all__ = ["FAMILIES", "FORMS", "GEMMA3", "Engine", "Family", "Form", "choice", "engine_for", "form_of", "nearest", "of"]


@dataclass(frozen=True)
class Form:
    """How weights are stored. `method`: quant_method of quantization_config, in lower case; `engine`: what can read it."""

    key: str
    name: str
    method: str
    engine: Engine
    verified: str
    reason: str = ""
    way_out: str = ""


_MERGED: Final = "give the merged model in bfloat16"
_VLLM: Final = f"serve the folder with vLLM (--engine vllm), or {_MERGED}"

FORMS: Final[tuple[Form, ...]] = (
    Form("full", "all weights in safetensors", "", Engine.FAST, "loaded on CPU in every test run"),
    Form(
        "adapter",
        "LoRA adapter",
        "",
        Engine.NONE,
        "loaded on CPU beside its base, and answering as PEFT does",
        "an adapter alone is not a model: it changes one",
        "give its base model, and the adapter with --adapter NAME=FOLDER; or merge it (merge_and_unload) and save the whole",
    ),
    Form(
        "gguf",
        "GGUF",
        "",
        Engine.NONE,
        "recognised by its ending",
        "it is llama.cpp's own format; gemmactl and vLLM read safetensors",
        "give the safetensors checkpoint that it was made from",
    ),
    *(
        Form(
            method,
            name,
            method,
            Engine.VLLM,
            "recognised by quantization_config; not run",
            "gemmactl's engine reads bfloat16, float16 and float32 weights; this format needs its own kernels",
            _VLLM,
        )
        for method, name in (
            ("awq", "AWQ"),
            ("gptq", "GPTQ"),
            ("compressed-tensors", "compressed-tensors"),
            ("bitsandbytes", "bitsandbytes"),
        )
    ),
)


def engine_for(serve: Serve, family: Family | None = None, form: Form | None = None) -> ServingEngine:
    """What serves a model: as the user said; else vLLM where a table says so, and gemmactl's own server for everything else."""
    return serve.engine if serve.engine_given else choice(family, form)


def choice(family: Family | None, form: Form | None) -> ServingEngine:
    """What a deploy takes where nobody names an engine."""
    wanted = (family and (family.chosen or family.engine), form and form.engine)
    return "vllm" if Engine.VLLM in wanted else "gemmactl"


def form_of(names: Iterable[str], config: Mapping[str, Any] | None) -> Form:
    """The form of a folder, from the names in it and its config.json (None: there is none)."""
    there = set(names)
    rows = {form.key: form for form in FORMS}
    quantization = (config or {}).get("quantization_config")
    if isinstance(quantization, Mapping):
        method = str(quantization.get("quant_method") or "").lower()
        return rows.get(
            method, Form(method or "quantized", method or "quantized", method, Engine.VLLM, "not known", way_out=_MERGED)
        )
    whole = contract.INDEX in there or any(n.endswith(".safetensors") and n.startswith("model") for n in there)
    if not whole and there & {contract.ADAPTER_CONFIG, contract.ADAPTER_WEIGHTS}:
        return rows["adapter"]
    if not whole and any(n.endswith(".gguf") for n in there):
        return rows["gguf"]
    return rows["full"]
