"""`generate --local --image`: files of images beside a prompt, on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gemmactl.errors import Trouble
from gemmactl.local.engine import answer
from gemmactl.local.model import asked
from gemmactl.serving.ask import Prompt
from tests.inference_image.checkpoints import MODEL
from tests.inference_image.seeing import picture, save_seeing
from tests.serving.ear import Ear


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_seeing(tmp_path_factory.mktemp("seeing"))


def said(model: Path, images: list[Path], type: str | None = None) -> str:  # noqa: A002 - the flag's own name
    set_by_hand = {"GEMMACTL_TORCH_THREADS": "1", "GEMMACTL_DTYPE": "float32"}
    environ = asked(set_by_hand, skip_unverified=False, quantize=None, images=True)
    found = answer(str(model), Prompt("What is it?", type, 8, images=tuple(images)), Ear(streams=False), environ)
    return str(found.data["text"])


def test_an_image_is_shown_before_the_prompt(seeing: Path, tmp_path: Path) -> None:
    """Another file, another answer; the same file, the same."""
    files = [tmp_path / f"{number}.png" for number in (1, 2)]
    for number, path in enumerate(files):
        path.write_bytes(picture(number + 1))
    one, two = said(seeing, files[:1]), said(seeing, files[1:])
    assert one != two
    assert said(seeing, files[:1]) == one
    assert [name for name in os.environ if name.startswith("GEMMACTL_")] == [], "what a model is asked for stays with it"


def test_what_can_not_be_shown(seeing: Path, tmp_path: Path) -> None:
    """No image, a type that has no place for one, a model of text alone: each is told as every error is."""
    broken, whole = tmp_path / "broken.png", tmp_path / "whole.png"
    broken.write_bytes(b"canary")
    whole.write_bytes(picture(1))
    for model, path, kind, code, word in (
        (seeing, broken, None, "unsupported_content", "can't be read"),
        (seeing, whole, "translation", "unsupported_content", "type text"),
        (MODEL, whole, None, "model-blind", "text alone"),
    ):
        with pytest.raises(Trouble) as caught:
            said(model, [path], kind)
        assert (caught.value.code, word in caught.value.why) == (code, True)
        assert "canary" not in str(caught.value)
