"""Index, shards, headers and names of tensors against the architecture, by the engine's own layout. Reads no value."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from gemmactl.checkpoint.configuration import Configured
from gemmactl.checkpoint.finding import Correction
from gemmactl.checkpoint.ledger import Ledger
from gemmactl.checkpoint.reading import SHARD, Contents
from gemmactl.checkpoint.whereabouts import SAVE, UPLOAD, listed
from inference_image import contract, families, layout
from inference_image.contract import Code, LoadFailed
from inference_image.layout import Tensor, Vision

T = TypeVar("T")
_NUMBERED: Final = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors")


@dataclass(frozen=True)
class Weights:
    """What the headers tell. Sizes in bytes."""

    shards: tuple[str, ...] = ()
    size: int = 0
    """All shard files together."""
    tensors: tuple[Tensor, ...] = ()
    found: Mapping[str, Tensor] = field(default_factory=dict)
    """Own name -> tensor, of all that text serving loads."""
    other: int = 0
    """Bytes of tensors that text serving leaves out: vision, sound."""
    whole: bool = False
    """Every header could be read."""
    vision: Vision | None = None
    """The eyes that --images would load; None: it can't see."""
    blind: str = ""
    """Why it can't."""
    largest: int = 0
    """The largest shard file."""

    @property
    def load(self) -> int:
        """Bytes that text serving reads."""
        return sum(t.end - t.begin for t in self.found.values())

    @property
    def parameters(self) -> int:
        """Numbers in the tensors that text serving loads; a head that repeats the embedding is not counted twice."""
        return sum(
            math.prod(t.shape) for name, t in self.found.items() if name != layout.HEAD or layout.EMBEDDING not in self.found
        )

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Number formats of the tensors that text serving loads, the largest share first."""
        share: Counter[str] = Counter()
        for tensor in self.found.values():
            share[tensor.dtype] += tensor.end - tensor.begin
        return tuple(name for name, _ in share.most_common())


def weights(contents: Contents, configured: Configured, index: layout.Index | None, ledger: Ledger) -> Weights:
    """Everything about the shards that can be told without reading a tensor."""
    found = _weights(contents, configured, index, ledger)
    return replace(found, largest=max((contents.top[name] for name in found.shards if name in contents.top), default=0))


def _weights(contents: Contents, configured: Configured, index: layout.Index | None, ledger: Ledger) -> Weights:
    names = _shards(contents, index, ledger)
    headers = Ledger()
    rows = _rows(contents, names, headers)
    whole = bool(names) and (index is None or len(names) == len(index.shards)) and rows is not None
    if names and index is None and contract.INDEX not in contents.sizes and contract.SINGLE_SHARD not in contents.sizes:
        _no_index(contents, names, rows, ledger)  # before its headers: the engine looks for the index first
    ledger.follow(headers)
    size = sum(contents.sizes.get(n, 0) for n in names)
    if not whole or rows is None:
        return Weights(names, size)
    _against_index(index, rows, contents, ledger)
    if configured.family is None:
        return Weights(names, size, tuple(rows), whole=True)
    return _against_architecture(contents, names, size, rows, configured, ledger)


def index_of(contents: Contents, ledger: Ledger) -> layout.Index | None:
    """What the index says; None when there is none, or when it can't be read."""
    data = contents.small.get(contract.INDEX)
    if data is None:
        return None
    return ledger.attempt(lambda: layout.parse_index(data), remedy=SAVE)


def _shards(contents: Contents, index: layout.Index | None, ledger: Ledger) -> tuple[str, ...]:
    """The shards that make up the model; a missing index is told later, when it may be possible to write one."""
    if (index is None and contract.INDEX in contents.sizes) or len(layout.weights(contents.top)) > layout.MOST_SHARDS:
        return ()  # told already
    if index is None and contract.SINGLE_SHARD not in contents.sizes:
        return tuple(n for n in contents.heads if n.startswith("model"))
    if index is not None and not contents.heads:
        return ()  # told already: there are no weights at all
    if index is not None and (gone := [n for n in index.shards if n not in contents.top]):
        failed = _refusal_of(index, contents)
        ledger.refuse(
            failed,
            code="shard-missing",
            what=f"{len(gone)} of {len(index.shards)} shards are missing: {listed(gone)}",
            remedy=UPLOAD,
        )
        return tuple(n for n in index.shards if n in contents.top)
    names = index.shards if index is not None else (contract.SINGLE_SHARD,)
    stale = sorted(n for n in contents.top if n.endswith(SHARD) and n not in names and n != contract.ADAPTER_WEIGHTS)
    if stale:
        ledger.add(
            "shards-stale",
            "note",
            stale[0],
            f"{len(stale)} safetensors files belong to no shard of the index and are not loaded",
            evidence=listed(stale),
            remedy="remove what an earlier save left behind",
        )
    return names


