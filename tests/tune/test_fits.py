"""Whether a base can be fine-tuned on a GPU, from its headers alone, with Gemma 3's published sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune_image import language_model
from finetune_image.run import Lora, Train, Wish
from gemmactl.checkpoint.files import DirectoryFiles
from gemmactl.checkpoint.inspect import Report, inspect
from gemmactl.errors import Exit, Trouble
from gemmactl.limits import L4
from gemmactl.tune import fits
from tests.checkpoint.architectures import folder


def _look(place: Path, name: str) -> Report:
    def nowhere(base: str) -> Any:
        raise AssertionError(base)

    return inspect(DirectoryFiles(folder(place / name, name)), open_base=nowhere)


def _wish(length: int = 1024, **more: Any) -> Wish:
    return Wish(train=Train(max_length=length), **more)


@pytest.mark.parametrize(
    ("name", "wish", "gigabytes"),
    [("4b", _wish(), (9, 12)), ("12b", _wish(), (9, 13)), ("12b", _wish(2048), (10, 14)), ("270m", _wish(8192), (1, 6))],
)
def test_what_fits_an_l4(tmp_path: Path, name: str, wish: Wish, gigabytes: tuple[int, int]) -> None:
    """4B in bfloat16, 12B in 4 bits with sequences of 2,048 tokens."""
    found = fits.require(wish, _look(tmp_path, name), L4)
    assert found is not None
    assert gigabytes[0] < found.total / 1e9 < gigabytes[1]


def test_a_27b_is_refused_with_its_ways_out(tmp_path: Path) -> None:
    """Exit 4, the sum, a smaller model, a larger GPU."""
    with pytest.raises(Trouble) as caught:
        fits.require(_wish(), _look(tmp_path, "27b"), L4)
    assert (caught.value.exit, caught.value.code) == (Exit.REFUSED, "model-too-large-to-tune")
    assert "weights 16." in caught.value.why
    assert "--model google/gemma-3-12b-it" in caught.value.remedy
    assert "--local" in caught.value.remedy


def test_the_mildest_way_out_comes_first_and_works(tmp_path: Path) -> None:
    """12B in bfloat16: 4 bits. 12B with very long sequences: the longest that fits, which then fits."""
    report = _look(tmp_path, "12b")
    with pytest.raises(Trouble, match="can't be fine-tuned") as caught:
        fits.require(_wish(quantize="none"), report, L4)
    assert caught.value.remedy.startswith("train it in 4 bits: --quantize nf4")
    with pytest.raises(Trouble) as caught:
        fits.require(_wish(16_384), report, L4)
    length = int(caught.value.remedy.partition("--max-length ")[2].split()[0])
    assert fits.require(_wish(length), report, L4) is not None


def test_the_adapter_and_its_optimizer_grow_with_the_rank(tmp_path: Path) -> None:
    """Four times the rank is four times its bytes, 16 for each parameter; in float32 on a 4-bit base too."""
    shape = fits.Shape.of(_look(tmp_path, "4b"))
    small, large = (fits.need(_wish(lora=Lora(r=r)), shape) for r in (16, 64))
    assert large.adapter == 4 * small.adapter
    assert fits.need(_wish(quantize="nf4"), shape).adapter == small.adapter
    assert 0.3e9 < small.adapter < 0.8e9


def test_auto_is_what_the_worker_decides(tmp_path: Path) -> None:
    """The same line between bfloat16 and 4 bits as in the job, with the vision tower counted."""
    assert fits.AUTO_MOST == language_model.SMALL
    shape = fits.Shape((), 4_900_000_000, 1, 1, 1, 0)
    assert [fits.quantized(Wish(), one.parameters) for one in (shape, replace(shape, other=900_000_000))] == ["none", "nf4"]


def test_a_model_without_known_tensors_is_not_judged() -> None:
    """The job reads more than this machine may: what could not be seen is no refusal."""
    assert fits.require(_wish(), Report("hf:x/y", None), L4) is None  # type: ignore[arg-type]  # its form is not asked for
