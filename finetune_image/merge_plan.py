"""Owns what a merge has to do: which bytes of the base go where, which rows an adapter changes. Knows no torch."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from finetune_image.contract import Code, TuneFailed
from inference_image import layout, lora
from inference_image.chunks import Buffer, Object, Source
from inference_image.contract import CONFIG, INDEX, SINGLE_SHARD, LoadFailed
from inference_image.contract import Code as Load
from inference_image.layout import Tensor
from inference_image.lora import Pair

BLOCK: Final = 8 << 20
"""Bytes of the base that are read, changed and written at once, where a row is not longer."""
_CODES: Final = {
    Load.ACCESS_DENIED: Code.ACCESS_DENIED,
    Load.NETWORK_FAILED: Code.NETWORK_FAILED,
    Load.MODEL_NOT_FOUND: Code.MODEL_NOT_FOUND,
    Load.ADAPTER_INVALID: Code.MERGE_INEXACT,
}


@contextmanager
def as_tune_failed() -> Iterator[None]:
    """What the loader's own modules refuse, in the words of a run."""
    try:
        yield
    except LoadFailed as failed:
        inner = failed.failure
        raise TuneFailed(_CODES.get(inner.code, Code.MODEL_INVALID), inner.object, inner.detail) from None


@dataclass(frozen=True)
class Block:
    """Bytes of an output shard: `data` as it is, or [begin, end) of the base's `object`.

    `pair`: what is added to them, rows from `row` on, of `columns` values of `dtype` each.
    """

    object: Object | None
    begin: int
    end: int
    data: bytes = b""
    pair: Pair | None = None
    row: int = 0
    columns: int = 0
    dtype: str = ""


@dataclass(frozen=True)
class Shard:
    """One file of the merged model. `twin`: the base's object with the very same bytes, where no tensor of it changes."""

    name: str
    blocks: tuple[Block, ...]
    twin: Object | None = None

    @property
    def size(self) -> int:
        return sum(block.end - block.begin for block in self.blocks)


@dataclass(frozen=True)
class Plan:
    """`index`: the model's index file, None for a model of one shard. `adapter`: the file that the pairs' tensors lie in."""

    source: Source
    shards: tuple[Shard, ...]
    index: bytes | None
    adapter: Path


@dataclass(frozen=True)
class _Weights:
    """A base's weights: objects by name, the first bytes of each shard (its header), all tensors in order, bytes of a Block."""

    objects: Mapping[str, Object]
    headers: Mapping[str, bytes]
    tensors: tuple[Tensor, ...]
    index: bytes | None
    block: int


def plan(source: Source, adapter: Path, most: int | None = None, *, block: int = BLOCK) -> Plan:
    """The merge of an adapter's folder into a base. `most`: bytes of a shard; None: the base's own files.

    Raises:
        TuneFailed: (merge_inexact) the adapter is not plain LoRA, or does not fit this base as a whole; (model_invalid) the base
            can't be merged into; what reading it raises.
    """
    with as_tune_failed():
        objects = {one.name: one for one in source.list()}
        layout.require_files({name: one.size for name, one in objects.items()}, source.uri)
        config = layout.parse_json(whole(source, objects[CONFIG]), CONFIG, Load.CONFIG_INVALID)
        row = layout.family(config)
        layout.text_config(config)  # a quantised base is refused here: the sum would be rounded to its few bits
        base = _read(source, objects, block)
        wanted = layout.wanted(base.tensors, row)
        shapes = {name: tensor.shape for name, tensor in wanted.items()}
        pairs = lora.require(*_adapter(adapter), shapes, row)
    if not pairs:
        raise TuneFailed(Code.MERGE_INEXACT, lora.WEIGHTS, "the adapter changes nothing: no matrices in it")
    changed = {wanted[f"{pair.module}.weight"].name: pair for pair in pairs}
    for tensor in base.tensors:
        if tensor.name in changed and tensor.dtype not in layout.SERVABLE:
            raise TuneFailed(Code.MODEL_INVALID, tensor.name, f"it is {tensor.dtype}; BF16, F16 and F32 can be merged into")
    if most is None:
        shards = tuple(_shard(base, name, changed) for name in base.headers)
        return Plan(source, shards, base.index, adapter / lora.WEIGHTS)
    groups = _groups(base.tensors, most)
    names = _names(len(groups))
    cut = tuple(_cut(base, name, group, changed) for name, group in zip(names, groups, strict=True))
    return Plan(source, cut, _index(names, groups), adapter / lora.WEIGHTS)


def whole(source: Source, one: Object) -> bytes:
    """All bytes of a small object."""
    return _part(source, one, 0, one.size)


def _part(source: Source, one: Object, begin: int, end: int) -> bytes:
    buffer = Buffer(end - begin, begin)
    source.read(one, begin, end, buffer)
    return bytes(buffer.data)


