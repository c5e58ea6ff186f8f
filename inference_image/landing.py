"""Owns the memory in which shards' bytes land, and knows which tensors are whole. Knows no network and no torch.

Each shard gets one anonymous private mapping of its size. Pages that nothing is read into cost nothing, so vision
tensors that are left out take no memory; on CPU the mapping is the model's final memory, elsewhere its pages go back as
soon as a tensor is taken.
"""

from __future__ import annotations

import mmap
import queue
import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping

from inference_image.chunks.source import Object
from inference_image.contract import Code, LoadFailed
from inference_image.layout import Tensor


class Region:
    """The memory of one shard: byte n of the object is byte n of the memory."""

    def __init__(self, one: Object) -> None:
        try:
            self.memory = mmap.mmap(-1, max(1, one.size), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            raise LoadFailed(Code.HOST_MEMORY, one.name, f"no {one.size} bytes of address space: {error.strerror}") from None
        self._view = memoryview(self.memory)

    def view(self, begin: int, end: int) -> memoryview:
        return self._view[begin:end]

    def release(self, begin: int, end: int) -> None:
        """Give the pages that lie wholly inside [begin, end) back to the system."""
        page = mmap.PAGESIZE
        first, beyond = -(-begin // page) * page, end // page * page
        if beyond > first and hasattr(mmap, "MADV_DONTNEED"):
            self.memory.madvise(mmap.MADV_DONTNEED, first, beyond - first)


class _ShardSink:
    """Receives into one region and reports what came."""

    def __init__(self, landing: Landing, name: str, region: Region) -> None:
        self._landing, self._name, self._region = landing, name, region

    def buffer(self, offset: int, most: int) -> memoryview:
        return self._region.view(offset, offset + most)

    def wrote(self, offset: int, count: int) -> None:
        self._landing.wrote(self._name, offset, count)


class Landing:
    """All regions of a model. Readers write, one taker takes whole tensors; `staging` bounds what lies in between."""

    def __init__(self, staging: int) -> None:
        self._staging = staging
        self._regions: dict[str, Region] = {}
        self._lock = threading.Condition()
        self._early: list[tuple[str, int, int]] = []
        self._known: dict[str, tuple[list[int], list[str]]] | None = None
        self._tensors: Mapping[str, Tensor] = {}
        self._left: dict[str, int] = {}
        self._untaken = 0
        self._whole: queue.SimpleQueue[str | BaseException] = queue.SimpleQueue()
        self._over = False

    def open(self, one: Object) -> _ShardSink:
        """Where the bytes of a shard go; the same memory each time."""
        if one.name not in self._regions:
            self._regions[one.name] = Region(one)
        return _ShardSink(self, one.name, self._regions[one.name])

    def region(self, tensor: Tensor) -> Region:
        return self._regions[tensor.object]

    def expect(self, tensors: Mapping[str, Tensor]) -> None:
        """What is waited for, known once the headers are read; bytes that came with the headers count from here."""
        with self._lock:
            self._tensors = tensors
            self._left = {name: tensor.end - tensor.begin for name, tensor in tensors.items()}
            places: dict[str, list[tuple[int, str]]] = {}
            for name, tensor in tensors.items():
                if tensor.end > tensor.begin:
                    places.setdefault(tensor.object, []).append((tensor.begin, name))
                else:
                    self._whole.put(name)
            self._known = {
                shard: ([begin for begin, _ in rows], [name for _, name in rows])
                for shard, unsorted in places.items()
                for rows in [sorted(unsorted)]
            }
            early, self._early = self._early, []
            for shard, offset, count in early:
                self._count(shard, offset, count)
            # A tensor is taken when it is whole. With less room than what is here already and the largest tensor, the reads
            # that would complete one could wait for ever.
            largest = max((tensor.end - tensor.begin for tensor in tensors.values()), default=0)
            self._staging = max(self._staging, self._untaken + largest + 1)

    def wrote(self, shard: str, offset: int, count: int) -> None:
        with self._lock:
            if self._known is None:
                self._early.append((shard, offset, count))
            else:
                self._count(shard, offset, count)

    def _count(self, shard: str, offset: int, count: int) -> None:
        begins, names = (self._known or {}).get(shard, ([], []))
        at = max(0, bisect_right(begins, offset) - 1)
        end = offset + count
        while at < len(begins) and begins[at] < end:
            tensor = self._tensors[names[at]]
            overlap = min(end, tensor.end) - max(offset, tensor.begin)
            if overlap > 0:
                self._untaken += overlap
                self._left[names[at]] -= overlap
                if not self._left[names[at]]:
                    self._whole.put(names[at])
            at += 1

    def wait_for_room(self) -> None:
        """Blocks a reader while more than `staging` bytes wait to be taken."""
        with self._lock:
            self._lock.wait_for(lambda: self._over or self._untaken < self._staging)

    def fail(self, error: BaseException) -> None:
        """The readers' failure, raised in the taker."""
        self._whole.put(error)

    def stop(self) -> None:
        """The taker gave up: let no reader wait any longer."""
        with self._lock:
            self._over = True
            self._lock.notify_all()

    def whole(self) -> Iterator[tuple[str, Tensor]]:
        """Each expected tensor once, when all its bytes are there; it counts as taken when the next one is asked for."""
        for _ in range(len(self._tensors)):
            came = self._whole.get()
            if isinstance(came, BaseException):
                raise came
            tensor = self._tensors[came]
            yield came, tensor
            with self._lock:
                self._untaken -= tensor.end - tensor.begin
                self._lock.notify_all()
