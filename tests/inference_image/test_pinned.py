"""A pinned start: exactly the files that were approved, or a refusal that names what changed and what accepts it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import pytest

from inference_image.chunks import open_source
from inference_image.chunks.crew import Pace
from inference_image.chunks.process import ProcessReaders
from inference_image.chunks.source import Buffer, Job, Patience, Source
from inference_image.contract import Code, LoadFailed
from inference_image.engine import begin
from inference_image.pin import Pin, Pinned, Place, digest_of, path_of
from inference_image.settings import Settings
from inference_image.timeline import Timeline
from tests.inference_image import fake_storage
from tests.inference_image.checkpoints import MODEL
from tests.inference_image.fake_storage import Bucket, checksum_of, md5_of

SERVICE = "projects/demo-proj/locations/us-central1/services/gemma"
DATA = bytes(range(256)) * 40


def pin_of(bucket: Bucket, *, open_: bool = False, uri: str = "gs://bucket/m", md5: bool = True) -> Pin:
    """What deploy writes of a folder as it is. `md5`: whether its objects were uploaded whole."""
    found = [name for name in bucket.objects if name.startswith("m/") and "/" not in name.removeprefix("m/")]
    rows = [
        Pinned(
            name[2:],
            0 if open_ else bucket.generations[name],
            len(bucket.objects[name]),
            checksum_of(bucket.objects[name]),
            md5_of(bucket.objects[name]) if md5 and not open_ else "",
        )
        for name in found
    ]
    return Pin(SERVICE, (Place(uri, tuple(sorted(rows))),))


def placed(bucket: Bucket, pin: Pin) -> str:
    """The value of ENV_PIN; the pin lies beside the weights."""
    name = f"m/{path_of(SERVICE, pin.digest)}"
    bucket.put(name, pin.data)
    return f"gs://bucket/{name}"


@pytest.fixture
def bucket() -> Bucket:
    made = Bucket()
    made.put("m/config.json", b"{}")
    made.put("m/model.safetensors", DATA)
    return made


@pytest.fixture
def address(bucket: Bucket) -> Iterator[str]:
    with fake_storage.running(bucket) as url:
        yield url


def source_of(address: str, pin: str, patience: Patience) -> Source:
    return open_source("gs://bucket/m", {"STORAGE_EMULATOR_HOST": address}, patience=patience, pin=pin)


def read(source: Source, name: str = "model.safetensors") -> bytes:
    one = {each.name: each for each in source.list()}[name]
    buffer = Buffer(one.size)
    source.read(one, 0, one.size, buffer)
    return bytes(buffer.data)


def refused(source: Source, name: str = "model.safetensors") -> LoadFailed:
    with pytest.raises(LoadFailed) as caught:
        read(source, name)
    return caught.value


def test_the_pin_takes_the_place_of_the_list(bucket: Bucket, address: str, patience: Patience) -> None:
    """One read in place of two lists; what came into the folder since is not seen."""
    source = source_of(address, placed(bucket, pin_of(bucket)), patience)
    bucket.put("m/chat_template.jinja", b"new")
    assert [one.name for one in source.list()] == ["config.json", "model.safetensors"]
    assert [path.partition("?")[0].rpartition("%2F")[2][64:] for path, _ in bucket.asked] == [".json"]
    assert read(source) == DATA


def test_an_overwritten_shard_is_refused_by_name(bucket: Bucket, address: str, patience: Patience) -> None:
    """Between two starts a shard is overwritten: the second start names it, what it was, what it is, and what accepts it."""
    pin = placed(bucket, pin_of(bucket))
    assert read(source_of(address, pin, patience)) == DATA
    bucket.put("m/model.safetensors", DATA[::-1])
    failed = refused(source_of(address, pin, patience)).failure
    assert (failed.code, failed.object) == (Code.WEIGHTS_CHANGED, "model.safetensors")
    assert "1 of 2 files of gs://bucket/m" in failed.detail
    assert "model.safetensors was generation 1001, 10240 bytes, now generation 1002, 10240 bytes" in failed.detail
    assert "gemmactl deploy gs://bucket/m --name gemma --region us-central1 --project demo-proj" in failed.detail


def test_an_adapter_of_a_model_of_the_hub_names_the_model(bucket: Bucket, address: str, patience: Patience) -> None:
    """Only the adapter's folder is pinned then; the command deploys what is served, not the adapter."""
    environ = {"STORAGE_EMULATOR_HOST": address, "GEMMACTL_MODEL": f"hf:owner/name@{'a' * 40}"}
    source = open_source("gs://bucket/m", environ, patience=patience, pin=placed(bucket, pin_of(bucket)))
    bucket.put("m/model.safetensors", DATA[::-1])
    assert f"gemmactl deploy hf:owner/name@{'a' * 40} --name gemma" in refused(source).failure.detail


