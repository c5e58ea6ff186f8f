"""Corrections of small files: beside the weights or in the deployment, applied by the engine, refused when they are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inference_image import contract
from inference_image.chunks import open_source
from inference_image.contract import Code, LoadFailed
from inference_image.engine import Engine, load
from inference_image.overrides import Overrides
from inference_image.presets import PRESETS
from inference_image.settings import Settings
from inference_image.small_files import OVERRIDES_LIMIT, TEMPLATE_LIMIT, VARIABLE_LIMIT
from inference_image.timeline import Timeline
from tests.inference_image.checkpoints import copy_of_sample, edit_json

# What the sample was trained with, for one question.
TEMPLATE = "{{ bos_token }}<start_of_turn>user\n{{ messages[0].content | trim }}<end_of_turn>\n{{ '<start_of_turn>model\n' }}"


def beside(folder: Path, value: Any) -> None:
    """gemmactl/overrides.json, and a second folder that must not be read."""
    for name in ("gemmactl", "checkpoint-500"):
        (folder / name).mkdir()
        (folder / name / "overrides.json").write_text(value if isinstance(value, str) else json.dumps(value))


def loaded(folder: Path, variable: Any = None, timeline: Timeline | None = None) -> Engine:
    environ = {contract.ENV_MODEL: str(folder), "GEMMACTL_TORCH_THREADS": "1"}
    if variable is not None:
        environ[contract.ENV_OVERRIDES] = variable if isinstance(variable, str) else json.dumps(variable)
    return load(Settings.from_environ(environ), environ=environ, timeline=timeline)


def answer(engine: Engine, example: dict[str, str]) -> str:
    return "".join(piece.text for piece in engine.submit(engine.request(PRESETS["text"], example["prompt"])))


def refusal(folder: Path, variable: Any = None) -> tuple[Code, str]:
    with pytest.raises(LoadFailed) as failed:
        loaded(folder, variable).close()
    return failed.value.failure.code, failed.value.failure.object


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copy_of_sample(tmp_path / "m")


@pytest.fixture(scope="module")
def example(examples: list[dict[str, str]], engine: Engine) -> dict[str, str]:
    """One that the sample answers as it was taught."""
    return next(one for one in examples if one["type"] == "text" and answer(engine, one) == one["answer"])


@pytest.mark.parametrize("place", ["file", "variable"])
def test_a_model_that_lacks_its_small_files_answers_with_corrections(folder: Path, example: dict[str, str], place: str) -> None:
    """Without generation config, template and named ends, the corrected sample answers as it was taught."""
    (folder / "generation_config.json").unlink()
    (folder / "chat_template.jinja").unlink()
    edit_json(folder / "config.json", eos_token_id=None)
    value = {"generation_config.json": {"eos_token_id": [1, 5, 900]}, "chat_template.jinja": TEMPLATE}
    if place == "file":
        beside(folder, value)
    timeline = Timeline()
    engine = loaded(folder, value if place == "variable" else None, timeline)
    try:
        assert engine.text.chats
        assert 900 in engine._stop_ids
        assert answer(engine, example) == example["answer"]
    finally:
        engine.close()
    told = timeline.record()
    assert told["overrides"] == ["chat_template.jinja", "generation_config.json:eos_token_id"]
    assert "start_of_turn" not in json.dumps(told)


def test_the_deployment_wins_key_by_key(folder: Path) -> None:
    """The variable's keys replace those of the file beside the weights; the file's other keys stay."""
    beside(folder, {"generation_config.json": {"eos_token_id": [700], "top_k": 1}, "config.json": {"eos_token_id": 701}})
    timeline = Timeline()
    engine = loaded(folder, {"generation_config.json": {"eos_token_id": [702]}}, timeline)
    engine.close()
    assert {701, 702} <= engine._stop_ids
    assert 700 not in engine._stop_ids
    assert timeline.record()["overrides"] == [
        "config.json:eos_token_id",
        "generation_config.json:eos_token_id",
        "generation_config.json:top_k",
    ]


def test_a_correction_is_judged_like_the_file(folder: Path) -> None:
    """A corrected config and template pass the same checks: an override opens no door."""
    assert refusal(folder, {"config.json": {"num_key_value_heads": 3}}) == (Code.CONFIG_INVALID, contract.CONFIG)
    assert refusal(folder, {"config.json": {"model_type": "gemma5"}}) == (Code.FAMILY_UNSUPPORTED, contract.CONFIG)
    hostile = {"chat_template.jinja": "{{ 'x' * 10000000000 }}"}
    assert refusal(folder, hostile) == (Code.TOKENIZER_INVALID, contract.CHAT_TEMPLATE)


def test_without_corrections_nothing_is_noted(engine: Engine, folder: Path) -> None:
    """A start without overrides says nothing of them."""
    timeline = Timeline()
    loaded(folder, timeline=timeline).close()
    assert "overrides" not in timeline.record()


DEEP = "[" * 20 + "]" * 20
BAD: dict[str, str] = {
    "no JSON": "{",
    "no object": "[]",
    "a file that may not be corrected": '{"model.safetensors.index.json": {}}',
    "a way out of the folder": '{"../config.json": {}}',
    "a config as text": '{"config.json": "x"}',
    "a template as object": '{"chat_template.jinja": {}}',
    "a template that is too large": json.dumps({"chat_template.jinja": "x" * (TEMPLATE_LIMIT + 1)}),
    "too deep": f'{{"config.json": {{"a": {DEEP}}}}}',
    "deeper than Python goes": '{"config.json": {"a": ' + "[" * 3000 + "]" * 3000 + "}}",
    "a key twice": '{"config.json": {"a": 1, "a": 2}}',
}


@pytest.mark.parametrize("what", list(BAD))
def test_bad_corrections_are_refused_by_their_place(folder: Path, what: str) -> None:
    """In the variable they are a wrong setting, known before anything is read; in the file an invalid file. Nothing is served."""
    with pytest.raises(LoadFailed) as failed:
        Settings(model="gs://nowhere/m", overrides=BAD[what])
    assert (failed.value.failure.code, failed.value.failure.object) == (Code.SETTING_INVALID, contract.ENV_OVERRIDES)
    beside(folder, BAD[what])
    assert refusal(folder) == (Code.CONFIG_INVALID, contract.OVERRIDES)


def test_bytes_that_are_no_text_are_a_wrong_setting() -> None:
    """A variable that is no UTF-8 reaches Python as lone surrogates, and is refused like other nonsense."""
    with pytest.raises(LoadFailed) as failed:
        Settings.from_environ({contract.ENV_MODEL: "m", contract.ENV_OVERRIDES: '{"config.json": {"a": "\udcff"}}'})
    assert failed.value.failure.code is Code.SETTING_INVALID


def test_both_places_have_a_limit(folder: Path) -> None:
    """A variable of Cloud Run holds 32 KiB; the file is not read beyond its limit."""
    small = json.dumps({"config.json": {"a": "x" * (VARIABLE_LIMIT - 100)}})
    Settings(model="m", overrides=small)
    with pytest.raises(LoadFailed, match="at most"):
        Settings(model="m", overrides=small + " " * 200)
    beside(folder, "{}" + " " * OVERRIDES_LIMIT)
    assert refusal(folder) == (Code.CONFIG_INVALID, contract.OVERRIDES)


def test_a_directory_lists_what_gemmactl_wrote_and_no_other_folder(folder: Path) -> None:
    """Names are as in a bucket; other folders are not looked into."""
    beside(folder, "{}")
    (folder / "gemmactl" / "deep").mkdir()
    (folder / "gemmactl" / "deep" / "x.json").write_text("{}")
    names = [one.name for one in open_source(str(folder), {}).list()]
    assert [name for name in names if "/" in name] == [contract.OVERRIDES]


def test_parsing_and_applying_is_pure() -> None:
    """What is parsed can be asked, merged and written again; the given file is not changed."""
    one = Overrides.parse(b'{"config.json": {"a": 1, "b": 2}, "chat_template.jinja": "t"}', contract.OVERRIDES)
    both = one.merged(Overrides.parse(b'{"config.json": {"b": 3}}', contract.ENV_OVERRIDES))
    own = {"a": 0, "c": 4}
    assert both.apply_json("config.json", own) == {"a": 1, "b": 3, "c": 4}
    assert own == {"a": 0, "c": 4}
    assert both.apply_json("generation_config.json", {}) == {}
    assert (one.template, Overrides().template) == ("t", None)
    assert Overrides.parse(json.dumps(both.document()).encode(), contract.OVERRIDES) == both
