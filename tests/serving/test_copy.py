"""copy, in memory: byte-exact in every direction, and never over something else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.serving.copy import Wish
from tests.fakes.cloud import FakeCloud
from tests.serving.copy_desk import (
    FILES,
    LARGE,
    MANIFEST,
    ONE,
    folder,
    manifest,
    objects,
    on_disk,
    proves,
    put,
    run,
)
from tests.serving.ear import SAMPLE


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


def test_a_half_published_model_is_not_copied(cloud: FakeCloud, tmp_path: Path) -> None:
    """Its copy would get a manifest, which says that all is there. Known by its lineage, wherever it lies, or by its address."""
    put(cloud, "m", {**LARGE, "gemmactl/lineage.json": b"{}"})
    put(cloud, "gemmactl/models/sql/0123456789ab", LARGE)
    for place in ("m", "gemmactl/models/sql/0123456789ab"):
        with pytest.raises(Trouble) as refused:
            run(cloud, f"gs://bkt/{place}", tmp_path / "out")
        assert (refused.value.code, refused.value.exit) == ("model-unfinished", Exit.REFUSED)
        assert "gemmactl finetune resume" in refused.value.remedy
    assert not (tmp_path / "out").exists()