def test_every_changed_file_is_named(bucket: Bucket, address: str, patience: Patience) -> None:
    """Gone, replaced, and written again with the same bytes: each is told for what it is."""
    bucket.put("m/tokenizer.json", b"words")
    pin = placed(bucket, pin_of(bucket))
    bucket.put("m/model.safetensors", DATA)
    bucket.put("m/config.json", b"{1}")
    del bucket.objects["m/tokenizer.json"]
    detail = refused(source_of(address, pin, patience)).failure.detail
    assert "3 of 3 files" in detail
    assert "model.safetensors was generation 1001, 10240 bytes, now generation 1002 with the same bytes" in detail
    assert "config.json was generation 1001, 2 bytes, now generation 1002, 3 bytes" in detail
    assert "tokenizer.json was generation 1001, 5 bytes, now gone" in detail


def test_the_same_bytes_under_a_new_generation_are_what_was_approved(bucket: Bucket, address: str, patience: Patience) -> None:
    """The same upload once more, or a restoration: read under the new generations, what had arrived before is kept."""
    pin = placed(bucket, pin_of(bucket))

    def again(handler: fake_storage.Handler, data: bytes, first: int, beyond: int) -> bool:
        bucket.put("m/model.safetensors", DATA)
        return fake_storage.cut(100)(handler, data, first, beyond)

    bucket.put("m/config.json", b"{}")
    bucket.faults = [again]
    source = source_of(address, pin, patience)
    assert read(source) == DATA
    assert read(source, "config.json") == b"{}"


def test_readers_that_meet_the_change_one_after_another_all_go_on(bucket: Bucket, address: str, patience: Patience) -> None:
    """What one reader found out while another was still asking for the old generation holds for both."""
    source, first = source_of(address, placed(bucket, pin_of(bucket)), patience), []

    def overtaken(handler: fake_storage.Handler, data: bytes, begin: int, beyond: int) -> bool:
        bucket.put("m/model.safetensors", DATA)
        first.append(read(source))
        handler.answer(404, b"No such object")
        return True

    bucket.faults = [overtaken]
    assert [read(source), *first] == [DATA, DATA]


def test_without_an_md5_the_same_bytes_are_not_proven(bucket: Bucket, address: str, patience: Patience) -> None:
    """A CRC can be made to fit: an object that was composed of parts has nothing more, and its generation decides."""
    bucket.composed = True
    pin = placed(bucket, pin_of(bucket, md5=False))
    bucket.put("m/model.safetensors", DATA)
    failed = refused(source_of(address, pin, patience)).failure
    assert failed.code is Code.WEIGHTS_CHANGED
    assert "now generation 1002 with the same bytes" in failed.detail


def test_a_bucket_that_keeps_generations_serves_what_was_approved(bucket: Bucket, address: str, patience: Patience) -> None:
    """An older generation is read as long as the bucket has it: an overwritten folder changes nothing."""
    bucket.versioned = True
    pin = placed(bucket, pin_of(bucket))
    bucket.put("m/model.safetensors", DATA[::-1])
    assert read(source_of(address, pin, patience)) == DATA


def test_content_may_be_pinned_without_its_generation(bucket: Bucket, address: str, patience: Patience) -> None:
    """What deploy uploads itself has its content as a name: any generation of the same bytes is right, another content is not."""
    pin = placed(bucket, pin_of(bucket, open_=True))
    bucket.put("m/model.safetensors", DATA)
    assert read(source_of(address, pin, patience)) == DATA
    bucket.put("m/model.safetensors", DATA[::-1])
    failed = refused(source_of(address, pin, patience)).failure
    assert failed.code is Code.WEIGHTS_CHANGED
    assert f"model.safetensors was crc32c {checksum_of(DATA)}, 10240 bytes, now crc32c {checksum_of(DATA[::-1])}" in failed.detail


def test_a_pin_may_be_the_variable_itself(bucket: Bucket, address: str, patience: Patience) -> None:
    """Whoever may not write beside the weights deploys with the document in the revision: no request more."""
    text = pin_of(bucket).data.decode()
    assert read(source_of(address, text, patience)) == DATA
    assert len(bucket.asked) == 1
    assert digest_of(text) == pin_of(bucket).digest


@pytest.mark.parametrize("how", ["gone", "altered", "foreign", "of another model"])
def test_a_pin_that_is_none_is_refused(bucket: Bucket, address: str, patience: Patience, how: str) -> None:
    """Nothing is read without it: it is there, has its digest, has our form, and speaks of this model."""
    text = placed(bucket, pin_of(bucket, uri="gs://bucket/n" if how == "of another model" else "gs://bucket/m"))
    name = text.removeprefix("gs://bucket/")
    if how == "gone":
        del bucket.objects[name]
    elif how == "altered":
        bucket.put(name, bucket.objects[name].replace(b"1001", b"1002"))
    elif how == "foreign":
        text = '{"schema": "other"}'
    failed = refused(source_of(address, text, patience)).failure
    assert failed.code is Code.PIN_INVALID
    assert "deploy" in failed.detail


