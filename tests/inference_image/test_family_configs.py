"""Settings of the other families: what passes without torch builds and runs in transformers, all else is config_invalid."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from inference_image import layout
from inference_image.contract import CONFIG, Code, LoadFailed
from inference_image.families import FAMILIES
from tests.inference_image.small_families import CONFIGS

TINY: dict[str, Any] = {
    "vocab_size": 16, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 4, "max_position_embeddings": 64,
}  # fmt: skip
SMALL: dict[str, Any] = {
    "query_pre_attn_scalar": 4, "laurel_rank": 2, "vocab_size_per_layer_input": 16, "hidden_size_per_layer_input": 2,
    "num_kv_shared_layers": 0, "global_head_dim": 8, "num_experts": 2, "top_k_experts": 1, "moe_intermediate_size": 8,
    "sliding_window": 2,
}  # fmt: skip


def tiny(name: str) -> dict[str, Any]:
    """The family's settings at the smallest sizes."""
    said = {**CONFIGS[name], "intermediate_size": 8}
    said |= {key: value for key, value in SMALL.items() if key in CONFIGS[name]}
    said.pop("activation_sparsity_pattern", None)
    said |= {"layer_types": ["sliding_attention", "full_attention"]} if "layer_types" in said else {}
    return {**TINY, **said}


def row_for(config: dict[str, Any]) -> Any:
    return next(row for row in FAMILIES if config["model_type"] in row.text_types)


def runs(config: dict[str, Any]) -> None:
    """Build as the engine does and compute three tokens with real memory."""
    import torch

    from inference_image.engine import model as models

    inner, row = layout.text_config(config), row_for(config)
    device, dtype = torch.device("cpu"), torch.float32
    model = models.build(row, inner, dtype, device)
    assert models.needed(model) == layout.expected(inner)
    models.assign(model, {name: torch.full(shape, 0.5) for name, shape in layout.expected(inner).items()})
    with torch.inference_mode():
        assert model(input_ids=torch.tensor([[0, 0, 0]])).logits.shape[:2] == (1, 3)


