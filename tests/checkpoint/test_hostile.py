"""Folders that somebody else wrote: what they say is data, and what they ask for is bounded."""

from __future__ import annotations

from pathlib import Path

from gemmactl.checkpoint.files import BucketFiles
from gemmactl.checkpoint.inspect import inspect
from gemmactl.resources.cloud import BucketInfo
from inference_image.contract import Code
from tests.checkpoint import zoo
from tests.checkpoint.test_inspect import codes, look, never
from tests.fakes.cloud import FakeCloud
from tests.inference_image.checkpoints import edit_json


def test_names_that_leave_the_folder_are_told(tmp_path: Path) -> None:
    """An object called `../x` in a bucket is a finding, and nothing of it is read."""
    zoo.text(tmp_path / "m")
    cloud = FakeCloud()
    cloud.storage.create_bucket(BucketInfo("weights", "us-central1"))
    for path in (tmp_path / "m").iterdir():
        cloud.storage.write("weights", f"m/{path.name}", path)
    cloud.storage.write("weights", "m/../x.safetensors", b"x")
    report = inspect(BucketFiles(cloud.storage, "weights", "m"), open_base=never)
    assert codes(report) == ["name-unsafe"]
    assert not any("x.safetensors" in call.subject for call in cloud.calls if call.name == "storage.read")


def test_text_of_files_is_shown_as_data(tmp_path: Path) -> None:
    """A name with an escape sequence and a line break reaches a finding printable and on one line."""
    zoo.text(tmp_path / "m")
    edit_json(tmp_path / "m" / "config.json", model_type="gem\x1b[2Jma\n3")
    report = look(tmp_path / "m")
    for finding in report.findings:
        assert all(c.isprintable() for c in finding.what + finding.evidence + finding.object)


def test_json_too_large_is_not_read(tmp_path: Path) -> None:
    """A config of a hundred megabytes is refused by its size; no byte of it is fetched."""
    zoo.text(tmp_path / "m")
    with (tmp_path / "m" / "config.json").open("r+b") as file:
        file.truncate(100 << 20)
    report = look(tmp_path / "m")
    assert [(f.object, f.refusal) for f in report.errors][:1] == [("config.json", Code.CONFIG_INVALID)]
    assert report.bytes_read < 1 << 20


def test_more_shards_than_any_model_has_are_not_followed(tmp_path: Path) -> None:
    """An index of thousands of shards ends in one finding, not in thousands of reads."""
    zoo.text(tmp_path / "m")
    zoo.write(tmp_path / "m", zoo.INDEX, {"weight_map": {f"k{i}": f"model-{i}.safetensors" for i in range(5000)}})
    report = look(tmp_path / "m")
    assert codes(report, "error") == ["shard-missing"]
    assert len(report.findings) < 10
