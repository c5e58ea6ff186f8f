"""copy, in memory: byte-exact in every direction, resumed after any stop, and never over something else."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gemmactl.checkpoint.manifest import RANGE, Manifest, parse
from gemmactl.errors import Exit, Trouble
from gemmactl.result import Result
from gemmactl.serving.copy import Wish, copy
from inference_image.chunks.crc import whole
from tests.fakes.cloud import FakeCloud, Storage
from tests.inference_image import fake_storage
from tests.inference_image.fake_storage import Bucket
from tests.local.fake_hub import Hub
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


@pytest.fixture
def cloud() -> FakeCloud:
    from gemmactl.resources.cloud import BucketInfo

    made = FakeCloud()
    made.storage.create_bucket(BucketInfo("bkt", "us-central1"))
    return made


@pytest.fixture
def hub() -> Bucket:
    bucket = Bucket()
    for name, data in LARGE.items():
        bucket.put(name, data)
    return bucket


@pytest.fixture
def environ(hub: Bucket) -> Iterator[dict[str, str]]:
    with fake_storage.running(hub, Hub) as here:
        yield {"HF_ENDPOINT": here}


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
    return {n: r.checksum for n, r in found.files.items()} == {n: _checksum(data) for n, data in files.items()}


def _checksum(data: bytes) -> str:
    import google_crc32c

    from gemmactl.checkpoint.manifest import written

    return written(google_crc32c.value(data))


def test_round_trip(cloud: FakeCloud, tmp_path: Path) -> None:
    """Directory to bucket, to another folder of it without the bytes passing here, to a directory again: the same bytes."""
    run(cloud, folder(tmp_path / "src", LARGE), "gs://bkt/m")
    assert objects(cloud, "m") == LARGE
    cloud.calls.clear()
    run(cloud, "gs://bkt/m", "gs://bkt/n")
    assert objects(cloud, "n") == LARGE
    assert {c.subject for c in cloud.calls if c.name == "storage.read"} == {"bkt/m/gemmactl/manifest.json"}
    run(cloud, "gs://bkt/n", tmp_path / "out")
    assert on_disk(tmp_path / "out") == LARGE
    texts = [cloud.state.objects["bkt", f"{p}/{MANIFEST}"][1] for p in ("m", "n")] + [(tmp_path / "out" / MANIFEST).read_bytes()]
    assert all(proves(manifest(text), LARGE) for text in texts)
    assert manifest(texts[1]).source == "gs://bkt/m"


@pytest.mark.parametrize("to_bucket", [True, False], ids=["bucket", "directory"])
def test_from_a_hub(cloud: FakeCloud, environ: dict[str, str], tmp_path: Path, to_bucket: bool) -> None:
    """The hub's bytes, with the content ids that they have there."""
    target = "gs://bkt/m" if to_bucket else str(tmp_path / "out")
    run(cloud, "hf:owner/name", target, environ)
    assert (objects(cloud, "m") if to_bucket else on_disk(tmp_path / "out")) == LARGE
    text = cloud.state.objects["bkt", f"m/{MANIFEST}"][1] if to_bucket else (tmp_path / "out" / MANIFEST).read_bytes()
    assert proves(manifest(text), LARGE)
    assert manifest(text).files["model-1.safetensors"].version == hashlib.sha256(ONE).hexdigest()


def test_without_a_manifest_the_bytes_pass_here(cloud: FakeCloud) -> None:
    """Nothing else tells the checksums of ranges."""
    put(cloud, "m", LARGE)
    run(cloud, "gs://bkt/m", "gs://bkt/n")
    assert objects(cloud, "n") == LARGE
    assert not [c for c in cloud.calls if c.name == "storage.copy"]
    assert proves(manifest(cloud.state.objects["bkt", f"n/{MANIFEST}"][1]), LARGE)


def test_order(cloud: FakeCloud) -> None:
    """Weights before all others, then config, index, and the manifest at the very end."""
    run(cloud, SAMPLE, "gs://bkt/m")
    written = [c.subject.removeprefix("bkt/m/") for c in cloud.writes if c.name == "storage.write"]
    shards = [name for name in written if name.endswith(".safetensors")]
    assert written[: len(shards)] == shards
    assert written[-3:] == ["config.json", "model.safetensors.index.json", MANIFEST]


def test_again_changes_nothing(cloud: FakeCloud, environ: dict[str, str], tmp_path: Path) -> None:
    """The second copy writes nothing, wherever it goes."""
    for source, target in ((str(SAMPLE), "gs://bkt/m"), ("gs://bkt/m", str(tmp_path / "out")), ("hf:owner/name", "gs://bkt/h")):
        first = run(cloud, source, target, environ)
        assert first.data["copied"]
        cloud.calls.clear()
        before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")}
        second = run(cloud, source, target, environ)
        assert (second.data["copied"], second.data["bytes"]) == ([], 0)
        assert second.data["skipped"] == first.data["copied"]
        assert cloud.writes == []
        assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")} == before


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


