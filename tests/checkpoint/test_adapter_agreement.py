"""Inspect and engine decide about an adapter with the same functions: what one refuses the other does not pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemmactl.checkpoint.files import DirectoryFiles, Files
from gemmactl.checkpoint.inspect import Report, inspect, inspect_adapter
from tests.inference_image import loras
from tests.inference_image.checkpoints import MODEL
from tests.inference_image.test_adapter_refusals import REFUSED


def base(name: str) -> Files:
    return DirectoryFiles(Path(name))


def judged(folder: Path) -> Report:
    return inspect_adapter(DirectoryFiles(folder), str(MODEL), open_base=base)


@pytest.mark.parametrize("case", [case for case in REFUSED if case != "no folder"])
def test_what_the_engine_refuses_inspect_finds(case: str, tmp_path: Path) -> None:
    """Before a deploy and without torch, with what was found in its words."""
    REFUSED[case][0](tmp_path / "a")
    found = judged(tmp_path / "a")
    assert found.errors
    assert all(one.remedy for one in found.errors)


def test_what_inspect_passes(tmp_path: Path) -> None:
    """A sound adapter has no finding beside its base, one before training has; alone it is no model, and the way out is told."""
    loras.written(tmp_path / "a")
    assert judged(tmp_path / "a").findings == ()
    alone = inspect(DirectoryFiles(tmp_path / "a"), open_base=base, base=str(MODEL))
    assert [one.code for one in alone.errors] == ["adapter-only"]
    assert "--adapter NAME=FOLDER" in alone.errors[0].remedy
    loras.written(tmp_path / "b", loras.halves(value=0))
    assert [one.code for one in judged(tmp_path / "b").errors] == ["adapter-untrained"]


def test_another_base_is_found_by_its_name_before_a_deploy(tmp_path: Path) -> None:
    """With the remedy; where somebody insists, it is a warning. What the model was copied from counts, not its folder's name."""
    loras.written(tmp_path / "a", base_model_name_or_path="google/gemma-3-1b-pt")
    copied = tmp_path / "ours"
    (copied / "gemmactl").mkdir(parents=True)
    (copied / "config.json").write_bytes((MODEL / "config.json").read_bytes())
    (copied / "gemmactl" / "manifest.json").write_text('{"source": "hf:google/gemma-3-1b-it"}')
    found, insisted = (
        inspect_adapter(DirectoryFiles(tmp_path / "a"), str(copied), open_base=base, any_base=any_base)
        for any_base in (False, True)
    )
    (error,) = found.errors
    assert error.code == "adapter-base"
    assert "trained on google/gemma-3-1b-pt, and this model is hf:google/gemma-3-1b-it" in error.what
    assert "set GEMMACTL_ADAPTER_ANY_BASE=1 (deploy: --set-env-vars;" in error.remedy
    assert (insisted.errors, [one.code for one in insisted.warnings]) == ((), ["adapter-base"])
