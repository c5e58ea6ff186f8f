"""Owns where bytes land and what they make: whole tensors in place, or pieces in a ring of slabs. Knows no network and no torch.

On CPU, in the model's own dtype, a shard's region is the model's final memory: byte n of the object is byte n of its region, and
pages that nothing is read into cost nothing. Elsewhere bytes pass through slabs that are used again and again: the host never
holds more of the model than `staging` bytes, however large its tensors are.
"""

from __future__ import annotations

import queue
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from inference_image.chunks.arena import PAGE, Arena
from inference_image.layout import Tensor

_ALIGNMENT: Final = 64


class Piece(NamedTuple):
    """Bytes [begin, end) of an object lie in the arena from `at` on, in the slab `slab` or (None) in the object's region."""

    object: str
    begin: int
    end: int
    at: int
    slab: int | None


def page_end(offset: int) -> int:
    return -(-offset // PAGE) * PAGE


def slab_of(offset: int) -> int:
    """Where the slab begins that holds the beginning of a read at this offset of the arena."""
    return offset // PAGE * PAGE


class Ring:
    """Slabs of one size; those given back last are used first, because their pages are there already."""

    def __init__(self, begin: int, size: int, count: int) -> None:
        # Bytes lie in a slab at the same place within 64 as in their object: tensors keep their alignment.
        self.begin, self.stride, self._count = begin, page_end(size + _ALIGNMENT), count
        self._lock = threading.Lock()
        self._free: list[int] = []
        self._used = 0
        self._wanted = False
        self.out = 0
        self.most_out = 0

    @staticmethod
    def length(size: int, count: int) -> int:
        """Address space of `count` slabs for `size` bytes each."""
        return page_end(size + _ALIGNMENT) * count

    def take(self, most: int | None = None) -> int | None:
        """A slab that is free; None when there is none. `most`: no further one is used for the first time when so many were."""
        with self._lock:
            if not self._free:
                if self._used >= min(self._count, self._count if most is None else most):
                    self._wanted = True
                    return None
                self._free.append(self.begin + self._used * self.stride)
                self._used += 1
            self.out += 1
            self.most_out = max(self.most_out, self.out)
            return self._free.pop()

    def give(self, slab: int) -> bool:
        """The slab is free again. Was one wanted since there was none?"""
        with self._lock:
            self.out -= 1
            self._free.append(slab)
            wanted, self._wanted = self._wanted, False
            return wanted

    @property
    def end(self) -> int:
        """Where the memory ends that was ever used."""
        return self.begin + self._used * self.stride

    @staticmethod
    def place(slab: int, begin: int) -> int:
        """Where in a slab the bytes of an object from `begin` on go."""
        return slab + begin % _ALIGNMENT


class Landing:
    """What has landed, for the one thread that fills the model."""

    def __init__(self) -> None:
        self.in_place = True
        self.tensors: Mapping[str, Tensor] = {}
        self._ready: queue.SimpleQueue[str | Piece | BaseException] = queue.SimpleQueue()
        self._regions: dict[str, int] = {}
        self._rows: dict[str, tuple[list[int], list[str]]] = {}
        self._left: dict[str, int] = {}
        self._stopped = threading.Event()
        self.freed: Callable[[], None] = lambda: None
        self.ring: Ring | None = None
        self.draining = False
        """Has whoever fills begun to give slabs back?"""

    # --- set up by the thread that plans ------------------------------------------------------------

    def open(self, arena: Arena, regions: Mapping[str, int]) -> None:
        """The memory, and where in it the region of each shard begins."""
        self.arena, self._regions = arena, dict(regions)

    def region(self, shard: str) -> int:
        return self._regions[shard]

    def expect(self, tensors: Mapping[str, Tensor], ring: Ring | None) -> None:
        """What is waited for, and through which slabs it comes; None: it is made in place."""
        self.tensors, self.ring, self.in_place = tensors, ring, ring is None
        self._left = {name: tensor.end - tensor.begin for name, tensor in tensors.items()}
        places: dict[str, list[tuple[int, str]]] = {}
        for name, tensor in tensors.items():
            if tensor.end > tensor.begin:
                places.setdefault(tensor.object, []).append((tensor.begin, name))
        self._rows = {
            shard: ([begin for begin, _ in rows], [name for _, name in rows])
            for shard, unsorted in places.items()
            for rows in [sorted(unsorted)]
        }

    # --- what lands ---------------------------------------------------------------------------------

    def landed(self, piece: Piece) -> None:
        """Bytes are in their place."""
        if not self.in_place:
            self._ready.put(piece)
            return
        for name, begin, end in self.overlaps(piece):
            self._left[name] -= end - begin
            if not self._left[name]:
                self._ready.put(name)

    def overlaps(self, piece: Piece) -> Iterator[tuple[str, int, int]]:
        """(tensor, begin, end): the bytes of the object in this piece that belong to an expected tensor."""
        begins, names = self._rows.get(piece.object, ([], []))
        at = max(0, bisect_right(begins, piece.begin) - 1)
        while at < len(begins) and begins[at] < piece.end:
            tensor = self.tensors[names[at]]
            begin, end = max(piece.begin, tensor.begin), min(piece.end, tensor.end)
            if end > begin:
                yield names[at], begin, end
            at += 1

    def fail(self, error: BaseException) -> None:
        """The readers' failure, raised in the thread that fills."""
        self._ready.put(error)

    # --- for the thread that fills ------------------------------------------------------------------

    def where(self, tensor: Tensor) -> int:
        """Where a tensor begins in the arena, when it lands in place."""
        return self._regions[tensor.object] + tensor.begin

    def whole(self) -> Iterator[tuple[str, Tensor, int]]:
        """(name, tensor, where it begins in the arena) of each expected tensor, once, when all its bytes are there."""
        empty = [name for name, tensor in self.tensors.items() if tensor.end == tensor.begin]
        for number in range(len(self.tensors)):
            name = empty[number] if number < len(empty) else self._next()
            tensor = self.tensors[str(name)]
            yield str(name), tensor, self.where(tensor)

    def pieces(self) -> Iterator[Piece]:
        """Each piece as it lands, until every expected byte was in one. Give it back when its bytes are no longer needed."""
        left = sum(self._left.values())
        while left:
            piece = self._next()
            if not isinstance(piece, Piece):
                raise TypeError(piece)
            left -= sum(end - begin for _, begin, end in self.overlaps(piece))
            yield piece

    def give_back(self, piece: Piece) -> None:
        """Its memory may be used again."""
        self.draining = self.draining or piece.slab is not None
        if piece.slab is None:
            self.arena.release(piece.at, piece.at + piece.end - piece.begin)
        elif self.ring is not None and self.ring.give(piece.slab):
            self.freed()

    def empty_ring(self) -> None:
        """All is where it belongs: no slab needs its memory any more."""
        if self.ring is not None:
            self.arena.release(self.ring.begin, self.ring.end)

    def stop(self) -> None:
        """Whoever fills gave up: nothing more is wanted."""
        self._stopped.set()
        self.freed()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def _next(self) -> str | Piece:
        came = self._ready.get()
        if isinstance(came, BaseException):
            raise came
        return came
