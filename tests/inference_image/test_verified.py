"""A load over a network from its first byte to its verdict: vision bytes, manifests, faults that fired, tokens that end."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import crc32c
import pytest

from gemmactl.checkpoint.manifest import Manifest, Record
from inference_image.chunks.arena import can_share
from inference_image.contract import MANIFEST, Code, LoadFailed
from inference_image.engine import Engine, load
from inference_image.settings import Settings
from inference_image.stream import SPARE
from inference_image.timeline import Timeline
from inference_image.upload import IN_FLIGHT
from tests.inference_image import fake_storage
from tests.inference_image.checkpoints import MODEL, Stored, shard, tensors_of
from tests.inference_image.fake_storage import Bucket, Fault, cut, stall, status, wrong_byte

pytestmark = pytest.mark.skipif(not can_share(), reason="no files in memory here")

VISION = "vision_tower.vision_model.encoder.weight"
STEP = 64 << 10
SHARD = "model-00002-of-00004.safetensors"


def with_vision(folder: Path) -> Path:
    """The sample as a published multimodal checkpoint: text under its own prefix, a tower of 3 MB in the second shard."""
    shutil.copytree(MODEL, folder)
    weight_map = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors: dict[str, Stored] = {f"language_model.{name}": one for name, one in tensors_of(path.read_bytes()).items()}
        if path.name == SHARD:
            tensors[VISION] = ("BF16", [1_500_000], bytes(range(250)) * 12_000)
        path.write_bytes(shard(tensors))
        weight_map |= dict.fromkeys(tensors, path.name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    text = json.loads((folder / "config.json").read_text())
    whole = {
        "model_type": "gemma3",
        "architectures": ["Gemma3ForConditionalGeneration"],
        "text_config": text,
        "vision_config": {},
    }
    (folder / "config.json").write_text(json.dumps(whole))
    return folder


def manifest_of(folder: Path) -> bytes:
    records = {}
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        sums = tuple(crc32c.crc32c(data[at : at + STEP]) for at in range(0, len(data), STEP))
        records[path.name] = Record(len(data), crc32c.crc32c(data), sums)
    return Manifest("test", "1", records, STEP).text().encode()


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_vision(tmp_path_factory.mktemp("vision") / "m")


def bucket_of(folder: Path) -> Bucket:
    made = Bucket()
    for path in folder.iterdir():
        made.put(f"m/{path.name}", path.read_bytes())
    return made


@pytest.fixture
def text() -> Bucket:
    return bucket_of(MODEL)


def opened(address: str, timeline: Timeline, **given: Any) -> Engine:
    """Through the process that reads, as the container does it."""
    known = {"model": "gs://bucket/m", "threads": 1, "connections": 4, "chunk": 50_000, "reader": "process", "stall": 1}
    settings = Settings(**{**known, **given})
    return load(settings, environ={"STORAGE_EMULATOR_HOST": address}, timeline=timeline)


def logits_of(engine: Engine) -> Any:
    import torch

    torch.manual_seed(0)
    with torch.inference_mode():
        return engine._runner._model(input_ids=torch.randint(6, 1024, (1, 80))).logits  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def reference(engine: Engine) -> Any:
    """The sample's logits from a directory, which other tests hold to transformers' own."""
    return logits_of(engine)


def loaded(bucket: Bucket, reference: Any, **given: Any) -> dict[str, Any]:
    """The record of a load that must give the sample's very logits."""
    import torch

    timeline = Timeline()
    with fake_storage.running(bucket) as address:
        engine = opened(address, timeline, **given)
    try:
        assert torch.equal(logits_of(engine), reference)
    finally:
        engine.close()
    return timeline.record()


def refused(bucket: Bucket, **given: Any) -> LoadFailed:
    with fake_storage.running(bucket) as address, pytest.raises(LoadFailed) as failed:
        opened(address, Timeline(), **given).close()
    return failed.value


