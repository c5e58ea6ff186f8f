"""Owns what a checkpoint looks like: config, index, headers, key layouts, completeness. Standard library only; reads no file."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from inference_image import contract, families
from inference_image.contract import Code, LoadFailed
from inference_image.families import FAMILIES, GEMMA3, Family

ITEM_SIZE: Final = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "C64": 8, "F64": 8, "I64": 8, "U64": 8,
}  # fmt: skip
SERVABLE: Final = frozenset({"BF16", "F16", "F32"})
"""Source dtypes that become the model's own on arrival; all others are quantised or foreign formats."""

HEADER_LIMIT: Final = 100_000_000
"""safetensors' own limit on a header, in bytes."""
INDEX_LIMIT: Final = 32 << 20
TEMPLATE_LIMIT: Final = 64 << 10
"""Largest chat template. The longest that we know, of a model that calls tools, has 20 KB; 64 KiB of nothing but expressions
take up to 1.8 s to compile (measured on a busy CPU)."""
SMALL_FILE_LIMIT: Final = 128 << 20
"""Largest tokenizer or config that we read into memory; Gemma 3's tokenizer.json has 33 MB."""
_MOST_DIMENSIONS: Final = 8
_LARGEST: Final = 1 << 48


@dataclass(frozen=True)
class Tensor:
    """One row of a shard's header: `begin` and `end` are byte offsets in the object, header included."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    object: str
    begin: int
    end: int


@dataclass(frozen=True)
class Index:
    """model.safetensors.index.json: which key lies in which shard."""

    weight_map: Mapping[str, str]

    @property
    def shards(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.weight_map.values())))


@dataclass(frozen=True)
class Completeness:
    """The difference between the tensors that a model has and those that a checkpoint brings."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]

    @property
    def whole(self) -> bool:
        return not (self.missing or self.unexpected or self.mismatched)


# --- JSON from outside ----------------------------------------------------------------------------


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("the same key twice")
    return made


def parse_json(data: bytes, name: str, code: Code) -> dict[str, Any]:
    """One JSON object, or LoadFailed(code) that names the file. Deep nesting and doubled keys are refused."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        raise LoadFailed(code, name, f"not valid JSON: {error}"[:200]) from None
    if not isinstance(value, dict):
        raise LoadFailed(code, name, "not a JSON object")
    return value


def _natural(value: object, most: int = _LARGEST) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


# --- config ---------------------------------------------------------------------------------------


def family(config: Mapping[str, Any]) -> Family:
    """The row of a config.json that this version's engine serves. Raises LoadFailed(family_unsupported) with the way out."""
    row = families.of(config)
    if row is not None and row.served:
        return row
    kind = str(config.get("model_type"))[:60]
    if row is not None:
        detail = f"{row.name} (model_type {kind!r}): {row.reason}; {row.way_out}"
    else:
        served = ", ".join(name for one in FAMILIES if one.served for name in one.model_types)
        near = families.nearest(config.get("model_type"))
        like = f", which looks most like {near.name}" if near is not None else ""
        detail = f"model_type is {kind!r}{like}; served: {served}; another server may know it: --engine vllm"
    raise LoadFailed(Code.FAMILY_UNSUPPORTED, contract.CONFIG, detail)