@pytest.mark.parametrize("kind", ["gs", "dir"])
def test_another_file_is_never_overwritten_silently(cloud: FakeCloud, tmp_path: Path, kind: str) -> None:
    """It is named and nothing is written; --overwrite replaces exactly it, and the manifest is gone until that is done."""
    target = tmp_path / "out" if kind == "dir" else "gs://bkt/n"
    run(cloud, SAMPLE, target)
    if kind == "dir":
        (tmp_path / "out" / "config.json").write_bytes(b"x" * len(FILES["config.json"]))
    else:
        put(cloud, "n", {"config.json": b"x" * len(FILES["config.json"])})
    with pytest.raises(Trouble) as told:
        run(cloud, SAMPLE, target)
    assert (told.value.code, told.value.exit, told.value.facts["objects"]) == ("copy-differs", Exit.REFUSED, ["config.json"])
    assert not cloud.writes or kind == "dir"
    seen: list[bool] = []
    cloud.before_call = lambda name: (
        seen.append(("bkt", f"n/{MANIFEST}") in cloud.state.objects) if name == "storage.write" else None
    )
    result = run(cloud, SAMPLE, target, overwrite=True)
    assert result.data["replaced"] == result.data["copied"] == ["config.json"]
    assert (on_disk(tmp_path / "out") if kind == "dir" else objects(cloud, "n")) == FILES
    assert seen == ([False, False] if kind == "gs" else [])


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


def test_a_missing_bucket(cloud: FakeCloud) -> None:
    """The message says how to make it, and --make-bucket makes it private."""
    with pytest.raises(Trouble) as told:
        run(cloud, SAMPLE, "gs://other/m")
    assert (told.value.code, told.value.exit, cloud.writes[1:]) == ("bucket-missing", Exit.REFUSED, [])
    assert "gcloud storage buckets create gs://other" in told.value.remedy
    run(cloud, SAMPLE, "gs://other/m", make_bucket=True)
    assert cloud.state.buckets["other"].public_access_prevention


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("gs://bkt/m", "gs://bkt/m/"),
        ("gs://bkt/m", "gs://bkt/m/n"),
        ("gs://bkt", "gs://bkt/m"),
        ("hf:o/n@v1", "hf:o/n"),
        ("./x", "x/../x"),
    ],
)
def test_a_place_is_not_copied_onto_itself(source: str, target: str) -> None:
    """Not into itself either."""
    with pytest.raises(Trouble) as told:
        Wish.read(source, target, everything=False, overwrite=False, make_bucket=False)
    assert told.value.exit is Exit.USAGE


def test_nothing_to_copy_from(cloud: FakeCloud, tmp_path: Path) -> None:
    """An empty place, and one without a model in it."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"x")
    for name, code in (("nowhere", "model-not-found"), ("empty", "model-not-found"), ("pictures", "model-folder")):
        with pytest.raises(Trouble) as told:
            run(cloud, tmp_path / name, "gs://bkt/m")
        assert (told.value.code, told.value.exit) == (code, Exit.REFUSED)
    assert len(cloud.writes) == 1  # the fixture's bucket


def test_a_hostile_listing_writes_nothing(cloud: FakeCloud, tmp_path: Path) -> None:
    """A name that leads out of the folder is no file of a model."""
    put(cloud, "m", {"config.json": b"{}", "gemmactl/../../../escaped.json": b"{}"})
    with pytest.raises(Trouble) as told:
        run(cloud, "gs://bkt/m", tmp_path / "out", everything=True)
    assert told.value.code == "name-illegal"
    assert list(tmp_path.iterdir()) == []
    assert run(cloud, "gs://bkt/m", tmp_path / "out").data["copied"] == ["config.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_manifest_that_lies(cloud: FakeCloud, tmp_path: Path) -> None:
    """At the source it counts for nothing; at the destination it is not overwritten silently."""
    put(cloud, "m", {**LARGE, MANIFEST: b"{"})
    run(cloud, "gs://bkt/m", tmp_path / "out")
    assert on_disk(tmp_path / "out") == LARGE
    put(cloud, "n", {MANIFEST: b"{"})
    with pytest.raises(Trouble) as told:
        run(cloud, "gs://bkt/m", "gs://bkt/n")
    assert told.value.code == "manifest-invalid"
    run(cloud, "gs://bkt/m", "gs://bkt/n", overwrite=True)
    assert proves(manifest(cloud.state.objects["bkt", f"n/{MANIFEST}"][1]), LARGE)


def test_all_keeps_what_the_first_copy_wrote_down(cloud: FakeCloud, tmp_path: Path) -> None:
    """--all adds files, and a copy without it forgets none of them."""
    source = folder(tmp_path / "src", {"config.json": b"{}", "optimizer.pt": b"state"})
    assert run(cloud, source, "gs://bkt/m").data["left_behind"] == 1
    assert run(cloud, source, "gs://bkt/m", everything=True).data["copied"] == ["optimizer.pt"]
    cloud.calls.clear()
    run(cloud, source, "gs://bkt/m")
    assert cloud.writes == []
    assert set(manifest(cloud.state.objects["bkt", f"m/{MANIFEST}"][1]).files) == {"config.json", "optimizer.pt"}


def test_what_it_says(cloud: FakeCloud) -> None:
    """Counts, bytes, seconds, and what to type next."""
    result = run(cloud, SAMPLE, "gs://bkt/m")
    assert result.data["bytes"] == sum(map(len, FILES.values()))
    assert result.data["manifest"] == {"name": MANIFEST, "files": len(FILES)}
    assert result.next == ("gemmactl inspect gs://bkt/m --project demo-proj",)
