"""Where a model for this machine may be, before anything is started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gemmactl.errors import Trouble
from gemmactl.local import model as models
from gemmactl.local.adapters import chosen, given
from gemmactl.serving.ask import Prompt
from gemmactl.serving.looking import folders
from inference_image import contract
from tests.inference_image.checkpoints import MODEL


def test_a_web_folder_is_a_place_for_this_machine() -> None:
    """https:// goes to the engine as it is: a web server has no list that could be looked through before."""
    assert models.place("https://example.com/m") == "https://example.com/m"
    models.look("https://example.com/m", folders(""), {})


def test_plain_http_is_no_place() -> None:
    """What anybody on the way could change is refused as any other place that is none."""
    with pytest.raises(Trouble):
        models.place("http://example.com/m")


def test_wishes_of_flags_are_asked_for_by_name() -> None:
    """They reach the engine as its variables, before those of the environment, and nothing else does."""
    none: dict[str, Any] = {"skip_unverified": False, "quantize": None, "images": False}
    assert models.asked({"A": "b"}, **none | {"skip_unverified": True}) == {"A": "b", contract.ENV_SKIP_UNVERIFIED: "1"}
    assert models.asked({"A": "b"}, **none | {"images": True}) == {"A": "b", contract.ENV_IMAGES: "1"}
    assert models.asked({"A": "b"}, **none) == {"A": "b"}
    environ = {contract.ENV_QUANTIZE: "int8"}
    assert models.asked(environ, **none)[contract.ENV_QUANTIZE] == "int8"
    assert models.asked(environ, **none | {"quantize": "none"})[contract.ENV_QUANTIZE] == "none"


def test_a_blind_model_is_told_before_the_engine_starts() -> None:
    """--images with a model of text alone is refused by what inspect sees, before torch is imported."""
    with pytest.raises(Trouble) as caught:
        models.look(str(MODEL), folders(""), {contract.ENV_IMAGES: "1"})
    assert caught.value.code == "model-blind"
    assert "text alone" in caught.value.why
    models.look(str(MODEL), folders(""), {})


def test_adapters_of_flags_replace_those_of_the_variable(tmp_path: Path) -> None:
    """Directories as absolute paths; without a flag the variable stays as it is."""
    environ = {contract.ENV_ADAPTERS: "old=gs://bkt/x"}
    assert given(environ, ()) == environ
    found = given(environ, (f"new={tmp_path}", "far=https://example.com/a"))
    assert json.loads(found[contract.ENV_ADAPTERS]) == {"new": str(tmp_path), "far": "https://example.com/a"}
    with pytest.raises(Trouble):
        given(environ, ("new=/nowhere/at/all",))


@pytest.mark.parametrize(
    ("text", "name"),
    [("old", "old"), ("ko=hf:o/N", "ko"), ("hf:o/My_LoRA@main", "my_lora"), ("gs://bkt/x=y/", "x-y"), (None, None)],
)
def test_one_answer_through_an_adapter(text: str | None, name: str | None) -> None:
    """A name that the variable has, NAME=PLACE, or a place alone, which is called by its last part."""
    environ = {contract.ENV_ADAPTERS: "old=gs://bkt/x"}
    found, prompt = chosen(environ, Prompt("hi", adapter=text))
    assert prompt.adapter == name
    assert text is None or name in models.adapters(found)
