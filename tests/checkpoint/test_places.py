"""The wrong folder: what is said about it, and which right one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemmactl.checkpoint.files import BucketFiles, DirectoryFiles, Files
from gemmactl.checkpoint.finding import ModelFinding
from gemmactl.checkpoint.inspect import inspect
from gemmactl.resources.cloud import BucketInfo
from tests.checkpoint import zoo
from tests.fakes.cloud import FakeCloud


def never(name: str) -> Files:
    raise AssertionError(name)


def only(files: Files) -> ModelFinding:
    """The one error."""
    (found,) = inspect(files, open_base=never).errors
    return found


def bucket_of(folder: Path) -> FakeCloud:
    """A bucket `my-models` with everything below a directory."""
    cloud = FakeCloud()
    cloud.storage.create_bucket(BucketInfo("my-models", "us-central1"))
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        cloud.storage.write("my-models", path.relative_to(folder).as_posix(), path)
    return cloud


def test_one_level_too_high_names_the_right_folder(tmp_path: Path) -> None:
    """The bucket's root was given while the model lies in a folder: the seed author's own story."""
    zoo.text(tmp_path / "gemma-merged")
    assert only(DirectoryFiles(tmp_path)).remedy == f"give {tmp_path}/gemma-merged"
    for direct in (False, True):
        found = only(BucketFiles(bucket_of(tmp_path).storage, "my-models", direct=direct))
        assert (found.code, found.remedy) == ("wrong-folder", "give gs://my-models/gemma-merged")


def test_the_hubs_way_to_name_a_model_is_understood() -> None:
    """`owner/name` is a directory that is not there: the remedy says how the Hub's is written."""
    assert only(DirectoryFiles(Path("google/gemma-3-4b-it"))).remedy.endswith("is written hf:google/gemma-3-4b-it")


def test_what_lies_below_a_sound_model_is_never_listed(tmp_path: Path) -> None:
    """A folder of checkpoints beside the weights may hold a million objects: only the folder itself and gemmactl's are listed."""
    zoo.text(tmp_path / "m")
    (tmp_path / "m" / "gemmactl").mkdir()
    (tmp_path / "m" / "gemmactl" / "overrides.json").write_text('{"generation_config.json": {"top_k": 1}}')
    (tmp_path / "m" / "checkpoint-1").mkdir()
    (tmp_path / "m" / "checkpoint-1" / "optimizer.pt").write_bytes(b"x")
    cloud = bucket_of(tmp_path)
    cloud.calls.clear()
    report = inspect(BucketFiles(cloud.storage, "my-models", "m", direct=True), open_base=never)
    assert report.errors == ()
    assert report.overrides.named() == ["generation_config.json:top_k"]
    lists = sorted(call.subject for call in cloud.calls if call.name == "storage.list")
    assert lists == ["my-models/m/", "my-models/m/gemmactl/"]


def test_a_misspelled_folder_of_a_bucket_names_its_neighbours(tmp_path: Path) -> None:
    """Nothing lies there, but beside it a model does."""
    zoo.text(tmp_path / "ft" / "gemma")
    found = only(BucketFiles(bucket_of(tmp_path).storage, "my-models", "ft/gema"))
    assert (found.code, found.remedy) == ("model-not-found", "did you mean gs://my-models/ft/gemma?")


def test_neighbours_are_named_by_likeness_and_only_when_the_folder_is_the_wrong_one(tmp_path: Path) -> None:
    """The best guess comes first; a folder with shards needs its config.json, not another folder."""
    for name in ("aaa", "bbb", "gemma-sql"):
        zoo.text(tmp_path / name)
    assert only(DirectoryFiles(tmp_path / "gemma-sq")).remedy.startswith(f"did you mean {tmp_path / 'gemma-sql'} or")
    (tmp_path / "gemma-sql" / "config.json").unlink()
    found = only(DirectoryFiles(tmp_path / "gemma-sql"))
    assert (found.code, "did you mean" in found.remedy) == ("config-missing", False)


@pytest.mark.parametrize("count", [3, 4])
def test_missing_shards_are_one_finding(tmp_path: Path, count: int) -> None:
    """A half-done upload, or one that never began: told once, with the names where an index tells them."""
    zoo.text(tmp_path / "m")
    zoo.gone(*zoo.SHARDS[:count])(tmp_path / "m")
    found = only(DirectoryFiles(tmp_path / "m"))
    assert found.code == "shard-missing"
    if count < len(zoo.SHARDS):
        assert all(name in found.what for name in zoo.SHARDS[:count])


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("a-file", "it is a file; a model is the directory around it"),
        ("empty", "no file lies in it or one level below"),
        ("nowhere", "there is no such directory"),
    ],
)
def test_why_a_directory_holds_nothing_is_said(tmp_path: Path, place: str, why: str) -> None:
    """A file, an empty directory, no directory: three different mistakes."""
    (tmp_path / "a-file").write_text("x")
    (tmp_path / "empty").mkdir()
    assert only(DirectoryFiles(tmp_path / place)).evidence == why


@pytest.mark.parametrize(
    ("bucket", "why"), [("nowhere", "there is no bucket nowhere"), ("my-models", "the folder is empty or misspelled")]
)
def test_why_a_bucket_holds_nothing_is_said(tmp_path: Path, bucket: str, why: str) -> None:
    """No bucket, or no folder in it."""
    assert only(BucketFiles(bucket_of(tmp_path).storage, bucket, "m")).evidence == why
