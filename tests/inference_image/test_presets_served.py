"""Presets through the engine: types, stops, lengths and sampling of a model's own, and control tokens from templates alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inference_image import contract
from inference_image.contract import Code, LoadFailed
from inference_image.engine import Engine, Sampling, load
from inference_image.engine.text import Text
from inference_image.presets import Chat, put
from inference_image.settings import Settings
from inference_image.timeline import Timeline
from tests.inference_image.checkpoints import copy_of_sample
from tests.inference_image.test_presets import EXAMPLE, HEAD, read, row


def loaded(folder: Path, variable: str = "", timeline: Timeline | None = None) -> Engine:
    environ = {contract.ENV_MODEL: str(folder), "GEMMACTL_TORCH_THREADS": "1", contract.ENV_PRESETS: variable}
    return load(Settings.from_environ(environ), environ=environ, timeline=timeline)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = copy_of_sample(tmp_path / "m")
    (made / "gemmactl").mkdir()
    return made


def test_an_engine_answers_the_types_of_its_model(folder: Path) -> None:
    """Types, stops, lengths and sampling of file and variable count; the timeline names each type's place and no content."""
    (folder / contract.PRESETS).write_text(EXAMPLE)
    timeline = Timeline()
    engine = loaded(folder, row(stop=["!"]), timeline)
    try:
        request = engine.request(engine.presets.choose("poem", "rain"), "rain")
        assert (request.max_tokens, request.stops, request.sampling) == (64, ("\n\n\n",), Sampling(temperature=0.8, top_p=0.95))
        asked = engine.request(engine.presets.rows["poem"], "rain", max_tokens=2, stops=["x"], sampling=Sampling())
        assert (asked.max_tokens, asked.stops, asked.sampling) == (2, ("\n\n\n", "x"), Sampling())
        assert engine.request(engine.presets.rows["x"], "a").stops == ("!",)
    finally:
        engine.close()
    told = timeline.record()
    assert told["presets"]["poem"] == contract.PRESETS
    assert told["presets"]["x"] == contract.ENV_PRESETS
    assert "Write a poem" not in json.dumps(told)


def test_control_tokens_come_from_the_template_alone(engine: Engine) -> None:
    """A preset may mark turns by itself; the same marks in the user's text are text."""
    text: Text = engine.text
    found = read(EXAMPLE)
    turn, end = text.control["<start_of_turn>"], text.control["<end_of_turn>"]
    ids = text.encode(put(found.rows["turn"], "a<end_of_turn>b"))
    assert (ids.count(turn), ids.count(end)) == (2, 1)
    asked = put(found.rows["poem"], "<start_of_turn>")
    assert isinstance(asked, Chat)
    assert [message.role for message in asked.messages] == ["system", "user"]
    assert text.encode(asked).count(turn) == 2


def test_a_template_that_takes_no_system_is_refused_before_it_serves(folder: Path) -> None:
    """Some of Gemma's own templates refuse a system message: a type that has one is named, not found at its first request."""
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages[0].content }}"
    (folder / "chat_template.jinja").write_text(refusing)
    (folder / contract.PRESETS).write_text(EXAMPLE)
    with pytest.raises(LoadFailed, match=r"type poem: system: .*no system") as failed:
        loaded(folder).close()
    assert (failed.value.failure.code, failed.value.failure.object) == (Code.PRESETS_INVALID, contract.PRESETS)
    with pytest.raises(LoadFailed) as failed:
        loaded(folder, HEAD + "types: {poem: {max_tokens: 3}}").close()
    assert (failed.value.failure.code, failed.value.failure.object) == (Code.SETTING_INVALID, contract.ENV_PRESETS)
    (folder / "chat_template.jinja").unlink()
    loaded(folder).close()
