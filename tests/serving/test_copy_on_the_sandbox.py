"""copy with Google's own client: resumable uploads from streams, ranged downloads, rewrites, over a line with faults."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gemmactl.errors import Trouble
from gemmactl.gcp.cloud import connect
from gemmactl.result import Result
from gemmactl.sandbox.assembly import assemble
from gemmactl.sandbox.endpoint import Endpoint
from gemmactl.sandbox.server import Server
from gemmactl.sandbox.stream_faults import StreamFault
from gemmactl.sandbox.world import World
from gemmactl.serving.copy import Wish, copy
from gemmactl.serving.place import Place
from gemmactl.settings import Value
from tests.serving.ear import Ear

SHARD = random.Random(3).randbytes((20 << 20) + 17)
FILES = {"config.json": b"{}", "model.safetensors": SHARD, "tokenizer.json": b"[]"}


@dataclass
class Desk:
    """A sandbox with the bucket `weights`, and a directory with a model."""

    world: World
    place: Place
    source: Path

    def copy(self, source: str | Path, target: str | Path) -> Result:
        wish = Wish.read(str(source), str(target), everything=False, overwrite=False, make_bucket=True)
        return copy(wish, lambda: self.place, Ear(), {})

    def names(self) -> list[str]:
        return self.world.storage.blobs.names("weights") if self.world.storage.blobs.bucket("weights") else []


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    world = assemble(World(tmp_path / "home"))
    server = Server(world)
    server.start()
    cloud = connect(world.project, Endpoint(world.base_url, world.project, world.number, secret=world.secret))
    cloud.apis.enable(["storage.googleapis.com"])
    (tmp_path / "src").mkdir()
    for name, data in FILES.items():
        (tmp_path / "src" / name).write_bytes(data)
    place = Place(Value(world.project, "--project"), Value("us-central1", "default"), "sandbox", cloud)
    yield Desk(world, place, tmp_path / "src")
    server.shutdown()
    server.server_close()
    world.close()


def same(folder: Path) -> bool:
    return all((folder / name).read_bytes() == data for name, data in FILES.items())


def test_there_and_back_over_a_bad_line(desk: Desk, tmp_path: Path) -> None:
    """Up from a stream, within the store by rewriting, down through a broken connection and a wrong byte: the same bytes."""
    desk.copy(desk.source, "gs://weights/m")
    desk.copy("gs://weights/m", "gs://weights/n")
    faults = [StreamFault("broken", "n/model", after=1000), StreamFault("corrupt", "n/model", after=5000)]
    for fault in faults:
        desk.world.storage.faults.add(fault)
    result = desk.copy("gs://weights/n", tmp_path / "out")
    assert len(desk.world.storage.faults.struck) == 2
    assert same(tmp_path / "out")
    assert result.data["bytes"] == sum(map(len, FILES.values()))


def test_a_byte_that_stays_wrong_makes_no_object(desk: Desk) -> None:
    """The upload is left before its last byte: the bucket holds the other shard's folder as it was, and no half object."""
    desk.copy(desk.source, "gs://weights/m")
    desk.world.storage.blobs.delete("weights", "m/gemmactl/manifest.json", lambda _meta: None)  # or the store would rewrite
    desk.world.storage.faults.add(StreamFault("corrupt", "m/model", times=99, after=5000))
    before = desk.names()
    with pytest.raises(Trouble) as told:
        desk.copy("gs://weights/m", "gs://weights/n")
    assert told.value.code == "corrupted"
    assert desk.names() == before
