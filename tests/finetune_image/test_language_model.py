"""Which bases are trained, and which are read in four bits; nothing is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetune_image.contract import Code, TuneFailed
from finetune_image.language_model import SMALL, family_of, in_nf4, read, size
from finetune_image.run import parse
from tests.inference_image.checkpoints import MODEL, copy_of_sample, edit_json


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "llama"}, "model_type 'llama' is not trained"),
        ({"model_type": "gemma3n"}, "Gemma 3n is not trained by this version"),
        ({"use_bidirectional_attention": True}, "EmbeddingGemma is not trained"),
        ({"quantization_config": {"load_in_4bit": True}}, "nothing can be merged into them"),
    ],
)
def test_what_is_not_trained_is_refused(config: dict[str, Any], words: str, tmp_path: Path) -> None:
    """By its config, before a weight is read."""
    folder = copy_of_sample(tmp_path / "model")
    edit_json(folder / "config.json", **config)
    with pytest.raises(TuneFailed) as caught:
        family_of(folder)
    assert caught.value.failure.code is Code.MODEL_INVALID
    assert words in str(caught.value)


def test_a_folder_without_a_config_is_no_model(tmp_path: Path) -> None:
    """As is one whose weights are no safetensors."""
    with pytest.raises(TuneFailed, match=r"model_invalid: config.json"):
        family_of(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    with pytest.raises(TuneFailed, match=r"model_invalid: model.safetensors"):
        size(tmp_path)


def test_four_bits_are_for_what_is_large() -> None:
    """Unless the wish says otherwise; a model's size is read from its headers."""
    assert size(MODEL) == 845_632
    assert [in_nf4(parse({"quantize": word}), SMALL + 1) for word in ("auto", "none", "nf4")] == [True, False, True]
    assert [in_nf4(parse({"quantize": word}), SMALL) for word in ("auto", "none", "nf4")] == [False, False, True]


def test_gemma_is_not_trained_in_float16() -> None:
    """Its activations overflow there."""
    with pytest.raises(TuneFailed) as caught:
        read(parse({}), MODEL, device="cpu", dtype="float16")
    assert caught.value.failure.code is Code.SETTINGS_INVALID
