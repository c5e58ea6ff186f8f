"""A load over a network from its first byte to its verdict: vision bytes, manifests, faults that fired, tokens that end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import crc32c
import pytest

from gemmactl.checkpoint.manifest import Manifest, Record
from inference_image.chunks.arena import can_share
from inference_image.contract import MANIFEST, Code, LoadFailed
from inference_image.engine import load
from inference_image.settings import Settings
from inference_image.stream import SPARE
from inference_image.timeline import Timeline
from inference_image.upload import IN_FLIGHT
from tests.inference_image import fake_storage
from tests.inference_image.checkpoints import MODEL, Stored, shard, tensors_of
from tests.inference_image.fake_storage import Bucket, bucket_of, wrong_byte
from tests.inference_image.served import loaded, opened, read_of, refused

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
def test_a_ring_never_holds_more_than_its_reads(sample_bucket: Bucket, connections: int) -> None:
    """Into another dtype bytes pass through slabs: as many as reads are given out, and those whose copy is under way."""
    import torch

    timeline = Timeline()
    with fake_storage.running(sample_bucket) as address:
        engine = opened(
            address, timeline, connections=connections, connections_most=connections, dtype="float32", staging=1, chunk=70_000
        )
    model = engine.steps.model  # type: ignore[attr-defined]  # the slots' own
    weight = model.get_input_embeddings().weight
    assert weight.dtype == torch.float32
    engine.close()
    slabs = timeline.record()["reads"]["slabs"]
    assert 0 < slabs <= connections + SPARE + 4
    assert SPARE >= IN_FLIGHT