def read_of(bucket: Bucket, name: str) -> int:
    """Bytes of an object that were asked for."""
    spans = [re.fullmatch(r"bytes=(\d+)-(\d+)", headers["Range"]) for path, headers in bucket.asked if name in path]
    return sum(int(span[2]) - int(span[1]) + 1 for span in spans if span)


def object_of(record: dict[str, Any], name: str = SHARD) -> dict[str, Any]:
    return next(one for one in record["objects"] if one["name"] == name)


# --- what is left out, and how the rest is proven ----------------------------------------------------


def test_without_a_manifest_a_shard_with_vision_is_read_whole(vision: Path, reference: Any) -> None:
    """Only the whole has a checksum then: the tower's bytes are read, summed and dropped."""
    bucket = bucket_of(vision)
    record = loaded(bucket, reference)
    assert read_of(bucket, SHARD) == (vision / SHARD).stat().st_size
    assert all(one["verified"] for one in record["objects"])
    assert record["bytes"] == sum(path.stat().st_size for path in MODEL.glob("*.safetensors")) - headers(MODEL)


def headers(folder: Path) -> int:
    return sum(8 + int.from_bytes(path.read_bytes()[:8], "little") for path in folder.glob("*.safetensors"))


def test_a_manifest_proves_the_ranges_beside_vision(vision: Path, reference: Any) -> None:
    """The tower is not read, and what is read is verified range by range."""
    bucket = bucket_of(vision)
    bucket.put(f"m/{MANIFEST}", manifest_of(vision))
    record = loaded(bucket, reference)
    assert read_of(bucket, SHARD) < (vision / SHARD).stat().st_size - 2_500_000 + 1_048_576
    assert object_of(record)["verified"] is True
    assert object_of(record)["crc32c"] == f"{crc32c.crc32c((vision / SHARD).read_bytes()):08x}"


def test_a_wrong_byte_beside_vision_is_refused_by_name(vision: Path) -> None:
    """The manifest's range finds what the whole's sum can't be asked about."""
    bucket = bucket_of(vision)
    bucket.put(f"m/{MANIFEST}", manifest_of(vision))

    def spoil(handler: fake_storage.Handler, data: bytes, first: int, beyond: int) -> bool:
        return SHARD in handler.path and first > 0 and wrong_byte()(handler, data, first, beyond)

    bucket.faults = [spoil] * 200
    failure = refused(bucket).failure
    assert (failure.code, failure.object) == (Code.CHECKSUM_MISMATCH, SHARD)
    assert "manifest" in failure.detail


def test_a_manifest_of_other_bytes_is_not_believed(vision: Path, reference: Any) -> None:
    """A shard that was replaced since is read whole and proven by the store; a manifest that is none is told."""
    bucket = bucket_of(vision)
    bucket.put(f"m/{MANIFEST}", manifest_of(MODEL))
    record = loaded(bucket, reference)
    assert read_of(bucket, SHARD) == (vision / SHARD).stat().st_size
    assert "manifest" not in record
    bucket.asked.clear()
    bucket.put(f"m/{MANIFEST}", b"{}")
    record = loaded(bucket, reference)
    assert "not used" in record["manifest"]
    assert read_of(bucket, SHARD) == (vision / SHARD).stat().st_size
    assert object_of(record)["verified"] is True


def test_skip_unverified_is_explicit_and_told(vision: Path, reference: Any) -> None:
    """Fewer bytes, and the record says of which object they were not proven."""
    bucket = bucket_of(vision)
    record = loaded(bucket, reference, skip_unverified=True)
    assert read_of(bucket, SHARD) < (vision / SHARD).stat().st_size - 1_000_000
    assert object_of(record)["verified"] is False
    assert record["skip_unverified"] is True
    assert sum(not one["verified"] for one in record["objects"]) == 1


