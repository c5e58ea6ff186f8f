"""Pieces through a ring into tensors: any borders, any order, any dtype, and never more slabs than there are."""

from __future__ import annotations

import random
import threading
from collections.abc import Collection, Iterator
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_image.chunks.arena import Arena
from inference_image.chunks.crew import Pace
from inference_image.chunks.folder import FolderSource
from inference_image.chunks.readers import Events, ThreadReaders
from inference_image.contract import Code, LoadFailed
from inference_image.jobs import GivenUp
from inference_image.landing import Landing, Piece, Ring, page_end
from inference_image.layout import ITEM_SIZE, Tensor
from inference_image.settings import Settings
from inference_image.stream import CheckpointStream
from inference_image.timeline import Timeline
from inference_image.upload import IN_FLIGHT, upload
from inference_image.weights import fill, place
from tests.inference_image.checkpoints import MODEL

SLAB = 4096


def table(shapes: list[tuple[str, int]], start: int) -> dict[str, Tensor]:
    """Tensors side by side from byte `start` of one object on; the first letter of a name is nothing's but a name."""
    made, at = {}, start
    for number, (dtype, count) in enumerate(shapes):
        size = count * ITEM_SIZE[dtype]
        made[f"t{number}"] = Tensor(f"t{number}", dtype, (count,), "o", at, at + size)
        at += size
    return made


def content(tensors: dict[str, Tensor], chance: random.Random) -> tuple[bytes, dict[str, object]]:
    """Bytes of the object and what each tensor must become in bf16."""
    import torch

    data, wanted = bytearray(max((one.end for one in tensors.values()), default=0)), {}
    for name, one in tensors.items():
        stored = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}[one.dtype]
        values = torch.tensor([chance.uniform(-2, 2) for _ in range(one.shape[0])]).to(stored)
        data[one.begin : one.end] = values.view(torch.uint8).numpy().tobytes() if one.shape[0] else b""
        wanted[name] = values.to(torch.bfloat16)
    return bytes(data), wanted


def filled(landing: Landing, int8: Collection[str] = ()) -> dict[str, Any]:
    """The tensors of a load, on CPU in bfloat16."""
    import torch

    made = place(landing, torch.device("cpu"), torch.bfloat16, int8)
    fill(landing, made, torch.device("cpu"))
    return made


def deliver(landing: Landing, ring: Ring, data: bytes, borders: list[int], chance: random.Random) -> Iterator[None]:
    """Pieces in any order as slabs become free; the heart of what the planning thread does."""
    edges = sorted({0, len(data), *(border % (len(data) + 1) for border in borders), *range(0, len(data), SLAB)})
    # nothing is read that nobody waits for: whoever fills has left before it would come
    pieces = [(begin, end) for begin, end in pairwise(edges) if list(landing.overlaps(Piece("o", begin, end, 0, None)))]
    chance.shuffle(pieces)
    room = threading.Semaphore(0)
    landing.freed = room.release
    for begin, end in pieces:
        while (slab := ring.take()) is None:
            assert room.acquire(timeout=20), "nobody gave a slab back"
        at = ring.place(slab, begin)
        landing.arena.view(at, at + end - begin)[:] = data[begin:end]
        landing.landed(Piece("o", begin, end, at, slab))
        yield


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["BF16", "F16", "F32"]), st.integers(0, 3000)), min_size=1, max_size=5),
    st.integers(8, 40),
    st.lists(st.integers(0, 1 << 20), max_size=12),
    st.integers(1, 4),
    st.integers(0, 1 << 30),
)
def test_any_pieces_in_any_order_make_the_tensors(
    shapes: list[tuple[str, int]], start: int, borders: list[int], slabs: int, seed: int
) -> None:
    """Bit-equal to a cast of the whole, whatever the borders cut, and with no more than so many slabs of memory."""
    import torch

    chance = random.Random(seed)
    tensors = table(shapes, start)
    data, wanted = content(tensors, chance)
    landing, ring = Landing(), Ring(0, SLAB, slabs)
    landing.open(Arena(page_end(Ring.length(SLAB, slabs))), {"o": 0})
    landing.expect(tensors, ring)
    sender = threading.Thread(target=lambda: list(deliver(landing, ring, data, borders, chance)), daemon=True)
    sender.start()
    made = filled(landing)
    sender.join(20)
    assert made.keys() == wanted.keys()
    for name, one in wanted.items():
        assert torch.equal(made[name], one)  # type: ignore[arg-type]
    assert ring.most_out <= slabs
    landing.empty_ring()
    assert not any(landing.arena.view(ring.begin, ring.end))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 2000), min_size=1, max_size=6),
    st.lists(st.integers(0, 1 << 20), max_size=12),
    st.integers(0, 1 << 30),
)
def test_in_place_every_tensor_is_whole_once(counts: list[int], borders: list[int], seed: int) -> None:
    """In any order and any cuts each tensor is handed on once, when it is whole, at its place in what landed."""
    import torch

    chance = random.Random(seed)
    tensors = table([("BF16", count) for count in counts], 8)
    data, wanted = content(tensors, chance)
    landing = Landing()
    landing.open(Arena(page_end(len(data))), {"o": 0})
    landing.expect(tensors, None)
    edges = sorted({0, len(data), *(border % (len(data) + 1) for border in borders)})
    pieces = list(pairwise(edges))
    chance.shuffle(pieces)
    for begin, end in pieces:
        landing.arena.view(begin, end)[:] = data[begin:end]
        landing.landed(Piece("o", begin, end, begin, None))
    made = filled(landing)
    assert made.keys() == wanted.keys()
    base = torch.frombuffer(landing.arena.memory, dtype=torch.uint8).data_ptr()
    for name, one in wanted.items():
        assert torch.equal(made[name], one)  # type: ignore[arg-type]
        assert not made[name].numel() or made[name].data_ptr() == base + tensors[name].begin


