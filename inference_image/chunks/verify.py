"""Owns the verdict on what was read: the sums of its parts against the store's and the manifest's. Knows no tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from inference_image.chunks.crc import whole
from inference_image.chunks.source import Object
from inference_image.contract import Code, LoadFailed

Part: TypeAlias = tuple[int, int, int]
"""(begin, end, CRC-32C) of bytes that were read of an object."""

Promised: TypeAlias = Callable[[int, int], int | None]
"""The CRC-32C that the manifest has for bytes [begin, end) of an object; None where it has none."""


@dataclass(frozen=True)
class Verdict:
    """`crc32c`: of the whole object, as it was read or as the store has it. `verified`: every byte that was read is proven."""

    crc32c: int | None
    verified: bool


def judge(one: Object, parts: Iterable[Part], promised: Promised | None) -> Verdict:
    """Compare what was read of an object with what is known of it. Raises LoadFailed(checksum_mismatch).

    An object that was read whole has the store's sum; of one that was read in part each run of parts has the manifest's.
    """
    read = sorted(parts)
    sum_ = whole(read)
    if sum_ is not None and sum_[1] == one.size:
        known, who = one.crc32c, "the store"
        if known is None and promised is not None:
            known, who = promised(0, one.size), "the manifest"
        _compare(one.name, "", sum_[0], known, who)
        return Verdict(sum_[0], known is not None)
    verified = promised is not None and bool(read)
    for begin, end, crc in _runs(read):
        known = promised(begin, end) if promised is not None else None
        _compare(one.name, f" {begin}-{end - 1}", crc, known, "the manifest")
        verified = verified and known is not None
    return Verdict(one.crc32c, verified)


def _compare(name: str, where: str, ours: int, known: int | None, who: str) -> None:
    if known is not None and ours != known:
        detail = f"its bytes{where} have crc32c {ours:08x}, {who} says {known:08x}"
        raise LoadFailed(Code.CHECKSUM_MISMATCH, name, detail)


def _runs(parts: list[Part]) -> Iterator[Part]:
    """Parts that touch, as one."""
    group: list[Part] = []
    for part in parts:
        if group and group[-1][1] != part[0]:
            yield _joined(group)
            group = []
        group.append(part)
    if group:
        yield _joined(group)


def _joined(group: list[Part]) -> Part:
    first = group[0][0]
    summed = whole((begin - first, end - first, crc) for begin, end, crc in group)
    if summed is None:
        raise ValueError("parts overlap")
    return first, group[-1][1], summed[0]