ROPES = {"full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.5, "rope_theta": 1e6},
         "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}  # fmt: skip
LINEAR = {"rope_type": "linear", "factor": 8, "rope_theta": 10000}
OWN = {"1": {"head_dim": 8, "num_key_value_heads": 1}}

SOUND: list[tuple[str, dict[str, Any]]] = [
    ("gemma", {"hidden_act": "gelu", "rope_theta": 10000, "attention_bias": True}),
    ("gemma", {"rope_parameters": LINEAR, "tie_word_embeddings": False, "layer_types": "odd", "hidden_size": 9}),
    ("gemma2", {"attn_logit_softcapping": None, "final_logit_softcapping": 30, "layer_types": None}),
    ("gemma2", {"rope_scaling": LINEAR, "sliding_window": 4096, "cache_implementation": "hybrid"}),
    ("gemma3n", {"activation_sparsity_pattern": [0, 0.95], "intermediate_size": [8, 16]}),
    ("gemma3n", {"rope_scaling": None, "rope_theta": 1e6, "rope_local_base_freq": 10000, "altup_num_inputs": 2}),
    ("gemma3n", {"num_hidden_layers": 4, "layer_types": ["full_attention"] * 4, "num_kv_shared_layers": 3}),
    ("gemma4", {"rope_parameters": ROPES, "use_bidirectional_attention": "vision", "final_logit_softcapping": 30.0}),
    ("gemma4", {"per_layer_config": {"1": {"head_dim": 8}}, "global_head_dim": 512}),
    ("gemma4", {"per_layer_config": {}, "layer_types": None}),
    ("gemma4", {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 1}),
    ("gemma4", {"layer_types": ["full_attention", "sliding_attention"]}),
    ("gemma4 with experts", {"per_layer_config": OWN, "num_attention_heads": 4}),
]


@pytest.mark.parametrize(("name", "change"), SOUND, ids=str)
def test_every_spelling_runs(name: str, change: dict[str, Any]) -> None:
    """Older and newer spellings, and what a family leaves open, build with the tensors that were expected, and compute."""
    runs({**tiny(name), **change})


BREAKS: list[tuple[str, dict[str, Any]]] = [
    ("gemma", {"hidden_act": "prelu"}),
    ("gemma", {"num_key_value_heads": 3}),
    ("gemma", {"rope_parameters": {"rope_type": "proportional"}}),
    ("gemma", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}),
    ("gemma2", {"sliding_window": None}),
    ("gemma2", {"hidden_size": 9}),
    ("gemma3n", {"intermediate_size": [8]}),
    ("gemma3n", {"intermediate_size": [8, "16"]}),
    ("gemma3n", {"intermediate_size": 0}),
    ("gemma3n", {"activation_sparsity_pattern": [0.5, 1]}),
    ("gemma3n", {"activation_sparsity_pattern": 0.5}),
    ("gemma3n", {"altup_num_inputs": 1000}),
    ("gemma3n", {"altup_num_inputs": 1}),
    ("gemma3n", {"altup_active_idx": 4}),
    ("gemma3n", {"altup_coef_clip": None}),
    ("gemma3n", {"final_logit_softcapping": None}),
    ("gemma3n", {"num_kv_shared_layers": 2}),
    ("gemma3n", {"num_kv_shared_layers": 1}),
    ("gemma3n", {"num_kv_shared_layers": -1}),
    ("gemma3n", {"num_kv_shared_layers": True}),
    ("gemma4", {"global_head_dim": None}),
    ("gemma4", {"global_head_dim": 7}),
    ("gemma4", {"per_layer_config": []}),
    ("gemma4", {"per_layer_config": {"0": {"head_dim": 8}}}),
    ("gemma4", {"per_layer_config": {"1": {"head_dim": 8, "_attn_implementation": "odd/kernel"}}}),
    ("gemma4", {"per_layer_config": {"1": 8}}),
    ("gemma4", {"vocab_size_per_layer_input": 15}),
    ("gemma4", {"rope_parameters": {"full_attention": LINEAR}}),
    ("gemma4", {"rope_scaling": LINEAR}),
    ("gemma4", {"rope_parameters": {**ROPES, "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 2}}}),
    ("gemma4", {"attention_k_eq_v": "yes"}),
    ("gemma4 with experts", {"num_experts": None}),
    ("gemma4 with experts", {"hidden_size": 4}),
    ("gemma4 with experts", {"moe_intermediate_size": 4}),
    ("gemma4 with experts", {"top_k_experts": 3}),
    ("gemma4 with experts", {"num_global_key_value_heads": 3}),
]


@pytest.mark.parametrize(("name", "change"), BREAKS, ids=str)
def test_values_that_would_break_inside_torch_are_refused_before(name: str, change: dict[str, Any]) -> None:
    """Each is config_invalid and names the value, without torch."""
    with pytest.raises(LoadFailed) as failed:
        layout.text_config({**tiny(name), **change})
    assert (failed.value.failure.code, failed.value.failure.object) == (Code.CONFIG_INVALID, CONFIG)
    assert next(iter(change)).split("_")[0] in failed.value.failure.detail


def test_what_would_reach_other_code_never_does() -> None:
    """A config can name kernels to download and code to run: of all settings only the known ones reach transformers."""
    hostile = {"_attn_implementation": "somebody/kernel", "attn_implementation": "somebody/kernel", "auto_map": {"a": "b"},
               "_experts_implementation": "somebody/kernel", "layer_types_": 1, "transformers_version": "9"}  # fmt: skip
    for name in CONFIGS:
        made = layout.text_config({**tiny(name), **hostile})
        assert not made.keys() & hostile.keys()


@pytest.mark.parametrize(("name", "both"), [("gemma", True), ("gemma2", True), ("gemma4", "all")])
def test_a_model_that_looks_both_ways_makes_no_text(name: str, both: object) -> None:
    """Its attention would be cut in half without a word; Gemma 4's own setting for pictures is none of it."""
    with pytest.raises(LoadFailed, match="vectors") as failed:
        layout.text_config({**tiny(name), "use_bidirectional_attention": both})
    assert failed.value.failure.code is Code.FAMILY_UNSUPPORTED


VALUES = st.one_of(
    st.sampled_from([0, 1, 2, 3, 4, 8, 16, -1, 2.5, None, True, False, "", "full_attention", "gelu"]),
    st.sampled_from([[], {}, ["full_attention"] * 2, [8, 8], [0.5, 0.0], LINEAR, ROPES, OWN, {"1": {"head_dim": 4}}]),
)
FIELDS = st.sampled_from(
    [*TINY, *SMALL, "layer_types", "rope_scaling", "rope_parameters", "rope_theta", "hidden_activation", "hidden_act",
     "attention_bias", "tie_word_embeddings", "final_logit_softcapping", "attn_logit_softcapping", "altup_num_inputs",
     "altup_active_idx", "altup_correct_scale", "activation_sparsity_pattern", "attention_k_eq_v", "enable_moe_block",
     "use_double_wide_mlp", "per_layer_config", "num_global_key_value_heads"]
)  # fmt: skip


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(list(CONFIGS)), st.dictionaries(FIELDS, VALUES, min_size=1, max_size=3))
@example("gemma4", {"attention_k_eq_v": True, "per_layer_config": OWN})
@example("gemma3n", {"num_kv_shared_layers": 0, "layer_types": None})
def test_what_passes_runs(name: str, change: dict[str, Any]) -> None:
    """Whatever stands in a config, it is refused with a code before torch, or it builds and computes."""
    config = {**tiny(name), **change}
    codes: list[Code] = []
    try:
        layout.text_config(config)
    except LoadFailed as failed:
        codes.append(failed.failure.code)
    if codes:
        assert codes == [Code.CONFIG_INVALID]
    else:
        runs(config)
