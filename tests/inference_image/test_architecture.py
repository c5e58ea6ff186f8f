"""config.json: what passes here builds and runs in transformers, and what would break there is config_invalid here."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from inference_image import layout
from inference_image.contract import CONFIG, Code, LoadFailed
from inference_image.families import GEMMA3

TINY: dict[str, Any] = {
    "model_type": "gemma3_text", "vocab_size": 16, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4, "query_pre_attn_scalar": 4, "sliding_window": 2,
    "max_position_embeddings": 64,
}  # fmt: skip
LINEAR = {"rope_type": "linear", "factor": 8.0}
DEFAULT = {"rope_type": "default", "rope_theta": 1e6}

BREAKS: list[dict[str, Any]] = [
    {"num_attention_heads": 3},
    {"num_attention_heads": 4, "num_key_value_heads": 3},
    {"head_dim": 0},
    {"head_dim": 5},
    {"hidden_size": "big"},
    {"hidden_size": 8.0},
    {"hidden_size": True},
    {"num_hidden_layers": 10**9},
    {"num_hidden_layers": 2000},
    {"vocab_size": -1},
    {"sliding_window": 0},
    {"sliding_window": None},
    {"sliding_window_pattern": 0},
    {"layer_types": ["full_attention"]},
    {"layer_types": ["full_attention", "odd"]},
    {"layer_types": ["full_attention", ["full_attention"]]},
    {"layer_types": "full_attention"},
    {"rope_theta": "1e6"},
    {"rope_theta": float("inf")},
    {"rope_theta": 10**400},
    {"rope_local_base_freq": 0},
    {"rope_scaling": "linear"},
    {"rope_scaling": {"rope_type": "linear"}},
    {"rope_scaling": {"rope_type": "linear", "factor": "8"}},
    {"rope_scaling": {"rope_type": ["linear"]}},
    {"rope_scaling": {"rope_type": "yarn", "factor": 8.0}},
    {"rope_parameters": []},
    {"rope_parameters": {"full_attention": "default"}},
    {"rope_parameters": {"sliding_attention": {"rope_type": "default", "rope_theta": -1}}},
    {"rms_norm_eps": 0},
    {"rms_norm_eps": "1e-6"},
    {"hidden_activation": "prelu"},
    {"hidden_activation": ["gelu"]},
    {"attention_bias": "no"},
    {"tie_word_embeddings": None},
    {"final_logit_softcapping": 0},
    {"query_pre_attn_scalar": None},
    {"max_position_embeddings": 0},
]


@pytest.mark.parametrize("change", BREAKS, ids=str)
def test_values_that_would_break_inside_torch_are_refused_before(change: dict[str, Any]) -> None:
    """Each is config_invalid and names the value, without torch."""
    with pytest.raises(LoadFailed) as failed:
        layout.text_config({**TINY, **change})
    assert (failed.value.failure.code, failed.value.failure.object) == (Code.CONFIG_INVALID, CONFIG)
    assert next(iter(change)).split("_")[0] in failed.value.failure.detail


def runs(config: dict[str, Any]) -> None:
    """Build as the engine does and compute four tokens with real memory: transformers' modules give the same, bit for bit."""
    import torch

    from inference_image.engine import borrowed
    from inference_image.engine import model as models
    from inference_image.engine.schedule import Part
    from inference_image.engine.slots import Slots

    inner = layout.text_config(config)
    device, dtype = torch.device("cpu"), torch.float32
    torch.manual_seed(0)
    tensors = {name: torch.randn(shape) for name, shape in layout.expected(inner).items()}
    theirs = borrowed.build(GEMMA3, borrowed.text_config(GEMMA3, inner, dtype), dtype, device)
    made = []
    for model in (models.build(GEMMA3, inner, dtype, device), theirs):
        assert models.needed(model) == layout.expected(inner)
        models.assign(model, tensors)
        slots = Slots(model, 1, 8)
        slots.prompt([Part(0, 0, [0, 1 % inner["vocab_size"]], last=False)])
        made.append(torch.cat([slots.prompt([Part(0, 2, [0], last=True)]), slots.decode([0], [3])]))
    assert torch.equal(made[0].nan_to_num(7.0), made[1].nan_to_num(7.0))


SOUND: list[dict[str, Any]] = [
    {},
    {"rope_scaling": LINEAR, "rope_theta": 1_000_000, "rope_local_base_freq": 10000},
    {"rope_scaling": {"type": "linear", "factor": 8}},
    {"rope_parameters": {"full_attention": {**LINEAR, "rope_theta": 1e6}, "sliding_attention": DEFAULT}},
    {"rope_parameters": {"full_attention": None}},
    {"rope_parameters": DEFAULT},
    {"sliding_window_pattern": 2, "_sliding_window_pattern": "odd", "cache_implementation": "hybrid"},
    {"layer_types": ["full_attention", "full_attention"]},
    {"rms_norm_eps": 1, "final_logit_softcapping": 30, "attn_logit_softcapping": None},
    {"hidden_activation": "silu", "attention_bias": True, "tie_word_embeddings": False},
    {"initializer_range": "wide", "use_cache": "yes", "attention_dropout": "none"},
    {"torch_dtype": "float16", "auto_map": {"a": "b"}},
    {"eos_token_id": ["x"], "pad_token_id": 10**6, "bos_token_id": {}, "vocab_size": 4},
    {"id2label": 7, "architectures": "odd", "transformers_version": 1, "quantization_config": None, "dtype": "nonsense"},
]  # fmt: skip


@pytest.mark.parametrize("change", SOUND, ids=str)
def test_every_spelling_and_what_serving_does_not_use_runs(change: dict[str, Any]) -> None:
    """Spellings of all versions compute as transformers reads them; nonsense in fields that serving leaves alone does nothing."""
    runs({**TINY, **change})


VALUES = st.one_of(
    st.sampled_from([0, 1, 2, 3, 4, 6, 8, -1, 2.5, 1e-6, None, True, False, "", "full_attention", "gelu", "linear"]),
    st.sampled_from([[], {}, ["full_attention"] * 2, ["sliding_attention"] * 3, DEFAULT, LINEAR, {"full_attention": LINEAR}]),
    st.dictionaries(
        st.sampled_from(["full_attention", "sliding_attention", "rope_type", "type", "factor", "rope_theta"]),
        st.sampled_from([1, 2.0, "linear", "default", None, DEFAULT, LINEAR, []]),
        max_size=3,
    ),
)
FIELDS = st.sampled_from(
    [*(set(TINY) - {"model_type"}), "layer_types", "rope_scaling", "rope_parameters", "rope_theta", "rope_local_base_freq",
     "rms_norm_eps", "hidden_activation", "attention_bias", "tie_word_embeddings", "final_logit_softcapping",
     "attn_logit_softcapping", "sliding_window_pattern", "use_bidirectional_attention", "initializer_range", "pad_token_id"]
)  # fmt: skip


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(FIELDS, VALUES, min_size=1, max_size=3))
@example({"rope_parameters": {"type": "linear"}})
def test_what_passes_runs(change: dict[str, Any]) -> None:
    """Whatever stands in a config, it is refused with a code before torch, or it builds and computes."""
    config = {**TINY, **change}
    codes: list[Code] = []
    try:
        layout.text_config(config)
    except LoadFailed as failed:
        codes.append(failed.failure.code)
    if codes:
        assert codes[0] in {Code.CONFIG_INVALID, Code.FAMILY_UNSUPPORTED}
    else:
        runs(config)