class Late:
    """Copies that arrive later, as on a GPU's stream: so many pieces are under way before the first one is given back."""

    def __init__(self, landing: Landing) -> None:
        self._landing = landing
        self._waiting: list[tuple[Any, Any]] = []
        self._pieces: list[tuple[int, Piece]] = []

    def copy(self, source: Any, target: Any) -> None:
        self._waiting.append((source, target))

    def after(self, piece: Piece) -> None:
        self._pieces.append((len(self._waiting), piece))
        while len(self._pieces) > IN_FLIGHT:
            self._arrive()

    def finish(self) -> None:
        while self._pieces:
            self._arrive()

    def _arrive(self) -> None:
        count, piece = self._pieces.pop(0)
        for source, target in self._waiting[:count]:
            target.copy_(source)
        del self._waiting[:count]
        self._pieces = [(left - count, one) for left, one in self._pieces]
        self._landing.give_back(piece)


@pytest.mark.parametrize("slabs", [IN_FLIGHT + 1, IN_FLIGHT + 3])
def test_copies_that_arrive_later_find_their_bytes(slabs: int) -> None:
    """A slab is free when its copy has arrived, not before; one slab more than copies under way is enough."""
    import torch

    chance = random.Random(3)
    tensors = table([("BF16", 3000), ("F32", 5001), ("F16", 777)], 10)
    data, wanted = content(tensors, chance)
    landing, ring = Landing(), Ring(0, SLAB, slabs)
    landing.open(Arena(Ring.length(SLAB, slabs)), {"o": 0})
    landing.expect(tensors, ring)
    made = {name: torch.empty(one.shape, dtype=torch.bfloat16) for name, one in tensors.items()}
    sender = threading.Thread(target=lambda: list(deliver(landing, ring, data, [17, 5000, 9001], chance)), daemon=True)
    sender.start()
    upload(landing, made, torch.device("cpu"), Late(landing))
    sender.join(20)
    assert all(torch.equal(made[name], one) for name, one in wanted.items())  # type: ignore[arg-type]
    assert ring.out == 0


def test_a_failure_of_the_readers_ends_the_filling() -> None:
    """Whoever fills gets the readers' own failure, and says that nothing more is wanted."""
    landing, ring = Landing(), Ring(0, SLAB, 2)
    landing.open(Arena(Ring.length(SLAB, 2)), {"o": 0})
    landing.expect(table([("BF16", 10)], 8), ring)
    landing.fail(LoadFailed(Code.CHECKSUM_MISMATCH, "o", "wrong"))
    with pytest.raises(LoadFailed, match="wrong"):
        filled(landing)
    assert landing.stopped


@pytest.mark.parametrize("value", [b"\xc0\x7f", b"\x80\x7f", b"\x80\xff"], ids=["NaN", "infinity", "minus infinity"])
def test_a_value_that_is_not_finite_names_its_tensor(value: bytes) -> None:
    """One such weight among many refuses the load."""
    tensors = table([("BF16", 100), ("BF16", 1000)], 8)
    landing, ring = Landing(), Ring(0, SLAB, 2)
    landing.open(Arena(Ring.length(SLAB, 2)), {"o": 0})
    landing.expect(tensors, ring)
    data = bytearray(tensors["t1"].end)
    data[tensors["t1"].begin + 400 : tensors["t1"].begin + 402] = value
    threading.Thread(target=lambda: list(deliver(landing, ring, bytes(data), [], random.Random(1))), daemon=True).start()
    with pytest.raises(LoadFailed) as failed:
        filled(landing)
    assert (failed.value.failure.code, failed.value.failure.object) == (Code.WEIGHTS_NAN, "t1")


def test_a_load_that_was_given_up_is_no_reason_of_its_own() -> None:
    """Whoever fills the model failed first and says why: the readers' end, which follows from it, hides nothing."""
    events: Events = SimpleQueue()
    readers = ThreadReaders(FolderSource(str(MODEL)), Pace(1, 1), events)
    stream = CheckpointStream(readers, events, Settings(model=str(MODEL)), Timeline())
    stream.finished.set_exception(GivenUp(Code.CRASHED, "server", "the load was given up"))
    assert stream.failure() is None