def test_a_directory_is_held_to_its_manifest(vision: Path, reference: Any, tmp_path: Path) -> None:
    """A disk that flips a bit is found where a manifest has the sums; small files may be mended by hand."""
    folder = tmp_path / "m"
    shutil.copytree(MODEL, folder)
    (folder / "gemmactl").mkdir()
    records = manifest_of(MODEL)
    (folder / MANIFEST).write_bytes(records)
    edited = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**edited, "comment": 1}))
    timeline = Timeline()
    load(Settings(model=str(folder), threads=1), environ={}, timeline=timeline).close()
    assert object_of(timeline.record())["verified"] is True
    data = bytearray((folder / SHARD).read_bytes())
    data[-1] ^= 1
    (folder / SHARD).write_bytes(data)
    with pytest.raises(LoadFailed) as failed:
        load(Settings(model=str(folder), threads=1), environ={}).close()
    assert (failed.value.failure.code, failed.value.failure.object) == (Code.CHECKSUM_MISMATCH, SHARD)


# --- memory ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connections", [1, 4])
def test_a_ring_never_holds_more_than_its_reads(text: Bucket, reference: Any, connections: int) -> None:
    """Into another dtype bytes pass through slabs: as many as reads are given out, and those whose copy is under way."""
    import torch

    timeline = Timeline()
    with fake_storage.running(text) as address:
        engine = opened(address, timeline, connections=connections, dtype="float32", staging=1, chunk=70_000)
    model = engine._runner._model  # type: ignore[attr-defined]
    weight = model.get_input_embeddings().weight
    assert weight.dtype == torch.float32
    engine.close()
    slabs = timeline.record()["reads"]["slabs"]
    assert 0 < slabs <= connections + SPARE + 4
    assert SPARE >= IN_FLIGHT


# --- faults: each one fires, then leaves no trace or refuses by name ----------------------------------


def fired(bucket: Bucket, faults: list[Fault | None]) -> Callable[[], bool]:
    """Put the faults in, and tell afterwards whether every one has struck."""
    struck: list[int] = []

    def counting(number: int, fault: Fault) -> Fault:
        def strike(handler: fake_storage.Handler, data: bytes, first: int, beyond: int) -> bool:
            struck.append(number)
            return fault(handler, data, first, beyond)

        return strike

    bucket.faults = [counting(number, fault) if fault else None for number, fault in enumerate(faults)]
    return lambda: len(struck) == sum(fault is not None for fault in faults)


def another_range(handler: fake_storage.Handler, data: bytes, first: int, beyond: int) -> bool:
    """The right bytes under another address; without one where there is no other."""
    if beyond < len(data):
        handler.part(data[first:beyond], first + 1, beyond + 1, len(data))
    else:
        handler.answer(206, data[first:beyond])
    return True


SURVIVED: dict[str, Fault] = {
    "503": status(503),
    "429 with Retry-After": status(429, Retry_After="0"),
    "408": status(408),
    "500": status(500),
    "reset before a byte": cut(0, reset=True),
    "reset inside": cut(7000, reset=True),
    "closed inside": cut(7000),
    "another range": another_range,
}


@pytest.mark.parametrize("what", list(SURVIVED))
def test_a_passing_fault_leaves_no_trace(text: Bucket, reference: Any, what: str) -> None:
    """Every few requests one: the weights are bit-equal and every object is proven."""
    all_fired = fired(text, [None, SURVIVED[what], None, None, SURVIVED[what], None, SURVIVED[what]])
    record = loaded(text, reference)
    assert all_fired()
    assert all(one["verified"] for one in record["objects"])
    assert sum(record["reads"].get(kind, 0) for kind in ("retry", "broken")) >= 1


def test_a_silent_connection_is_left_and_told(text: Bucket, reference: Any) -> None:
    """Bytes that stop coming are asked for again on a new connection, from where they stopped."""
    over = threading.Event()
    try:
        all_fired = fired(text, [None, None, None, None, stall(7000, over)])
        record = loaded(text, reference)
        assert all_fired()
        assert record["reads"]["stall"] >= 1
    finally:
        over.set()


