"""A model directory in a bucket: what is sent, in which order, what is sent again, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemmactl.errors import Trouble
from gemmactl.kernel.plan import Op, decide
from gemmactl.resources.cloud import BucketInfo
from gemmactl.resources.local_model import read_folder
from gemmactl.resources.model_files import ModelFiles
from tests.fakes.cloud import FakeCloud
from tests.resources.wishes import work

REGION = "us-central1"


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "m"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"model-0000{number}-of-00002.safetensors").write_bytes(b"w" * number)
    for name in ("config.json", "model.safetensors.index.json", "tokenizer.json", "README.md", "optimizer.pt"):
        (folder / name).write_text("{}")
    return folder


def test_files_are_uploaded_with_the_config_last(cloud: FakeCloud, model: Path) -> None:
    """Shards come first, the index and then config.json last; what a server doesn't need stays here."""
    cloud.state.buckets["b"] = BucketInfo("b", REGION)
    ModelFiles("b", "p", model=read_folder(model)).create(cloud, work())
    names = [c.subject.removeprefix("b/p/") for c in cloud.writes]
    assert sorted(names[:2]) == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert names[2:] == ["tokenizer.json", "model.safetensors.index.json", "config.json"]


def test_what_gemmactl_wrote_beside_the_weights_goes_along(cloud: FakeCloud, model: Path) -> None:
    """Corrections are part of the model, and its name follows them; other folders stay here; the manifest comes last of all."""
    cloud.state.buckets["b"] = BucketInfo("b", REGION)
    before = read_folder(model).digest
    for folder, name in (("gemmactl", "manifest.json"), ("gemmactl", "overrides.json"), ("logs", "run.json")):
        (model / folder).mkdir(exist_ok=True)
        (model / folder / name).write_text("{}")
    found = read_folder(model)
    assert found.digest != before
    ModelFiles("b", "p", model=found).create(cloud, work())
    names = [c.subject.removeprefix("b/p/") for c in cloud.writes]
    assert names[-1] == "gemmactl/manifest.json"
    assert "gemmactl/overrides.json" in names
    assert not [name for name in names if name.startswith("logs/")]


@pytest.mark.parametrize("damage", ["missing", "other", "truncated"])
def test_only_what_differs_is_sent_again(cloud: FakeCloud, model: Path, damage: str) -> None:
    """A file that is missing, has other bytes of the same size, or is shorter, is stale and alone uploaded."""
    cloud.state.buckets["b"] = BucketInfo("b", REGION)
    wish = ModelFiles("b", "p", model=read_folder(model))
    wish.create(cloud, work())
    cloud.storage.delete("b", "p/tokenizer.json")
    if damage != "missing":
        cloud.storage.write("b", "p/tokenizer.json", b"[]" if damage == "other" else b"{")
    live = wish.read(cloud)
    assert live is not None
    assert live.stale == ("tokenizer.json",)
    cloud.calls.clear()
    wish.update(cloud, live, work())
    assert [c.subject for c in cloud.writes] == ["b/p/tokenizer.json"]
    assert decide(wish, wish.read(cloud)).op is Op.KEEP


def test_a_file_that_changes_under_the_upload_fails(cloud: FakeCloud, model: Path) -> None:
    """What arrives must be what was looked at: else the step fails, and config.json is not written."""
    cloud.state.buckets["b"] = BucketInfo("b", REGION)
    wish = ModelFiles("b", "p", model=read_folder(model))
    (model / "tokenizer.json").write_text("{ }")
    with pytest.raises(Trouble) as changed:
        wish.create(cloud, work())
    assert changed.value.code == "model-changed"
    assert cloud.storage.stat("b", "p/config.json") is None


def test_the_same_content_has_the_same_name_and_other_content_another(model: Path) -> None:
    """The digest follows names and bytes only."""
    first = read_folder(model).digest
    (model / "config.json").touch()
    (model / "README.md").write_text("changed")
    assert read_folder(model).digest == first
    (model / "config.json").write_text("[]")
    assert read_folder(model).digest != first


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    """Neither an empty directory nor a missing one is a model."""
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(Trouble) as refused:
            read_folder(folder)
        assert refused.value.code == "model-folder"
