"""What is read before anything is known of a checkpoint: the plan waits for no byte that it doesn't need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from queue import SimpleQueue

import pytest

from inference_image.chunks.arena import Arena
from inference_image.chunks.crew import Pace
from inference_image.chunks.folder import FolderSource
from inference_image.chunks.readers import Events, ThreadReaders
from inference_image.chunks.source import Done, Job, Object
from inference_image.contract import TOKENIZER, Code, LoadFailed
from inference_image.settings import Settings
from inference_image.stream import CheckpointStream
from inference_image.timeline import Timeline
from tests.inference_image.checkpoints import MODEL, Stored, shard, tensors_of


class Late:
    """Readers of a folder that keep the tokenizer back until they are told to read it too."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self._inner = ThreadReaders(FolderSource(str(MODEL)), Pace(2, 2), events)
        self.uri, self.connections = self._inner.uri, self._inner.connections
        self.kept: list[Job] = []

    def list(self) -> tuple[Object, ...]:
        return self._inner.list()

    def open(self, objects: Mapping[str, Object], size: int) -> Arena:
        self.arena = self._inner.open(objects, size)
        return self.arena

    def add(self, jobs: Iterable[Job]) -> None:
        jobs = list(jobs)
        self.kept += [one for one in jobs if one.object == TOKENIZER]
        self._inner.add(one for one in jobs if one.object != TOKENIZER)

    def close(self) -> Mapping[str, int]:
        return self._inner.close()

    def read_it_too(self) -> None:
        self._inner.add(self.kept)


@pytest.fixture
def late() -> tuple[Late, CheckpointStream]:
    events: Events = SimpleQueue()
    readers = Late(events)
    stream = CheckpointStream(readers, events, Settings(model=str(MODEL), chunk=1 << 20, device="cpu"), Timeline())
    stream.start()
    return readers, stream


def test_the_weights_do_not_wait_for_the_tokenizer(late: tuple[Late, CheckpointStream]) -> None:
    """All of them land while it is still out; the load is over when it has come too, whole."""
    readers, stream = late
    tensors = stream.tensors.result(30)
    assert {name for name, _, _ in stream.landing.whole()} == set(tensors)
    assert stream.files.done()
    assert not stream.tokenizer.done()
    assert not stream.finished.done()
    readers.read_it_too()
    assert stream.tokenizer.result(30) == (MODEL / TOKENIZER).read_bytes()
    stream.finished.result(30)


def test_a_pointer_in_place_of_the_tokenizer_ends_the_load(late: tuple[Late, CheckpointStream]) -> None:
    """It is told by its name, whenever it comes."""
    readers, stream = late
    stream.tensors.result(30)
    (words,) = readers.kept
    pointer = b"version https://git-lfs.github.com/spec/v1\n".ljust(words.end, b" ")
    readers.arena.view(words.to, words.to + words.end)[:] = pointer
    readers.events.put(Done(words.number, 0))
    with pytest.raises(LoadFailed) as failed:
        stream.finished.result(30)
    assert (failed.value.failure.code, failed.value.failure.object) == (Code.TOKENIZER_INVALID, TOKENIZER)
    assert stream.tokenizer.exception(30) is failed.value


def test_a_header_as_long_as_several_guesses(tmp_path: Path) -> None:
    """A header that goes on in what was guessed is read whole, and no byte of a tensor is lost on its way through slabs."""
    tensors: dict[str, Stored] = {}
    for path in sorted(MODEL.glob("*.safetensors")):
        tensors |= tensors_of(path.read_bytes())
    for name in ("config.json", TOKENIZER):
        (tmp_path / name).write_bytes((MODEL / name).read_bytes())
    (tmp_path / "model.safetensors").write_bytes(shard(tensors, {"note": "x" * 230_000}))
    events: Events = SimpleQueue()
    readers = ThreadReaders(FolderSource(str(tmp_path)), Pace(8, 8), events)
    settings = Settings(model=str(tmp_path), chunk=50_000, connections=8, connections_most=8, device="cuda")
    stream = CheckpointStream(readers, events, settings, Timeline())
    stream.start()
    table = stream.tensors.result(30)
    found = {name: bytearray(one.end - one.begin) for name, one in table.items()}
    in_slabs = 0
    for piece in stream.landing.pieces():
        in_slabs += piece.slab is not None
        for name, begin, end in stream.landing.overlaps(piece):
            at = piece.at + begin - piece.begin
            found[name][begin - table[name].begin : end - table[name].begin] = stream.landing.arena.view(at, at + end - begin)
        stream.landing.give_back(piece)
    stream.finished.result(30)
    assert in_slabs
    assert {name: bytes(data) for name, data in found.items()} == {name: data for name, (_, _, data) in tensors.items()}