def replace(handler: fake_storage.Handler, *_: object) -> bool:
    handler.bucket.put(f"m/{SHARD}", bytes(len(handler.bucket.objects[f"m/{SHARD}"])))
    return False


def remove(handler: fake_storage.Handler, *_: object) -> bool:
    handler.bucket.objects.pop(f"m/{SHARD}", None)
    return False


REFUSED: dict[str, tuple[Fault, Code]] = {
    "a wrong byte": (wrong_byte(), Code.CHECKSUM_MISMATCH),
    "overwritten": (replace, Code.OBJECT_CHANGED),
    "deleted": (remove, Code.SHARD_MISSING),
    "forbidden": (status(403), Code.ACCESS_DENIED),
    "unauthorized": (status(401), Code.ACCESS_DENIED),
    "a precondition": (status(412), Code.OBJECT_CHANGED),
    "shorter": (status(416), Code.OBJECT_CHANGED),
}


@pytest.mark.parametrize("what", list(REFUSED))
def test_a_fault_that_stays_refuses_by_name(text: Bucket, what: str) -> None:
    """Half of one model and half of another is none; a refusal surfaces at once, without a second try."""
    fault, code = REFUSED[what]
    all_fired = fired(text, [None] * 14 + [fault])
    assert refused(text).failure.code is code
    assert all_fired()


def test_a_load_has_a_deadline(text: Bucket) -> None:
    """A store that answers nothing any more ends the load by name instead of holding a GPU for ever."""
    over = threading.Event()
    text.faults = [None] * 12 + [stall(0, over)] * 100
    try:
        failure = refused(text, load_seconds=2, stall=60).failure
    finally:
        over.set()
    assert failure.code is Code.DEADLINE_EXCEEDED
    assert "GEMMACTL_LOAD_SECONDS" in failure.detail


class Metadata(fake_storage.Handler):
    """A metadata server whose tokens end while they are used."""

    given = 0

    def do_GET(self) -> None:
        body, kind = b"project", "text/plain"
        if "token" in self.path:
            type(self).given += 1
            self.bucket.objects["given"] = str(type(self).given).encode()
            body = json.dumps({"access_token": f"token-{type(self).given}", "expires_in": 3600}).encode()
            kind = "application/json"
        elif "service-accounts" in self.path:
            body, kind = b'{"email": "a@b", "scopes": []}', "application/json"
        self.answer(200, body, Metadata_Flavor="Google", Content_Type=kind)


def test_a_token_that_ends_mid_load_is_renewed(text: Bucket, reference: Any) -> None:
    """401 in the middle: a new token, and the load goes on with every byte right."""
    import torch

    text.tokens = {"Bearer token-1", "Bearer token-2"}  # each reading process has one

    def expire(handler: fake_storage.Handler, *_: object) -> bool:
        handler.bucket.tokens = {f"Bearer token-{number}" for number in range(3, 9)}
        return False

    text.faults = [None] * 10 + [expire]
    timeline = Timeline()
    with fake_storage.running(Bucket(), Metadata) as metadata, fake_storage.running(text) as address:
        host = metadata.removeprefix("http://")
        settings = Settings(model="gs://bucket/m", threads=1, connections=4, chunk=50_000, reader="process")
        environ = {"STORAGE_EMULATOR_HOST": address, "GCE_METADATA_HOST": host, "GCE_METADATA_IP": host}
        engine = load(settings, environ=environ, timeline=timeline)
    assert torch.equal(logits_of(engine), reference)
    engine.close()
    assert timeline.record()["reads"]["renewed"] >= 1


@pytest.fixture
def address(text: Bucket) -> Iterator[str]:
    with fake_storage.running(text) as url:
        yield url