def text_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the language model inside config.json, for the text-only and the multimodal types of a family.

    Raises LoadFailed: family_unsupported, dtype_unsupported (a quantised checkpoint) or config_invalid.
    """
    row, kind = family(config), config["model_type"]
    inner = config if kind in row.text_types else config.get("text_config")
    if not isinstance(inner, Mapping):
        raise LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, f"a {kind} config without a text_config object")
    family({**inner, "model_type": row.text_types[0]})  # vectors come from a text part that looks both ways, too
    for place in (config, inner):
        if place.get("quantization_config"):
            raise LoadFailed(
                Code.DTYPE_UNSUPPORTED, contract.CONFIG, "a quantised checkpoint (quantization_config); bring bfloat16 weights"
            )
    made = dict(inner)
    # Multimodal configs keep these outside of text_config.
    for name in ("eos_token_id", "bos_token_id", "pad_token_id", "tie_word_embeddings"):
        if name in config and name not in made:
            made[name] = config[name]
    return made


# The defaults of transformers' config class for Gemma 3's text: multimodal checkpoints write only what differs from them.
_DEFAULTS: Final = {
    "vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
}  # fmt: skip


def expected(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """{name: shape} of every stored parameter of the family's text class, from text_config's result, before torch is imported.

    A tied `lm_head.weight` is not in it. Raises LoadFailed(config_invalid).
    """
    sizes = {name: config.get(name, default) for name, default in _DEFAULTS.items()}
    for name, size in sizes.items():
        if not _natural(size, 1 << 24) or size == 0:
            raise LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, f"{name} is {str(size)[:40]}, not a positive integer")
    hidden, inner, head = sizes["hidden_size"], sizes["intermediate_size"], sizes["head_dim"]
    queries, keys = sizes["num_attention_heads"] * head, sizes["num_key_value_heads"] * head
    if sizes["num_hidden_layers"] > 1024:
        raise LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, f"num_hidden_layers is {sizes['num_hidden_layers']}")
    layer: dict[str, tuple[int, ...]] = {
        "self_attn.q_proj.weight": (queries, hidden),
        "self_attn.k_proj.weight": (keys, hidden),
        "self_attn.v_proj.weight": (keys, hidden),
        "self_attn.o_proj.weight": (hidden, queries),
        "self_attn.q_norm.weight": (head,),
        "self_attn.k_norm.weight": (head,),
        "mlp.gate_proj.weight": (inner, hidden),
        "mlp.up_proj.weight": (inner, hidden),
        "mlp.down_proj.weight": (hidden, inner),
        "input_layernorm.weight": (hidden,),
        "post_attention_layernorm.weight": (hidden,),
        "pre_feedforward_layernorm.weight": (hidden,),
        "post_feedforward_layernorm.weight": (hidden,),
    }
    if config.get("attention_bias"):
        rows = {"q_proj": queries, "k_proj": keys, "v_proj": keys, "o_proj": hidden}
        layer |= {f"self_attn.{name}.bias": (size,) for name, size in rows.items()}
    made: dict[str, tuple[int, ...]] = {
        EMBEDDING: (sizes["vocab_size"], hidden),
        "model.norm.weight": (hidden,),
    }
    for number in range(sizes["num_hidden_layers"]):
        made |= {f"model.layers.{number}.{name}": shape for name, shape in layer.items()}
    if config.get("tie_word_embeddings") is False:
        made[HEAD] = made[EMBEDDING]
    return made


EMBEDDING: Final = "model.embed_tokens.weight"
HEAD: Final = "lm_head.weight"

# --- index and headers ----------------------------------------------------------------------------


def parse_index(data: bytes) -> Index:
    """Raises LoadFailed(index_invalid), also for a shard name that would leave the model's folder."""
    weight_map = parse_json(data, contract.INDEX, Code.INDEX_INVALID).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise LoadFailed(Code.INDEX_INVALID, contract.INDEX, "no weight_map in it")
    for key, shard in weight_map.items():
        if not isinstance(shard, str) or not re.fullmatch(r"[\w.-]+\.safetensors", shard):
            detail = f"{key[:80]}: {str(shard)[:80]!r} is not a safetensors file name"
            raise LoadFailed(Code.INDEX_INVALID, contract.INDEX, detail)
    return Index(weight_map)


def header_end(first: bytes, shard: str, size: int) -> int:
    """Where a shard's data begin, from its first 8 bytes and its size in bytes. Raises header_invalid or shard_truncated."""
    if size < 8 or len(first) < 8:
        raise LoadFailed(Code.SHARD_TRUNCATED, shard, f"{size} bytes are no safetensors file")
    length = int(struct.unpack("<Q", first[:8])[0])
    if length < 2 or length > HEADER_LIMIT:
        raise LoadFailed(Code.HEADER_INVALID, shard, f"a header of {length} bytes; not a safetensors file")
    if 8 + length > size:
        raise LoadFailed(Code.SHARD_TRUNCATED, shard, f"the header alone has {length} bytes, the object {size}")
    return 8 + length


def parse_header(data: bytes, shard: str, size: int) -> tuple[Tensor, ...]:
    """The tensor table of a shard from its first bytes (`header_end` of them) and its size, in order of their bytes.

    The data must be covered once, without gaps: what the safetensors format demands. Raises header_invalid or shard_truncated.
    """
    start = header_end(data, shard, size)
    rows = parse_json(bytes(data[8:start]), shard, Code.HEADER_INVALID)
    rows.pop("__metadata__", None)
    tensors = sorted((_row(name, row, shard, start) for name, row in rows.items()), key=lambda tensor: (tensor.begin, tensor.end))
    at = start
    for tensor in tensors:
        if tensor.begin != at:
            raise LoadFailed(Code.HEADER_INVALID, shard, f"{tensor.name[:80]}: a gap or an overlap at byte {at}")
        at = tensor.end
    if at > size:
        raise LoadFailed(Code.SHARD_TRUNCATED, shard, f"its header promises {at} bytes, the object has {size}")
    if at < size:
        raise LoadFailed(Code.HEADER_INVALID, shard, f"{size - at} bytes that its header doesn't know")
    return tuple(tensors)


