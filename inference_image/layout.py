"""Owns what a checkpoint looks like: its files, index, headers, key layouts, completeness. Standard library only."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from inference_image import contract, families
from inference_image.architecture import family, text_config
from inference_image.contract import Code, LoadFailed
from inference_image.families import GEMMA3, Family
from inference_image.fields import capped, value
from inference_image.published import require_published
from inference_image.shapes import EMBEDDING, HEAD, expected, key_widths, layer_types, spare
from inference_image.small_files import (
    CONFIG_LIMIT,
    HEADER_LIMIT,
    INDEX_LIMIT,
    OVERRIDES_LIMIT,
    POINTED,
    POINTER,
    SEEING,
    SMALL,
    SMALL_FILE_LIMIT,
    TEMPLATE_LIMIT,
    TOKENIZER_CONFIG_LIMIT,
    check_pointer,
    check_size,
    limit_of,
    natural,
    parse_json,
)
from inference_image.tokenizer_file import check_tokenizer, require_unknown, require_vocabulary, token_ids, vocabulary
from inference_image.vision import Vision, vision

__all__ = [
    "CONFIG_LIMIT", "EMBEDDING", "HEAD", "HEADER_LIMIT", "INDEX_LIMIT", "ITEM_SIZE", "MOST_SHARDS", "OVERRIDES_LIMIT", "POINTED",
    "SEEING", "SERVABLE", "SMALL", "SMALL_FILE_LIMIT", "TEMPLATE_LIMIT", "TOKENIZER_CONFIG_LIMIT", "Completeness", "Index",
    "Tensor", "Vision", "capped", "check_index", "check_pointer", "check_size", "check_tokenizer", "compare", "expected",
    "family", "header_end", "key_widths", "layer_types", "limit_of", "parse_header", "parse_index", "parse_json",
    "require_complete", "require_files", "require_published", "require_unknown", "require_vocabulary", "serving_name",
    "shards_of", "spare", "text_config", "token_ids", "value", "vision", "vocabulary", "wanted", "weights",
]  # fmt: skip
"""All that the engine and inspect decide with: what one passes the other loads."""

ITEM_SIZE: Final = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "C64": 8, "F64": 8, "I64": 8, "U64": 8,
}  # fmt: skip
SERVABLE: Final = frozenset({"BF16", "F16", "F32"})
"""Source dtypes that become the model's own on arrival; all others are quantised or foreign formats."""

MOST_SHARDS: Final = 1024
"""safetensors files of one folder; the largest published checkpoints have a few hundred."""
_MOST_DIMENSIONS: Final = 8
_SHARD_END: Final = ".safetensors"
_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


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


# --- names and sizes ------------------------------------------------------------------------------


def weights(names: Iterable[str]) -> tuple[str, ...]:
    """The safetensors files of a folder that can be shards of its model."""
    return tuple(sorted(n for n in names if n.endswith(_SHARD_END) and "/" not in n and n != contract.ADAPTER_WEIGHTS))


def _instead(names: Iterable[str]) -> str:
    """What a folder without safetensors holds in their place."""
    there = sorted(name for name in names if "/" not in name)
    if contract.ADAPTER_CONFIG in there or contract.ADAPTER_WEIGHTS in there:
        return "; an adapter alone: it changes a model and is none; give its base, and this one with --adapter NAME=FOLDER"
    if gguf := [name for name in there if name.endswith(".gguf")]:
        return f"; {gguf[0][:80]} is llama.cpp's format: bring the safetensors that it was made from"
    if pickles := [name for name in there if name.endswith(_PICKLES)]:
        return f"; {pickles[0][:80]} is a pickle, which can run code: save the model as safetensors"
    return ""


def require_files(sizes: Mapping[str, int], where: str) -> None:
    """What can be said of a folder from its files' names and sizes, before a byte is read.

    Raises LoadFailed: model_unfinished, config_missing, tokenizer_missing, shard_missing, index_invalid, what check_size raises.
    """
    require_published(sizes, where)
    if contract.CONFIG not in sizes:
        detail = f"not in {where}{_instead(sizes) or ': is it the folder of a model?'}"
        raise LoadFailed(Code.CONFIG_MISSING, contract.CONFIG, detail)
    if contract.TOKENIZER not in sizes:
        raise LoadFailed(Code.TOKENIZER_MISSING, contract.TOKENIZER, f"not in {where}: save the tokenizer beside the weights")
    if not weights(sizes):
        raise LoadFailed(Code.SHARD_MISSING, contract.SINGLE_SHARD, f"no safetensors weights in {where}{_instead(sizes)}")
    if (count := len(weights(sizes))) > MOST_SHARDS:
        detail = f"{count} safetensors files in {where}; at most {MOST_SHARDS} are read"
        raise LoadFailed(Code.INDEX_INVALID, contract.INDEX, detail)
    for name in SMALL:
        if name in sizes:
            check_size(name, sizes[name])


def shards_of(index: Index | None, sizes: Mapping[str, int]) -> tuple[str, ...]:
    """The shards that the index names, or the single one. Raises LoadFailed: shard_missing, index_invalid, shard_truncated."""
    if index is None and contract.SINGLE_SHARD not in sizes:
        found = weights(sizes)
        detail = f"{len(found)} safetensors files, none of them {contract.SINGLE_SHARD}, and no index that says what is in them"
        raise LoadFailed(Code.INDEX_INVALID, contract.INDEX, detail)
    names = index.shards if index is not None else (contract.SINGLE_SHARD,)
    if absent := [name for name in names if name not in sizes]:
        more = f"; {len(absent)} of {len(names)} shards are missing" if len(absent) > 1 else ""
        raise LoadFailed(Code.SHARD_MISSING, absent[0], f"the index names it, and it is not there{more}")
    for name in names:
        check_size(name, sizes[name])
    return names


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
    if first[:8] == POINTER[:8]:
        check_pointer(POINTER, shard, Code.HEADER_INVALID)
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
    if not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS or not all(natural(size) for size in shape):
        raise LoadFailed(Code.HEADER_INVALID, shard, where + "bad shape")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(natural(offset) for offset in offsets):
        raise LoadFailed(Code.HEADER_INVALID, shard, where + "bad data_offsets")
    begin, end = offsets
    if end - begin != math.prod(shape) * ITEM_SIZE[dtype]:
        raise LoadFailed(Code.HEADER_INVALID, shard, where + "its bytes don't fit its shape")
    return Tensor(name, dtype, tuple(shape), shard, start + begin, start + end)


# --- key layouts ----------------------------------------------------------------------------------

PEFT: Final = "base_model.model."
# Buffers that older versions stored; the model computes them.
_COMPUTED: Final = re.compile(r"\.(?:rotary_emb(?:_local)?\.inv_freq|embed_tokens\.embed_scale)$")


def serving_name(key: str, row: Family = GEMMA3, *, images: bool = False) -> str | None:
    """A checkpoint's key as the row's text class calls it; None for what is left out, without `images` all of vision."""
    while key.startswith(PEFT):
        key = key.removeprefix(PEFT)
    return None if _COMPUTED.search(key) else families.own_name(row, key, images=images)


def wanted(
    tensors: Iterable[Tensor], row: Family = GEMMA3, unused: Container[str] = (), *, images: bool = False
) -> dict[str, Tensor]:
    """{own name: tensor} of all that serving needs, `unused` (of `spare`) left out.

    Raises keys_unexpected when two keys mean one tensor.
    """
    made: dict[str, Tensor] = {}
    for tensor in tensors:
        name = serving_name(tensor.name, row, images=images)
        if name is None or name in unused:
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
