"""The text model in our modules: equal to transformers' in every bit, and left to those where a setting is none of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inference_image import layout
from inference_image.engine import load
from inference_image.engine import model as models
from inference_image.engine.language_config import LanguageConfig, unclaimed
from inference_image.engine.schedule import Part
from inference_image.engine.slots import Slots
from inference_image.families import GEMMA3
from inference_image.settings import Settings
from inference_image.timeline import Timeline
from tests.inference_image import judge
from tests.inference_image.checkpoints import MODEL, copy_of_sample, edit_json

SIZES: dict[str, Any] = {
    "vocab_size": 90, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "sliding_window": 8, "max_position_embeddings": 512, "query_pre_attn_scalar": 20,
}  # fmt: skip
LINEAR = {"rope_type": "linear", "factor": 8.0}
CONFIGS: dict[str, dict[str, Any]] = {
    "1b": {"sliding_window_pattern": 2},
    "4b, inside a model that sees": {"rope_scaling": LINEAR, "sliding_window_pattern": 3, "rope_theta": 1e6},
    "both kinds scaled": {"rope_parameters": {"full_attention": LINEAR | {"rope_theta": 5e5}, "sliding_attention": LINEAR}},
    "full layers alone, a head of its own": {"layer_types": ["full_attention"] * 3, "tie_word_embeddings": False},
    "biases, capped, one key head": {"attention_bias": True, "final_logit_softcapping": 5.0, "num_key_value_heads": 1},
}


def pair(more: dict[str, Any], dtype: str, *, int8: bool = False) -> tuple[Any, Any]:
    """A model of random weights in our modules, and in transformers'."""
    import torch

    raw = layout.text_config({"model_type": "gemma3", "text_config": SIZES | more})
    torch.manual_seed(1)
    mine = models.build(GEMMA3, raw, getattr(torch, dtype), torch.device("cpu"))
    names = models.quantize(mine, GEMMA3) if int8 else frozenset()
    tensors = {}
    for name, shape in models.needed(mine).items():
        random = torch.randn(shape) * 0.4
        tensors[name] = torch.randint(-127, 128, shape).to(torch.int8) if name in names else random.to(getattr(torch, dtype))
        tensors[name] = tensors[name].abs() / 40 if name.endswith("weight_scale") else tensors[name]
    models.assign(mine, tensors)
    return mine, judge.theirs(mine)


def computed(model: Any) -> list[Any]:
    """Logits of prompts beside each other, in parts that cross the window, and of steps after them; then all keys and values."""
    slots = Slots(model, 3, 64)
    long = [(7 * at) % 90 for at in range(21)]
    made = [slots.prompt([Part(0, 0, long[:6], last=False), Part(1, 0, [5], last=True)])]
    made += [slots.prompt([Part(0, 6, long[6:], last=True), Part(2, 0, long[:9], last=True)])]
    made += [slots.decode([1, 2, 3], [21 + step, 1 + step, 9 + step]) for step in range(3)]
    return [*made, *slots.cache.keys, *slots.cache.values]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", list(CONFIGS))
def test_every_logit_is_transformers_own(name: str, dtype: str) -> None:
    """Over the same cache and attention: logits, keys and values of prompts and steps are equal bit for bit."""
    import torch

    found, wanted = (computed(one) for one in pair(CONFIGS[name], dtype))
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))
    assert all(one.isfinite().all() for one in found)


def test_with_int8_weights_too() -> None:
    """The modules that int8 puts in are the same in both."""
    import torch

    mine, their = pair(CONFIGS["1b"], "bfloat16", int8=True)
    assert all(torch.equal(one, other) for one, other in zip(computed(mine), computed(their), strict=True))


def test_a_whole_prompt_is_transformers_own_by_its_own_attention() -> None:
    """Nothing of ours but the weights on the other side: attention, masks and positions are transformers' as well."""
    import torch

    mine, their = pair(CONFIGS["1b"], "float32")
    their.set_attn_implementation("eager")
    ids = [(5 * at + 2) % 90 for at in range(40)]
    with torch.inference_mode():
        wanted = their(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
    torch.testing.assert_close(Slots(mine, 1, 64).prompt([Part(0, 0, ids, last=True)])[0], wanted, rtol=1e-4, atol=1e-4)


UNCLAIMED: list[dict[str, Any]] = [
    {"hidden_activation": "silu"},
    {"attn_logit_softcapping": 50.0},
    {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}},
    {"a_setting_of_next_year": 1},
]


@pytest.mark.parametrize("change", UNCLAIMED, ids=str)
def test_settings_that_are_not_computed_here_are_named(change: dict[str, Any]) -> None:
    """A value or a field that our modules don't know leaves the model to transformers'; the reason names it."""
    raw = layout.text_config({"model_type": "gemma3_text", **SIZES})
    assert unclaimed(raw) is None
    said = unclaimed(raw | change)
    assert said is not None
    assert next(iter(change)) in said or "rope_type is yarn" in said


def test_what_a_config_does_not_say_is_transformers_default() -> None:
    """Every number that our modules take from an empty config."""
    import torch

    from inference_image.engine import borrowed

    raw = layout.text_config({"model_type": "gemma3_text"})
    mine, their = LanguageConfig.of(raw), borrowed.text_config(GEMMA3, raw, torch.bfloat16)
    for name, one in vars(mine).items():
        if name == "ropes":
            told = {kind: (rope["rope_theta"], rope.get("factor", 1.0)) for kind, rope in their.rope_parameters.items()}
            assert {kind: (rope.base, rope.factor) for kind, rope in one.items()} == told
        else:
            assert one == (tuple(there) if isinstance(there := getattr(their, name), list) else there), name


def test_a_model_that_is_left_to_transformers_is_served_and_said(tmp_path: Path) -> None:
    """With another activation: transformers' modules over our cache, and the timeline tells why."""
    folder, timeline = copy_of_sample(tmp_path / "m"), Timeline()
    edit_json(folder / "config.json", hidden_activation="gelu")
    engine = load(Settings(model=str(folder), threads=1), environ={}, timeline=timeline)
    try:
        assert timeline.record()["modules"] == "transformers': hidden_activation is gelu"
        assert timeline.record()["engine"] == "fast"
        assert type(engine.steps.model).__name__ == GEMMA3.text_class  # type: ignore[attr-defined]  # the slots' own
        assert "".join(piece.text for piece in engine.submit(engine.request(engine.presets.choose("text", "Hi"), "Hi")))
    finally:
        engine.close()


def test_the_sample_is_ours() -> None:
    """What everybody tries first, and what the other tests of the engine hold to transformers, is computed by our modules."""
    assert unclaimed(layout.text_config(json.loads((MODEL / "config.json").read_text(encoding="utf-8")))) is None
