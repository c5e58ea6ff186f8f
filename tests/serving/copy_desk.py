"""What tests of copy share: two shards of three ranges, a cloud whose reads go wrong, a manifest held against the bytes."""

from __future__ import annotations

import random
from pathlib import Path

import google_crc32c

from gemmactl.checkpoint.manifest import RANGE, Manifest, parse, written
from gemmactl.result import Result
from gemmactl.serving.copy import Wish, copy
from inference_image.chunks.crc import whole
from tests.fakes.cloud import FakeCloud, Storage
from tests.serving.ear import SAMPLE, Ear, place

MANIFEST, PART = "gemmactl/manifest.json", "gemmactl/manifest.part.json"
FILES = {path.name: path.read_bytes() for path in SAMPLE.iterdir()}
ONE, TWO = (random.Random(seed).randbytes(2 * RANGE + 1000) for seed in (1, 2))
"""Two shards of three ranges."""
LARGE = {
    "config.json": b"{}", "model-1.safetensors": ONE, "model-2.safetensors": TWO, "model.safetensors.index.json": b"{ }",
}  # fmt: skip


class Noisy(Storage):
    """Reads of `name` bring one wrong byte, the first `times` times; `reads` counts all of them."""

    def __init__(self, cloud: FakeCloud, name: str = "", times: int = 0) -> None:
        super().__init__(cloud)
        self.name, self.times, self.reads = name, times, 0

    def read(self, bucket: str, name: str, start: int = 0, end: int | None = None, **more: int | None) -> bytes | None:
        data = super().read(bucket, name, start, end, **more)
        self.reads += name == self.name
        if name != self.name or not self.times or not data:
            return data
        self.times -= 1
        return data[:-1] + bytes([data[-1] ^ 1])


def run(cloud: FakeCloud, source: str | Path, target: str | Path, environ: dict[str, str] | None = None, **flags: bool) -> Result:
    wish = Wish.read(str(source), str(target), **{"everything": False, "overwrite": False, "make_bucket": False, **flags})
    return copy(wish, lambda: place(cloud), Ear(), environ or {})


def objects(cloud: FakeCloud, prefix: str) -> dict[str, bytes]:
    """What lies in gs://bkt/PREFIX, without gemmactl's own."""
    found = {
        n.removeprefix(f"{prefix}/"): data for (_, n), (_, data) in cloud.state.objects.items() if n.startswith(f"{prefix}/")
    }
    return {name: data for name, data in found.items() if name not in (MANIFEST, PART)}


def put(cloud: FakeCloud, prefix: str, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        cloud.storage.write("bkt", f"{prefix}/{name}", data)
    cloud.calls.clear()


def folder(where: Path, files: dict[str, bytes]) -> Path:
    where.mkdir()
    for name, data in files.items():
        (where / name).write_bytes(data)
    return where


def on_disk(where: Path) -> dict[str, bytes]:
    return {
        p.relative_to(where).as_posix(): p.read_bytes() for p in where.rglob("*") if p.is_file() and p.name != "manifest.json"
    }


def manifest(data: bytes) -> Manifest:
    return parse(data, "test")


def proves(found: Manifest, files: dict[str, bytes]) -> bool:
    """Whether the manifest is about exactly these bytes, range by range."""
    for name, one in found.files.items():
        ends = [*range(0, one.size, RANGE), one.size]
        if whole(zip(ends, ends[1:], one.ranges, strict=False)) != (one.crc32c, len(files[name])):
            return False
    return {n: r.checksum for n, r in found.files.items()} == {n: written(google_crc32c.value(data)) for n, data in files.items()}
