"""Owns the arithmetic of a merge: base + scaling x B x A, block by block, in bounded memory. Knows no files: merge_plan has them.

Nothing of a model is built: bytes come in, in the order of the file, and go out with the same length at the same place. Header,
names, layout and every tensor that the adapter does not change stay the base's, byte for byte.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import crc32c

from finetune_image.contract import Code, TuneFailed
from finetune_image.merge_plan import Block, Plan, Shard, as_tune_failed, plan
from inference_image.chunks import Buffer
from inference_image.chunks.crc import combine

if TYPE_CHECKING:
    from torch import Tensor as Torch

    from inference_image.layout import Tensor

__all__ = ["merged", "plan"]

WORKERS: Final = 4
"""Blocks that are read and changed at once, while another one is written: reading waits for a network, arithmetic for memory."""
_AHEAD: Final = WORKERS + 2
_STRIP: Final = 1 << 17
"""Values that are changed together, so that float64 fits a core's cache: 0.9 GB/s of bfloat16 a core, 0.3 with 2^21."""
_DTYPES: Final = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


def merged(made: Plan, shard: Shard) -> Iterator[bytearray]:
    """The bytes of a merged shard, in order, a block at a time; the next ones are read and changed meanwhile.

    Raises:
        TuneFailed: (merge_inexact) a sum is not finite in the base's dtype; (network_failed) the base's bytes are not those that
            its store vouches for; what reading raises.
    """
    handle = os.open(made.adapter, os.O_RDONLY)
    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="merge")
    waiting: deque[Future[tuple[Block, bytearray, int]]] = deque()
    seen = _Seen()
    try:
        blocks = iter(shard.blocks)
        for block in blocks:
            waiting.append(pool.submit(_one, made, handle, block))
            if len(waiting) >= _AHEAD:
                break
        while waiting:
            block, data, crc = waiting.popleft().result()
            seen.add(block, crc)  # before it is given away: the last block of wrong bytes never leaves
            if (following := next(blocks, None)) is not None:
                waiting.append(pool.submit(_one, made, handle, following))
            yield data
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        os.close(handle)


class _Seen:
    """The CRC-32C of each object of the base that is read in one go, held to what its store says."""

    def __init__(self) -> None:
        self._name, self._at, self._crc = "", 0, 0

    def add(self, block: Block, crc: int) -> None:
        one = block.object
        if one is None:
            return
        if block.begin == 0:
            self._name, self._at, self._crc = one.name, 0, 0
        if one.name != self._name or block.begin != self._at:
            self._name = ""  # read in another order: no sum of the whole
            return
        self._at, self._crc = block.end, combine(self._crc, crc, block.end - block.begin)
        if self._at == one.size and one.crc32c not in {None, self._crc}:
            raise TuneFailed(
                Code.NETWORK_FAILED, one.name, "the bytes that came are not those that its store has: CRC-32C differs"
            )


def _one(made: Plan, handle: int, block: Block) -> tuple[Block, bytearray, int]:
    if block.object is None:
        return block, bytearray(block.data), 0
    sink = Buffer(block.end - block.begin, block.begin)
    with as_tune_failed():
        made.source.read(block.object, block.begin, block.end, sink)
    crc = crc32c.crc32c(sink.data)
    if block.pair is not None:
        _add(sink.data, block, handle)
    return block, sink.data, crc


def _add(data: bytearray, block: Block, handle: int) -> None:
    """Add the block's rows of the adapter's product, in place.

    The product is made in float64 and rounded to float32, the sum is float32's, and one rounding makes it the base's dtype. The
    bytes then don't depend on the processor: two of them may sum a float32 product in different orders, and an attempt that goes
    on elsewhere must publish the same model.
    """
    import torch

    pair = block.pair
    assert pair is not None  # noqa: S101 - the caller looked
    rows = torch.frombuffer(data, dtype=getattr(torch, _DTYPES[block.dtype])).view(-1, block.columns)
    a = _values(handle, pair.a, 0, pair.rank)
    b = _values(handle, pair.b, block.row, rows.shape[0]) * pair.scaling
    step = max(1, _STRIP // block.columns)
    fine = torch.tensor(True)
    for at in range(0, rows.shape[0], step):
        strip = rows[at : at + step]
        strip.copy_((b[at : at + step] @ a).float().add_(strip))
        fine &= torch.isfinite(strip.sum(dtype=torch.float32))
    if not fine:
        raise TuneFailed(Code.MERGE_INEXACT, pair.module, f"a weight of the sum is not finite in {block.dtype}",
                         "train again with a lower train.lr")  # fmt: skip


def _values(handle: int, tensor: Tensor, row: int, count: int) -> Torch:
    """Rows of a matrix of the adapter's file, as float64."""
    import torch

    length = (tensor.end - tensor.begin) // tensor.shape[0]
    data: Any = bytearray(os.pread(handle, count * length, tensor.begin + row * length))
    return torch.frombuffer(data, dtype=getattr(torch, _DTYPES[tensor.dtype])).view(count, -1).double()