def _row(name: str, row: object, shard: str, start: int) -> Tensor:
    """One entry of a header, checked as input from outside."""
    where = f"{name[:80]}: "
    if not isinstance(row, dict):
        raise LoadFailed(Code.HEADER_INVALID, shard, where + "not an object")
    dtype, shape, offsets = row.get("dtype"), row.get("shape"), row.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in ITEM_SIZE:
        raise LoadFailed(Code.HEADER_INVALID, shard, where + f"unknown dtype {str(dtype)[:20]!r}")
    if not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS or not all(_natural(size) for size in shape):
        raise LoadFailed(Code.HEADER_INVALID, shard, where + "bad shape")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_natural(offset) for offset in offsets):
        raise LoadFailed(Code.HEADER_INVALID, shard, where + "bad data_offsets")
    begin, end = offsets
    if end - begin != math.prod(shape) * ITEM_SIZE[dtype]:
        raise LoadFailed(Code.HEADER_INVALID, shard, where + "its bytes don't fit its shape")
    return Tensor(name, dtype, tuple(shape), shard, start + begin, start + end)


# --- key layouts ----------------------------------------------------------------------------------

PEFT: Final = "base_model.model."
# Buffers that older versions stored; the model computes them.
_COMPUTED: Final = re.compile(r"\.(?:rotary_emb(?:_local)?\.inv_freq|embed_tokens\.embed_scale)$")


def serving_name(key: str, row: Family = GEMMA3) -> str | None:
    """A checkpoint's key as the row's text class calls it; None for what text-only serving leaves out."""
    while key.startswith(PEFT):
        key = key.removeprefix(PEFT)
    return None if _COMPUTED.search(key) else families.own_name(row, key)


def wanted(tensors: Iterable[Tensor], row: Family = GEMMA3) -> dict[str, Tensor]:
    """{own name: tensor} of all that text-only serving needs. Raises keys_unexpected when two keys mean one tensor."""
    made: dict[str, Tensor] = {}
    for tensor in tensors:
        name = serving_name(tensor.name, row)
        if name is None:
            continue
        if name in made:
            raise LoadFailed(Code.KEYS_UNEXPECTED, tensor.object, f"{tensor.name} and {made[name].name} are the same tensor")
        made[name] = tensor
    return made


# --- completeness ---------------------------------------------------------------------------------


def compare(needed: Mapping[str, tuple[int, ...]], found: Mapping[str, Tensor]) -> Completeness:
    """Strict comparison of names and shapes. A stored `lm_head.weight` of a tied model is no surprise: raw dumps have it."""
    return Completeness(
        missing=tuple(sorted(needed.keys() - found.keys())),
        unexpected=tuple(sorted(found.keys() - needed.keys() - {HEAD})),
        mismatched=tuple(
            f"{name} is {list(found[name].shape)}, the config says {list(shape)}"
            for name, shape in sorted(needed.items() | ({(HEAD, needed[EMBEDDING])} if EMBEDDING in needed else set()))
            if name in found and found[name].shape != shape
        ),
    )


def _some(names: Sequence[str]) -> str:
    return f"{len(names)}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"


def require_complete(needed: Mapping[str, tuple[int, ...]], found: Mapping[str, Tensor], where: str) -> None:
    """Raises LoadFailed unless each needed tensor is there, once, in its shape and a servable dtype, and no other one.

    transformers would serve random weights in place of what is missing, and only log a table.
    """
    difference = compare(needed, found)
    if difference.unexpected:
        lora = any(".lora_" in name for name in difference.unexpected)
        advice = "; an adapter that is not merged into its model" if lora else ""
        raise LoadFailed(Code.KEYS_UNEXPECTED, where, _some(difference.unexpected) + advice)
    if difference.missing:
        raise LoadFailed(Code.KEYS_MISSING, where, _some(difference.missing))
    if difference.mismatched:
        raise LoadFailed(Code.SHAPE_MISMATCH, where, _some(difference.mismatched))
    for name, tensor in found.items():
        if tensor.dtype not in SERVABLE:
            raise LoadFailed(Code.DTYPE_UNSUPPORTED, tensor.object, f"{name} is {tensor.dtype}; served: BF16, F16, F32")


def check_index(index: Index, tensors: Iterable[Tensor]) -> None:
    """Raises keys_missing when a shard lacks a key that the index places in it."""
    there = {(tensor.name, tensor.object) for tensor in tensors}
    absent = sorted(key for key, shard in index.weight_map.items() if (key, shard) not in there)
    if absent:
        raise LoadFailed(Code.KEYS_MISSING, index.weight_map[absent[0]], f"the index places there {_some(absent)}")
