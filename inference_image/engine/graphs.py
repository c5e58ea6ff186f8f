"""Owns decode steps that were recorded once and are replayed: a CUDA graph for each size of batch and reach of context.

A replay costs one launch in place of thousands. Sizes are rounded up to those that were recorded; rows beyond the live ones
compute what nobody reads. Knows no request.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

SIZES: Final = (1, 2, 4, 8, 16, 32)
REACHES: Final = (512, 2048)
"""Tokens of a global layer that a step looks at; beyond them, all of the context."""

Compute = Callable[["torch.Tensor", "torch.Tensor", int], "torch.Tensor"]
"""Tokens [rows], their positions [rows] and the reach to logits [rows, vocabulary]."""
Record = Callable[[Callable[[], "torch.Tensor"]], tuple[Callable[[], None], "torch.Tensor"]]
"""A computation over memory that stays where it is, to its replay and to the memory that each replay fills."""


class Graphs:
    """Decode steps over fixed memory for tokens and positions."""

    def __init__(
        self,
        compute: Compute,
        record: Record,
        *,
        rows: int,
        length: int,
        device: torch.device,
        kind: Callable[[], Hashable] = lambda: None,
    ) -> None:
        """`kind`: what a step computes beside its size and reach, asked at each step; each has recordings of its own."""
        import torch

        self._compute, self._record, self._kind = compute, record, kind
        self._sizes = [*(size for size in SIZES if size < rows), rows]
        self._reaches = [*(reach for reach in REACHES if reach < length), length]
        self._tokens = torch.zeros(rows, dtype=torch.long, device=device)
        self._positions = torch.zeros(rows, dtype=torch.long, device=device)
        self._made: dict[tuple[int, int, Hashable], tuple[Callable[[], None], torch.Tensor]] = {}

    def all(self) -> Iterator[tuple[int, int]]:
        """(size, reach) of every step, in the order in which they are worth having: one row first, the largest next."""
        sizes = [self._sizes[0], *self._sizes[:0:-1]]
        return ((size, reach) for reach in self._reaches for size in sizes)

    def record(self, size: int, reach: int) -> None:
        """Record one step, if it isn't there yet."""
        if (size, reach, self._kind()) not in self._made:
            tokens, positions = self._tokens[:size], self._positions[:size]
            self._made[size, reach, self._kind()] = self._record(lambda: self._compute(tokens, positions, reach))

    def decode(self, tokens: Sequence[int], positions: Sequence[int], idle: Sequence[int]) -> torch.Tensor:
        """Logits [rows, vocabulary]. `idle`: for each row of the cache, a position that may be overwritten."""
        import torch

        live = len(tokens)
        size = next(size for size in self._sizes if size >= live)
        reach = next(reach for reach in self._reaches if reach > max(positions))
        both = torch.tensor([[*tokens, *([0] * (size - live))], [*positions, *idle[live:size]]])
        self._tokens[:size].copy_(both[0])
        self._positions[:size].copy_(both[1])
        # After the copies: recording computes once, and at the places of an earlier step it would write over keys in a ring.
        self.record(size, reach)
        replay, logits = self._made[size, reach, self._kind()]
        replay()
        return logits[:live]


def cuda_recorder(device: torch.device) -> Record:
    """Records on a stream of its own, after a rehearsal that lets libraries choose their kernels; all graphs share one pool."""
    import torch

    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    pool = torch.cuda.graph_pool_handle()

    def record(compute: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            compute()
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        # thread_local: another thread may pin memory and copy weights meanwhile, which is forbidden to this one only
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            made = compute()
        torch.cuda.current_stream(device).wait_stream(stream)
        return graph.replay, made

    return record
