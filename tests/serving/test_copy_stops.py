"""copy, interrupted and disturbed: what is whole stays, what is wrong never becomes whole, the same command goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemmactl.checkpoint.manifest import RANGE
from gemmactl.errors import Exit, Trouble
from tests.fakes.cloud import FakeCloud
from tests.inference_image.fake_storage import Bucket
from tests.serving.copy_desk import (
    FILES,
    LARGE,
    MANIFEST,
    ONE,
    PART,
    TWO,
    Noisy,
    folder,
    manifest,
    objects,
    on_disk,
    proves,
    put,
    run,
)
from tests.serving.ear import SAMPLE


@pytest.mark.parametrize("at", range(12))
def test_interrupted_at_any_write_it_goes_on(cloud: FakeCloud, at: int) -> None:
    """Whole objects or nothing, no manifest before the end, exit 130; the same command then writes only the rest."""
    count = iter(range(100))

    def stop(name: str) -> None:
        if name == "storage.write" and next(count) == at:
            raise KeyboardInterrupt

    cloud.before_call = stop
    if at < len(FILES) + 1:
        with pytest.raises(Trouble) as told:
            run(cloud, SAMPLE, "gs://bkt/m")
        assert told.value.exit is Exit.INTERRUPTED
        assert "run the same command again" in told.value.remedy
        assert ("bkt", f"m/{MANIFEST}") not in cloud.state.objects
    cloud.before_call = lambda _name: None
    there = objects(cloud, "m")
    assert all(FILES[name] == data for name, data in there.items())
    result = run(cloud, SAMPLE, "gs://bkt/m")
    assert set(result.data["copied"]) == set(FILES) - set(there)
    assert objects(cloud, "m") == FILES
    assert proves(manifest(cloud.state.objects["bkt", f"m/{MANIFEST}"][1]), FILES)


def test_what_was_whole_is_not_fetched_from_the_hub_again(cloud: FakeCloud, environ: dict[str, str], hub: Bucket) -> None:
    """A hub states no crc32c and a bucket no sha256: what was written down on the way compares them."""

    def stop(name: str) -> None:
        if name == "storage.write" and ("bkt", f"m/{PART}") in cloud.state.objects:
            raise KeyboardInterrupt

    cloud.before_call = stop
    with pytest.raises(Trouble):
        run(cloud, "hf:owner/name", "gs://bkt/m", environ)
    cloud.before_call = lambda _name: None
    recorded = set(manifest(cloud.state.objects["bkt", f"m/{PART}"][1]).files)
    assert recorded & {"model-1.safetensors", "model-2.safetensors"}
    hub.asked.clear()
    run(cloud, "hf:owner/name", "gs://bkt/m", environ)
    assert objects(cloud, "m") == LARGE
    assert ("bkt", f"m/{PART}") not in cloud.state.objects
    fetched = {path.rpartition("/")[2] for path, _ in hub.asked if "/resolve/" in path}
    assert not fetched & recorded


@pytest.mark.parametrize("known", [True, False], ids=["with a manifest", "without"])
def test_a_wrong_byte_is_read_again(cloud: FakeCloud, tmp_path: Path, known: bool) -> None:
    """With a manifest only its range, else the file; what lands is right."""
    put(cloud, "m", LARGE)
    if known:
        run(cloud, "gs://bkt/m", tmp_path / "first")
        cloud.storage.write("bkt", f"m/{MANIFEST}", (tmp_path / "first" / MANIFEST).read_bytes())
    cloud.storage = noisy = Noisy(cloud, "m/model-1.safetensors", times=1)
    run(cloud, "gs://bkt/m", tmp_path / "out")
    assert on_disk(tmp_path / "out") == LARGE
    assert noisy.reads == (4 if known else 6)


@pytest.mark.parametrize("target", ["gs://bkt/n", "out"])
def test_bytes_that_stay_wrong_are_refused(cloud: FakeCloud, tmp_path: Path, target: str) -> None:
    """Neither an object nor a file nor half of one is made of them, and no manifest."""
    put(cloud, "m", LARGE)
    cloud.storage = Noisy(cloud, "m/model-1.safetensors", times=100)
    with pytest.raises(Trouble) as told:
        run(cloud, "gs://bkt/m", target if target.startswith("gs:") else tmp_path / target)
    assert (told.value.code, told.value.facts["object"]) == ("corrupted", "model-1.safetensors")
    there = objects(cloud, "n") if target.startswith("gs:") else on_disk(tmp_path / "out")
    assert there == {"model-2.safetensors": TWO}


@pytest.mark.parametrize("kind", ["gs", "dir"])
def test_a_source_that_changes_is_refused(cloud: FakeCloud, tmp_path: Path, kind: str) -> None:
    """Two states of a model are never mixed."""
    source = folder(tmp_path / "src", LARGE)
    put(cloud, "m", LARGE)
    changing = iter([True])

    def change(name: str) -> None:
        if name == "storage.list" and next(changing, False):  # the source is listed by then
            (source / "model-2.safetensors").write_bytes(ONE)
            put(cloud, "m", {"model-2.safetensors": ONE})

    cloud.after_call = change
    with pytest.raises(Trouble) as told:
        run(cloud, "gs://bkt/m" if kind == "gs" else source, "gs://bkt/n")
    assert told.value.code == "source-changed"
    assert "model-2.safetensors" not in objects(cloud, "n")


def test_a_write_of_somebody_else_is_not_undone(cloud: FakeCloud) -> None:
    """What appears at the destination meanwhile stays as it is."""

    def appear(name: str) -> None:
        if name == "storage.write" and ("bkt", "n/config.json") not in cloud.state.objects:
            cloud.before_call = lambda _name: None
            put(cloud, "n", {"config.json": b"theirs"})

    cloud.before_call = appear
    with pytest.raises(Trouble) as told:
        run(cloud, SAMPLE, "gs://bkt/n")
    assert told.value.code == "copy-raced"
    assert objects(cloud, "n")["config.json"] == b"theirs"


def test_an_answer_that_was_lost(cloud: FakeCloud) -> None:
    """The object is there and nobody heard of it: the next run finds it and writes it no second time."""
    lost = iter([True])

    def drop(name: str) -> None:
        if name == "storage.write" and next(lost, False):
            raise Trouble("lost", why="network", remedy="again", code="network")

    cloud.after_call = drop
    with pytest.raises(Trouble):
        run(cloud, SAMPLE, "gs://bkt/n")
    cloud.calls.clear()
    run(cloud, SAMPLE, "gs://bkt/n")
    assert objects(cloud, "n") == FILES


def test_half_a_file_is_gone_on_with(cloud: FakeCloud, tmp_path: Path) -> None:
    """NAME.part is held against the whole's checksum, and only what it lacks is read."""
    put(cloud, "m", LARGE)
    (tmp_path / "out").mkdir()
    half = tmp_path / "out" / "model-1.safetensors.part"
    half.write_bytes(ONE[: RANGE + 5])
    cloud.storage = noisy = Noisy(cloud, "m/model-1.safetensors")
    run(cloud, "gs://bkt/m", tmp_path / "out")
    assert on_disk(tmp_path / "out") == LARGE
    assert noisy.reads == 2


def test_half_of_another_file_is_thrown_away(cloud: FakeCloud, tmp_path: Path) -> None:
    """What does not fit the whole is not kept."""
    put(cloud, "m", LARGE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model-1.safetensors.part").write_bytes(TWO)
    run(cloud, "gs://bkt/m", tmp_path / "out")
    assert on_disk(tmp_path / "out") == LARGE


def test_an_interrupted_directory_holds_halves_only_as_such(cloud: FakeCloud, tmp_path: Path) -> None:
    """A file has its name only when it is whole."""
    put(cloud, "m", LARGE)
    count = iter(range(100))

    def stop(name: str) -> None:
        if name == "storage.read" and next(count) == 4:
            raise KeyboardInterrupt

    cloud.before_call = stop
    with pytest.raises(Trouble) as told:
        run(cloud, "gs://bkt/m", tmp_path / "out")
    assert ".part" in told.value.why
    assert all(LARGE[name] == data for name, data in on_disk(tmp_path / "out").items() if not name.endswith(".part"))
    cloud.before_call = lambda _name: None
    run(cloud, "gs://bkt/m", tmp_path / "out")
    assert on_disk(tmp_path / "out") == LARGE