def _refusal_of(index: layout.Index, contents: Contents) -> LoadFailed:
    try:
        layout.shards_of(index, contents.top)
    except LoadFailed as failed:
        return failed
    return LoadFailed(Code.SHARD_MISSING, contract.INDEX, "a shard is missing")


def _rows(contents: Contents, names: tuple[str, ...], ledger: Ledger) -> list[Tensor] | None:
    """The tensors of all shards; None when a header can't be read. All lengths come before the first table, as in the engine."""

    def told(check: Callable[[bytes, str, int], T], name: str) -> T | None:
        return ledger.attempt(lambda: check(contents.heads.get(name, b""), name, contents.sizes[name]), remedy=UPLOAD)

    begun = [name for name in names if told(layout.header_end, name) is not None]
    tables = [table for name in begun if (table := told(layout.parse_header, name)) is not None]
    return [row for table in tables for row in table] if len(tables) == len(names) else None


def _no_index(contents: Contents, names: tuple[str, ...], rows: list[Tensor] | None, ledger: Ledger) -> None:
    """Several shards and nothing that says what is in them: the headers do, when all numbers are there."""
    failed = LoadFailed(Code.INDEX_INVALID, contract.INDEX, "several shards and no index that says what is in them")
    try:
        layout.shards_of(None, contents.top)
    except LoadFailed as told:
        failed = told
    numbered = [m for n in names if (m := _NUMBERED.fullmatch(n))]
    counts = {int(m["count"]) for m in numbered}
    there = {int(m["number"]) for m in numbered}
    if rows is not None and len(numbered) == len(names) and len(counts) == 1 and there == set(range(1, counts.pop() + 1)):
        data = sum(t.end - t.begin for t in rows)
        document = {
            "metadata": {"total_size": data},
            "weight_map": {t.name: t.object for t in sorted(rows, key=lambda t: t.name)},
        }
        text = json.dumps(document, indent=2).encode()
        ledger.refuse(
            failed,
            code="index-missing",
            what=f"all {len(names)} shards are there, their index is not",
            remedy="`gemmactl inspect --fix` writes it from the shards' headers",
            correction=Correction(files={contract.INDEX: text}),
        )
        return
    ledger.refuse(
        failed,
        code="index-missing",
        what=f"{len(names)} shards without an index, and their names don't form one whole set: {listed(list(names))}",
        remedy=UPLOAD,
    )


def _against_index(index: layout.Index | None, rows: list[Tensor], contents: Contents, ledger: Ledger) -> None:
    if index is None:
        return
    ledger.attempt(
        lambda: layout.check_index(index, rows),
        code="index-mismatch",
        what="the index places keys where they are not: it belongs to another save",
        remedy=SAVE,
    )
    document: Any = json.loads(contents.small[contract.INDEX])
    metadata = document.get("metadata")
    told = metadata.get("total_size") if isinstance(metadata, dict) else None
    data = sum(t.end - t.begin for t in rows)
    if isinstance(told, int) and told != data:
        # save_pretrained has written other numbers for tied or cast weights: the headers decide, this is only told
        ledger.add(
            "total-size",
            "note",
            contract.INDEX,
            "the index tells another size than the shards hold; harmless if the model was cast or its head is tied",
            evidence=f"metadata.total_size {told}, in the headers {data}",
        )


def _against_architecture(
    contents: Contents, names: tuple[str, ...], size: int, rows: list[Tensor], configured: Configured, ledger: Ledger
) -> Weights:
    from gemmactl.checkpoint.completeness import completeness
    from gemmactl.checkpoint.seeing import seeing

    row = configured.family
    if row is None or not row.served or not configured.needed:
        kept = {t.name: t for t in rows if row is None or families.own_name(row, t.name) is not None}
        return Weights(names, size, tuple(rows), kept, _bytes(rows) - _bytes(kept.values()), whole=True)
    found = ledger.attempt(
        lambda: layout.wanted(rows, row, layout.spare(configured.text)),
        code="keys-twice",
        what="two keys name the same tensor: parts of two saves lie in one folder",
        remedy=SAVE,
    )
    if found is None:
        return Weights(names, size, tuple(rows), whole=True)
    vision, blind = seeing(configured, rows, found, contents.place)
    left = _bytes(rows) - _bytes(found.values())
    made = Weights(names, size, tuple(rows), found, left, whole=True, vision=vision, blind=blind)
    completeness(contents, configured, made, ledger)
    return made


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(t.end - t.begin for t in tensors)