def _read(source: Source, objects: Mapping[str, Object], block: int) -> _Weights:
    index = whole(source, objects[INDEX]) if INDEX in objects else None
    parsed = layout.parse_index(index) if index is not None else None
    headers: dict[str, bytes] = {}
    tensors: list[Tensor] = []
    for name in layout.shards_of(parsed, {name: one.size for name, one in objects.items()}):
        one = objects[name]
        end = layout.header_end(_part(source, one, 0, min(8, one.size)), name, one.size)
        headers[name] = _part(source, one, 0, end)
        tensors += layout.parse_header(headers[name], name, one.size)
    if parsed is not None:
        layout.check_index(parsed, tensors)
    return _Weights(objects, headers, tuple(tensors), index, block)


def _adapter(folder: Path) -> tuple[lora.Config, tuple[Tensor, ...]]:
    for name in (lora.CONFIG, lora.WEIGHTS):
        if not (folder / name).is_file():
            raise TuneFailed(Code.MERGE_INEXACT, name, f"not in {folder}: it is no adapter's folder")
    size = (folder / lora.WEIGHTS).stat().st_size
    with (folder / lora.WEIGHTS).open("rb") as file:
        first = file.read(8)
        head = first + file.read(layout.header_end(first, lora.WEIGHTS, size) - 8)
    return lora.Config.parse((folder / lora.CONFIG).read_bytes()), layout.parse_header(head, lora.WEIGHTS, size)


def _shard(base: _Weights, name: str, changed: Mapping[str, Pair]) -> Shard:
    """A shard of the base's own layout: its header as it is, its tensors where they are."""
    one, header = base.objects[name], base.headers[name]
    tensors = [tensor for tensor in base.tensors if tensor.object == name]
    blocks = (Block(one, 0, len(header)), *_blocks(base, tensors, changed))
    return Shard(name, blocks, None if any(tensor.name in changed for tensor in tensors) else one)


def _blocks(base: _Weights, tensors: Sequence[Tensor], changed: Mapping[str, Pair]) -> Iterator[Block]:
    """The tensors' bytes, in their order; what is not changed and lies together is read together."""
    begin = end = 0
    place = ""
    for tensor in tensors:
        pair = changed.get(tensor.name)
        if pair is not None or tensor.object != place or tensor.begin != end:
            yield from _plain(base, place, begin, end)
            place, begin = tensor.object, tensor.begin
        end = tensor.end
        if pair is not None:
            yield from _rows(base, tensor, pair)
            begin = end
    yield from _plain(base, place, begin, end)


def _plain(base: _Weights, place: str, begin: int, end: int) -> Iterator[Block]:
    for at in range(begin, end, base.block):
        yield Block(base.objects[place], at, min(at + base.block, end))


def _rows(base: _Weights, tensor: Tensor, pair: Pair) -> Iterator[Block]:
    rows, columns = tensor.shape
    length = columns * layout.ITEM_SIZE[tensor.dtype]
    step = max(1, base.block // length)
    for row in range(0, rows, step):
        begin, end = tensor.begin + row * length, tensor.begin + min(row + step, rows) * length
        yield Block(base.objects[tensor.object], begin, end, pair=pair, row=row, columns=columns, dtype=tensor.dtype)


# --- another size of shards -----------------------------------------------------------------------


def _groups(tensors: Iterable[Tensor], most: int) -> list[list[Tensor]]:
    """In the base's order; a tensor that is larger than `most` is a shard of its own."""
    groups: list[list[Tensor]] = [[]]
    size = 0
    for tensor in tensors:
        length = tensor.end - tensor.begin
        if groups[-1] and size + length > most:
            groups.append([])
            size = 0
        groups[-1].append(tensor)
        size += length
    return groups


def _names(count: int) -> list[str]:
    if count == 1:
        return [SINGLE_SHARD]
    return [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]


def _cut(base: _Weights, name: str, tensors: Sequence[Tensor], changed: Mapping[str, Pair]) -> Shard:
    at = 0
    rows: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    for tensor in tensors:
        length = tensor.end - tensor.begin
        rows[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [at, at + length]}
        at += length
    text = json.dumps(rows, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    head = struct.pack("<Q", len(text)) + text
    return Shard(name, (Block(None, 0, len(head), head), *_blocks(base, tensors, changed)))


def _index(names: Sequence[str], groups: Sequence[Sequence[Tensor]]) -> bytes | None:
    if len(names) == 1:
        return None
    where = {tensor.name: name for name, group in zip(names, groups, strict=True) for tensor in group}
    total = sum(tensor.end - tensor.begin for group in groups for tensor in group)
    document = {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}
    return (json.dumps(document, indent=2) + "\n").encode()
