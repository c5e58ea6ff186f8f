"""Samples of tensors: what only values can tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemmactl.checkpoint.files import DirectoryFiles
from inference_image.contract import Code
from tests.checkpoint import zoo
from tests.checkpoint.test_inspect import codes, look
from tests.inference_image.checkpoints import rewrite


def test_a_merge_that_did_not_happen_equals_its_base(tmp_path: Path) -> None:
    """Every sampled tensor equal to the base's: the fine-tune is not in the weights. One changed tensor, and it is."""
    zoo.text(tmp_path / "base")
    zoo.text(tmp_path / "m")
    deep = {"sample": True, "base": str(tmp_path / "base"), "open_base": lambda name: DirectoryFiles(Path(name))}
    report = look(tmp_path / "m", **deep)
    assert codes(report) == ["equal-to-base"]
    assert report.sampled
    assert report.sampled.compared == report.sampled.tensors > 30
    rewrite(
        tmp_path / "m",
        lambda t: t.update({n: (d, s, bytes([b[0] ^ 1]) + b[1:]) for n, (d, s, b) in t.items() if n.endswith("q_proj.weight")}),
    )
    assert codes(look(tmp_path / "m", **deep)) == []


@pytest.mark.parametrize(("dtype", "bits"), [("BF16", b"\xc0\x7f"), ("F16", b"\x00\x7c"), ("F32", b"\x00\x00\xc0\xff")])
def test_no_number_is_found_in_every_format(tmp_path: Path, dtype: str, bits: bytes) -> None:
    """NaN or infinity at the end of a matrix, in bfloat16, float16 and float32."""
    zoo.text(tmp_path / "m")
    if dtype != "BF16":
        zoo.cast(tmp_path / "m", dtype)
    rewrite(tmp_path / "m", lambda t: t.update({n: (d, s, b[: -len(bits)] + bits) for n, (d, s, b) in t.items() if len(s) == 2}))
    report = look(tmp_path / "m", sample=True)
    assert [(f.code, f.refusal) for f in report.errors] == [("weights-nan", Code.WEIGHTS_NAN)]


def test_a_shard_that_was_never_filled_is_zero(tmp_path: Path) -> None:
    """Matrices of zeros are told; norms that stayed at zero are Gemma's own way."""
    zoo.text(tmp_path / "m")
    rewrite(tmp_path / "m", lambda t: t.update({n: (d, s, bytes(len(b))) for n, (d, s, b) in t.items()}))
    report = look(tmp_path / "m", sample=True)
    assert codes(report) == ["weights-zero"]
    assert "norm" not in report.warnings[0].evidence


def test_an_adapter_that_was_never_trained_is_told(tmp_path: Path) -> None:
    """LoRA begins with B at zero: as long as every B is, the base alone answers. Only samples can tell."""
    base = {"open_base": lambda name: DirectoryFiles(Path(name))}
    zoo.adapter(tmp_path / "a")
    assert "adapter-untrained" in codes(look(tmp_path / "a", sample=True, **base))
    assert "adapter-untrained" not in codes(look(tmp_path / "a", **base))
    stem = "base_model.model.model.layers.0.self_attn.q_proj"
    trained = ("BF16", [128, 8], b"\x01\x3c" * 128 * 8)
    zoo.adapter(tmp_path / "b", {f"{stem}.lora_A.weight": zoo.zeros(8, 128), f"{stem}.lora_B.weight": trained})
    assert codes(look(tmp_path / "b", sample=True, **base)) == ["adapter-only"]


def test_the_base_of_an_adapter_can_be_named(tmp_path: Path) -> None:
    """Its config holds a path of the machine that trained; --base says where that model is here."""
    zoo.text(tmp_path / "here")
    zoo.adapter(tmp_path / "a", base="/mnt/training/model")
    lost = {"open_base": lambda name: DirectoryFiles(Path(name))}
    assert "adapter-base-unreachable" in codes(look(tmp_path / "a", **lost))
    report = look(tmp_path / "a", base=str(tmp_path / "here"), **lost)
    assert report.adapter
    assert (report.adapter.modules, "adapter-base-unreachable" in codes(report)) == (1, False)
