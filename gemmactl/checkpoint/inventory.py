"""What a model folder holds, checked before anything is deployed. Reads only; knows no torch and no tensor's values."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from gemmactl.checkpoint import families
from gemmactl.checkpoint.files import Files
from gemmactl.checkpoint.shards import Shard, measure
from gemmactl.errors import Trouble, refused
from gemmactl.spec import ServingEngine
from inference_image import contract

FAMILIES: Final = {"gemma3": "Gemma 3", "gemma3_text": "Gemma 3, text only"}
"""model_type of config.json -> what it is; all that this version serves."""
JSON_LIMIT: Final = 64 << 20
NAMED: Final = 5
"""Files that one message names; more are counted."""


@dataclass(frozen=True)
class Remark:
    """Something that does not stop a deploy but should be known."""

    code: str
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Inventory:
    """A folder that can be served. `bytes`: all shards together; `shards`: their names in order."""

    place: str
    bytes: int
    shards: tuple[str, ...]
    family: str
    """model_type of config.json."""
    remarks: tuple[Remark, ...] = field(default=())


def take(files: Files, engine: ServingEngine = "gemmactl") -> Inventory:
    """Look through the folder. `engine`: what is to serve it; vLLM reads more families, and quantised weights.

    Raises:
        Trouble: (refused) it can't be served: the object, why, and what to do.
    """
    sizes = files.sizes
    if not sizes:
        raise _stop(
            "model-not-found",
            files.place,
            f"there is nothing in {files.place}",
            files.emptiness,
            _meant(files, "check how it is spelled, or put the model there"),
        )
    config = _config(files, engine)
    names, index = _shards(files)
    shards = measure(files, names)
    if contract.TOKENIZER not in sizes:
        raise _stop(
            "tokenizer-missing",
            contract.TOKENIZER,
            f"{files.place} has no {contract.TOKENIZER}",
            "a merged model is often saved without its tokenizer; the server can't make one up",
            f"run tokenizer.save_pretrained into the folder and add {contract.TOKENIZER}",
        )
    _not_empty(files, contract.TOKENIZER)
    total = sum(s.size for s in shards)
    remarks = (*_config_remarks(config), *_shard_remarks(shards, index), *_missing_remarks(files, engine))
    return Inventory(files.place, total, names, str(config["model_type"]), remarks)


def _config(files: Files, engine: ServingEngine) -> dict[str, Any]:
    if contract.CONFIG not in files.sizes:
        below = sorted(n.removesuffix(f"/{contract.CONFIG}") for n in files.sizes if n.endswith(f"/{contract.CONFIG}"))
        why = "without it nothing tells which model this is"
        if below:
            why = f"the folder is one level too high: {contract.CONFIG} lies below it"
            remedy = "give " + " or ".join(f"{files.place}/{name}" for name in below[:NAMED])
        else:
            remedy = _meant(files, "give the folder that holds config.json, or upload the whole folder")
        raise _stop("config-missing", contract.CONFIG, f"{files.place} has no {contract.CONFIG}", why, remedy)
    config = _json(files, contract.CONFIG, "config-invalid")
    kind = config.get("model_type")
    if engine == "vllm" and isinstance(kind, str) and kind:
        return _for_vllm(files, config)
    if kind not in FAMILIES:
        raise _stop(
            "family-unsupported",
            contract.CONFIG,
            f"{files.place} is a model of type {kind!r}" if kind else f"{contract.CONFIG} in {files.place} has no model_type",
            f"this version serves {', '.join(FAMILIES)}",
            "give a Gemma 3 checkpoint",
        )
    if config.get("quantization_config"):
        raise _stop(
            "dtype-unsupported",
            contract.CONFIG,
            f"{files.place} is quantized",
            "the engine serves bfloat16 and float32 weights; quantized formats need their own kernels",
            "give the merged model in bfloat16",
        )
    return config


def _for_vllm(files: Files, config: dict[str, Any]) -> dict[str, Any]:
    """Any type may be tried with vLLM, which knows more of them than any table here; but not one that makes no text."""
    row = families.of(config)
    if row is not None and row.engine is families.Engine.NONE:
        raise _stop("family-unsupported", contract.CONFIG, f"{files.place} is {row.name}", row.reason, row.way_out)
    return config


def _shards(files: Files) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Names of the shards, each of them there, and the index (empty for a single file)."""
    sizes = files.sizes
    if contract.INDEX not in sizes:
        if contract.SINGLE_SHARD in sizes:
            return (contract.SINGLE_SHARD,), {}
        raise _no_weights(files)
    index = _json(files, contract.INDEX, "index-invalid")
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map or not all(isinstance(v, str) for v in weight_map.values()):
        raise _stop("index-invalid", contract.INDEX, f"{contract.INDEX} names no shards", "weight_map is missing or empty", _SAVE)
    names = tuple(sorted(set(weight_map.values())))
    if odd := [n for n in names if "/" in n or "\\" in n or n.startswith(".")]:
        raise _stop("index-invalid", contract.INDEX, f"{contract.INDEX} names {odd[0]!r}", "a shard lies beside its index", _SAVE)
    if gone := [n for n in names if n not in sizes]:
        raise _stop(
            "shard-missing",
            gone[0],
            f"{files.place} lacks {_listed(gone)} of {len(names)} shards",
            f"{contract.INDEX} names them: an upload stopped half-way",
            "upload the missing files; `gemmactl deploy DIR` uploads and checks a whole folder",
        )
    return names, index


