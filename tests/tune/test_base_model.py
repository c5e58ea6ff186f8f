"""The look at a base before a GPU second is spent."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from finetune_image import language_model
from gemmactl.checkpoint.files import DirectoryFiles, Files
from gemmactl.errors import Exit, Trouble
from gemmactl.serving.folder import Folders
from gemmactl.spec import Model
from gemmactl.tune.base_model import TRAINED, BaseModel, look
from tests.checkpoint.architectures import folder
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import SAMPLE, with_model


def _no_cloud() -> FakeCloud:
    raise AssertionError("a directory needs no cloud")


def _here(place: Path) -> BaseModel:
    return look(Model("dir", str(place)), Folders(_no_cloud))


def _changed(tmp_path: Path, **config: Any) -> Path:
    place = shutil.copytree(SAMPLE, tmp_path / "changed")
    made = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**made, **config}))
    return place


def test_a_base_is_told_in_one_line() -> None:
    """Family, size, and whether rows are trained as turns."""
    found = _here(SAMPLE)
    assert found.text.endswith("(Gemma 3, 0.8M parameters, trained on turns of a chat)")
    assert (found.chat, found.engine, found.unseen) == (True, "", None)


def test_a_base_without_a_chat_template_is_trained_on_text(tmp_path: Path) -> None:
    """As the codelab's gemma-2b: no refusal."""
    place = folder(tmp_path / "base", "270m")
    (place / "chat_template.jinja").unlink()
    tokenizer = json.loads((place / "tokenizer_config.json").read_text())
    tokenizer.pop("chat_template", None)
    (place / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    found = _here(place)
    assert (found.chat, "plain text" in found.text) == (False, True)


def test_a_base_in_a_bucket_is_pinned() -> None:
    """Each file by its generation; the fingerprint is of the content, and so the same for a copy elsewhere."""
    cloud = with_model(FakeCloud())
    for path in SAMPLE.iterdir():
        cloud.storage.write("weights", f"copy/{path.name}", path)
    one, two = (look(Model("gs", f"gs://weights/{p}", "weights", p), Folders(lambda: cloud)) for p in ("m", "copy"))
    assert one.fingerprint == two.fingerprint
    assert one.pins.keys() == two.pins.keys() == {path.name for path in SAMPLE.iterdir()}
    assert one.pins != two.pins
    cloud.storage.write("weights", "m/generation_config.json", b"{}")
    assert look(one.model, Folders(lambda: cloud)).fingerprint != one.fingerprint


@pytest.mark.parametrize(
    ("config", "code", "words"),
    [
        ({"model_type": "gemma3n_text"}, "base-family", "Gemma 3n"),
        ({"model_type": "llama"}, "base-family", "model_type 'llama'"),
        ({"quantization_config": {"quant_method": "awq"}}, "base-form", "AWQ"),
        ({"intermediate_size": 999}, "shape-mismatch", "can't be fine-tuned"),
    ],
)
def test_a_hopeless_base_is_refused(tmp_path: Path, config: dict[str, Any], code: str, words: str) -> None:
    """Exit 4: another family, quantised weights, a checkpoint that lacks tensors."""
    with pytest.raises(Trouble) as caught:
        _here(_changed(tmp_path, **config))
    assert (caught.value.exit, words in caught.value.what) == (Exit.REFUSED, True)
    assert caught.value.code == code


def test_the_families_are_the_worker_s() -> None:
    """What is let through here is what the job trains."""
    assert TRAINED == language_model.TRAINED


def test_an_adapter_is_no_base(tmp_path: Path) -> None:
    """It names what to take instead."""
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "x/y", "peft_type": "LORA"}')
    (tmp_path / "adapter_model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    with pytest.raises(Trouble, match="LoRA adapter") as caught:
        _here(tmp_path)
    assert "--model" in caught.value.remedy


class Pinned(DirectoryFiles):
    """A repository of the Hub."""

    def commit(self) -> str:
        return "c" * 40


def test_a_branch_of_the_hub_is_pinned_to_its_commit() -> None:
    """The job reads what was looked at here."""

    def hub(text: str) -> Files:
        return Pinned(SAMPLE)

    found = look(Model("hf", "hf:o/n@main"), Folders(_no_cloud, hub))
    assert found.model.text == f"hf:o/n@{'c' * 40}"


def test_a_gated_model_is_left_to_the_job() -> None:
    """Its token may read what this machine may not: a remark, no refusal."""

    def hub(text: str) -> Files:
        raise Trouble("gated", why="401", remedy="ask", code="hub-denied")

    found = look(Model("hf", "hf:o/n"), Folders(_no_cloud, hub))
    assert (found.report, found.parameters, found.chat) == (None, None, None)
    assert found.unseen is not None