def test_a_fault_that_passes_is_not_taken_for_a_change(bucket: Bucket, address: str, patience: Patience) -> None:
    """503, cuts and stale answers are tried again as without a pin."""
    pin = placed(bucket, pin_of(bucket))
    bucket.faults = [fake_storage.status(503), fake_storage.cut(100)]
    assert read(source_of(address, pin, patience)) == DATA


def test_reading_processes_hold_to_the_pin(bucket: Bucket, address: str) -> None:
    """Processes that read hear of the pin, and a change comes back as what it is."""
    pin = placed(bucket, pin_of(bucket))
    bucket.put("m/model.safetensors", DATA[::-1])
    events: SimpleQueue[Any] = SimpleQueue()
    readers = ProcessReaders("gs://bucket/m", {"STORAGE_EMULATOR_HOST": address}, Pace(1, 1), 15, events, 1, pin=pin)
    with ExitStack() as end:
        end.callback(readers.close)
        objects = {one.name: one for one in readers.list()}
        readers.open(objects, len(DATA))
        readers.add([Job(1, "model.safetensors", 0, len(DATA), 0)])
        failed = events.get(timeout=30)
    assert isinstance(failed, LoadFailed)
    assert failed.failure.code is Code.WEIGHTS_CHANGED


def test_a_checkpoint_comes_as_its_pin_has_it_or_not_at_all() -> None:
    """The sample's whole load: fewer requests than without a pin, the digest in the timeline, and a refusal after a change."""
    made = fake_storage.bucket_of(MODEL)
    counts: list[int] = []
    with fake_storage.running(made) as url:
        environ = {"STORAGE_EMULATOR_HOST": url}
        pin = placed(made, pin_of(made))
        for text in ("", pin):
            made.asked.clear()
            timeline = Timeline()
            settings = Settings(model="gs://bucket/m", threads=1, reader="threads", pin=text)
            begin(settings, timeline, environ=environ).finished.result(60)
            counts.append(len(made.asked))
        assert timeline.record()["pin"] == digest_of(pin)
        assert all(row["verified"] for row in timeline.record()["objects"])
        name = "model-00002-of-00004.safetensors"
        made.put(f"m/{name}", made.objects[f"m/{name}"][:-1] + b"!")
        with pytest.raises(LoadFailed) as caught:
            begin(settings, Timeline(), environ=environ).finished.result(60)
    assert (caught.value.failure.code, caught.value.failure.object) == (Code.WEIGHTS_CHANGED, name)
    assert counts[1] == counts[0] - 1


def test_a_document_is_the_same_for_the_same_weights() -> None:
    """Whatever the order in which a folder was listed; another generation is another document."""
    rows = (Pinned("b", 2, 1, checksum_of(b"b")), Pinned("a", 1, 1, checksum_of(b"a")))
    one, two = (Pin(SERVICE, (Place("gs://b/m", order),)) for order in (rows, rows[::-1]))
    assert one.data == two.data
    assert Pin.parse(one.data, one.digest).data == one.data
    assert one.digest != Pin(SERVICE, (Place("gs://b/m", (replace(rows[0], generation=3), rows[1])),)).digest


@pytest.mark.parametrize(
    "row",
    [
        {"name": 1, "generation": 1, "size": 1, "crc32c": "AAAAAA=="},
        {"name": "a", "generation": -1, "size": 1, "crc32c": "AAAAAA=="},
        {"name": "a", "generation": 1, "size": "1", "crc32c": "AAAAAA=="},
        {"name": "a", "generation": 0, "size": 1, "crc32c": ""},
        {"name": "a", "size": 1, "crc32c": "AAAAAA=="},
    ],
)
def test_a_document_of_another_form_is_none(row: dict[str, object]) -> None:
    """Whoever wrote it is not trusted."""
    document = {"schema": "gemmactl/pin.v1", "service": SERVICE, "places": [{"uri": "gs://b/m", "objects": [row]}]}
    with pytest.raises(ValueError, match=r"."):
        Pin.parse(json.dumps(document).encode())


def test_a_setting_that_can_be_no_pin_is_told() -> None:
    """Before anything is read."""
    with pytest.raises(LoadFailed) as caught:
        Settings.from_environ({"GEMMACTL_MODEL": "gs://b/m", "GEMMACTL_PIN": "gs://b/m/pin.json"})
    assert (caught.value.failure.code, caught.value.failure.object) == (Code.SETTING_INVALID, "GEMMACTL_PIN")