def _no_weights(files: Files) -> Trouble:
    names = sorted(files.sizes)
    endings = {
        "adapter_model.safetensors": ("only a LoRA adapter", "merge it into its base model and save the result"),
        ".gguf": ("weights in GGUF, another engine's format", "give the safetensors checkpoint that it was made from"),
        ".bin": (
            "weights in PyTorch's old pickle format, which is never loaded",
            "save the model again: safetensors is the default",
        ),
    }
    for ending, (what, remedy) in endings.items():
        if any(n.endswith(ending) for n in names):
            return _stop(
                "shard-missing", contract.SINGLE_SHARD, f"{files.place} holds {what}", "the engine reads safetensors", remedy
            )
    below = sorted({n.rpartition("/")[0] for n in names if "/" in n and n.endswith(".safetensors")})
    if below:
        where = f"{files.place}/{below[0]}"
        return _stop(
            "shard-missing",
            contract.SINGLE_SHARD,
            f"the weights of {files.place} lie in {where}",
            "weights and config.json must lie in one folder",
            f"move them together, or give {where} if it is complete",
        )
    shards = [n for n in names if n.endswith(".safetensors")]
    why = f"there are {len(shards)} shards but no {contract.INDEX}" if shards else "no file ends in .safetensors"
    return _stop("shard-missing", contract.INDEX, f"{files.place} holds no weights that can be read", why, _SAVE)


_SAVE: Final = "save the model again with save_pretrained, and upload the whole folder"


def _config_remarks(config: dict[str, Any]) -> tuple[Remark, ...]:
    text = config.get("text_config")
    kinds = {str(c.get("dtype") or c.get("torch_dtype") or "") for c in (config, text) if isinstance(c, dict)}
    if "float16" not in kinds:
        return ()
    return (
        Remark(
            "float16",
            "config.json says float16: Gemma 3 overflows in it, so it is served in bfloat16",
            "train and merge in bfloat16; if the fine-tune ran in float16, look for NaN in its losses",
        ),
    )


def _shard_remarks(shards: tuple[Shard, ...], index: dict[str, Any]) -> tuple[Remark, ...]:
    metadata = index.get("metadata")
    told = metadata.get("total_size") if isinstance(metadata, dict) else None
    data = sum(s.data for s in shards)
    if not isinstance(told, int) or told == data:
        return ()
    # save_pretrained has written other numbers for tied or cast weights: the headers decide, this is only told
    return (
        Remark(
            "total-size",
            f"{contract.INDEX} says {told} bytes of tensors, the shards hold {data}",
            "harmless if the model was cast or its embeddings are tied",
        ),
    )


def _missing_remarks(files: Files, engine: ServingEngine) -> tuple[Remark, ...]:
    out = []
    if contract.GENERATION_CONFIG not in files.sizes:
        out.append(Remark("generation-config", f"no {contract.GENERATION_CONFIG}: the ends of an answer come from config.json"))
    if not {contract.CHAT_TEMPLATE, contract.TOKENIZER_CONFIG} & set(files.sizes):
        turns = "vLLM refuses the types `text` and `product`" if engine == "vllm" else "the type `text` uses Gemma's own turns"
        out.append(Remark("chat-template", f"no chat template: {turns}", "save the tokenizer with the model"))
    return tuple(out)


def _json(files: Files, name: str, code: str) -> dict[str, Any]:
    _not_empty(files, name)
    try:
        value = json.loads(files.read(name, 0, JSON_LIMIT))
    except (ValueError, RecursionError) as error:
        raise _stop(code, name, f"{name} in {files.place} is not JSON", str(error)[:200], _SAVE) from error
    if not isinstance(value, dict):
        raise _stop(code, name, f"{name} in {files.place} is not a JSON object", f"it is a {type(value).__name__}", _SAVE)
    return value


def _not_empty(files: Files, name: str) -> None:
    if files.sizes[name] == 0:
        raise _stop("file-empty", name, f"{name} in {files.place} is empty", "an upload stopped at its start", "upload it again")


def _meant(files: Files, otherwise: str) -> str:
    if any(name.endswith(".safetensors") for name in files.sizes):
        return otherwise  # the folder is the right one, and not whole
    from difflib import SequenceMatcher

    near = sorted(files.nearby(contract.CONFIG), key=lambda place: -SequenceMatcher(None, files.place, place).ratio())
    return f"did you mean {' or '.join(near[:3])}?" if near else otherwise


def _listed(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _stop(code: str, name: str, what: str, why: str, remedy: str) -> Trouble:
    return refused(what, why=why, remedy=remedy, code=code, facts={"object": name})
