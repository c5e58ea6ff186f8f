"""The screen of inspect: what it claims and what it does not, and the next command it prints."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from gemmactl.errors import Trouble
from gemmactl.serving.inspection import Look, show
from gemmactl.serving.looking import looking
from gemmactl.spec import parse_model
from tests.checkpoint import architectures, zoo
from tests.serving.ear import Ear, settings
from tests.serving.test_inspection import faulty, on_disk, text


def test_a_model_too_large_for_the_first_gpu_is_deployed_on_the_one_it_fits(tmp_path: Path) -> None:
    """Deploy takes an L4 when no GPU is named: the next command names the other."""
    result = show(Look(parse_model(str(architectures.folder(tmp_path / "m", "12b")))), on_disk(), Ear())
    assert [f["fits"] for f in result.data["fits"]] == [False, True]
    assert result.next[-1] == f"gemmactl deploy {tmp_path}/m --gpu-type nvidia-rtx-pro-6000 --project PROJECT_ID"


def test_the_next_command_keeps_corrections_and_place(tmp_path: Path) -> None:
    """What was inspected with --override is deployed with it, and a name with a space stays one word."""
    folder = faulty(tmp_path / "my model")
    flags = {"model": str(folder), "override": ["chat_template.jinja=@gemma3", "config.json:x=[1, 2]"], "region": "europe-west4"}
    result = looking(settings(tmp_path), flags, Ear(), fix=False, yes=False)
    words = shlex.split(result.next[-1])
    assert words[:3] == ["gemmactl", "deploy", str(folder)]
    assert [words[at + 1] for at, word in enumerate(words) if word == "--override"] == flags["override"]
    assert words[-4:] == ["--project", "PROJECT_ID", "--region", "europe-west4"]


def test_of_a_place_without_a_model_nothing_is_claimed(tmp_path: Path) -> None:
    """No form, no template and no server for a folder that holds nothing, or a config that can't be read."""
    (tmp_path / "empty").mkdir()
    zoo.text(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text("{")
    for name in ("empty", "m"):
        result = show(Look(parse_model(str(tmp_path / name))), on_disk(), Ear())
        assert text(result).splitlines()[1].startswith("!")
        assert result.data["engine"] == "none"


def test_the_same_fault_of_many_files_is_told_once(tmp_path: Path) -> None:
    """A clone without git lfs pull: one finding on the screen, its cure, and each file in the document."""
    zoo.text(tmp_path / "m")
    for name in zoo.SHARDS:
        (tmp_path / "m" / name).write_bytes(zoo.POINTER)
    result = show(Look(parse_model(str(tmp_path / "m"))), on_disk(), Ear())
    shown = text(result, 1000)
    assert "header-invalid: 4 times: a Git LFS pointer" in shown
    assert shown.count("remedy: run git lfs pull") == 1
    assert [f["object"] for f in result.data["findings"]] == list(zoo.SHARDS)


def test_what_was_checked_of_other_weights_is_not_claimed_of_these(tmp_path: Path) -> None:
    """AWQ was recognised and never run, whatever was tried with the family's bfloat16."""
    zoo.text(tmp_path / "m")
    zoo.edit_json(tmp_path / "m" / "config.json", quantization_config={"quant_method": "awq", "bits": 4})
    assert "vllm; checked: recognised by quantization_config; not run" in text(
        show(Look(parse_model(str(tmp_path / "m"))), on_disk(), Ear())
    )


@pytest.mark.parametrize("size", [0, 70_000])
def test_a_template_that_is_not_read_is_not_missing(tmp_path: Path, size: int) -> None:
    """Empty or too large: refused for that, and --fix has nothing to write over it."""
    zoo.text(tmp_path / "m")
    (tmp_path / "m" / "chat_template.jinja").write_bytes(b"x" * size)
    result = show(Look(parse_model(str(tmp_path / "m"))), on_disk(), Ear(yes=None), fix=True)
    assert [f["code"] for f in result.data["findings"]] == ["tokenizer-invalid"]
    assert "nothing here can be corrected" in text(result)


def test_fix_shows_why_before_it_asks(tmp_path: Path) -> None:
    """Who decides sees the findings that the files are for."""
    ear = Ear(yes=False)
    with pytest.raises(Trouble):
        show(Look(parse_model(str(faulty(tmp_path / "m")))), on_disk(), ear, fix=True)
    assert any("end-of-turn-missing" in line for line in ear.said)
