"""inspect of a model for which a deploy takes vLLM by itself."""

from __future__ import annotations

from pathlib import Path

from gemmactl.serving.inspection import Look, show
from gemmactl.spec import parse_model
from tests.checkpoint import zoo
from tests.serving.ear import Ear
from tests.serving.test_inspection import on_disk


def test_a_family_that_takes_vllm_by_itself_says_so(tmp_path: Path) -> None:
    """Gemma 4: no flag is asked for what a deploy does anyway; the one that ends it is named."""
    next(a for a in zoo.FAMILIES if a.name == "gemma4").make(tmp_path / "m")
    result = show(Look(parse_model(str(tmp_path / "m"))), on_disk(), Ear())
    (finding,) = (f for f in result.data["findings"] if f["code"] == "engine-generic")
    assert "a deploy takes it" in finding["remedy"]
    assert "unless --engine gemmactl" in finding["remedy"]


def test_a_correction_of_a_model_that_takes_vllm_names_the_engine_that_reads_it(tmp_path: Path) -> None:
    """The fix is not silence: the same look says who reads it, and its next command deploys so."""
    next(a for a in zoo.FAMILIES if a.name == "gemma4").make(tmp_path / "m")
    (tmp_path / "m" / "gemmactl").mkdir()
    (tmp_path / "m" / "gemmactl" / "overrides.json").write_text('{"generation_config.json": {"eos_token_id": [1, 106]}}')
    result = show(Look(parse_model(str(tmp_path / "m"))), on_disk(), Ear())
    assert "overrides-not-applied" in {f["code"] for f in result.data["findings"]}
    assert " --engine gemmactl" in result.next[-1]
