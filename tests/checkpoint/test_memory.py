"""GPU memory from a config, against the architectures and the cache of transformers themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AttentionInterface, DynamicCache, Gemma3ForCausalLM, Gemma3TextConfig
from transformers.integrations.sdpa_attention import repeat_kv
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

from gemmactl.checkpoint.memory import Architecture, demand, longest_context, sequences_that_fit
from inference_image.contract import LoadFailed
from tests.checkpoint.architectures import CONFIGS
from tests.checkpoint.live_bytes import LiveBytes

MB = 1e6


def shape(name: str, **more: Any) -> Architecture:
    return Architecture.of({**CONFIGS[name], **more})


def on_meta(name: str, attention: str = "sdpa") -> Gemma3ForCausalLM:
    """The real architecture, without memory."""
    settings = {key: value for key, value in CONFIGS[name].items() if key != "model_type"}
    with torch.device("meta"):
        return Gemma3ForCausalLM(Gemma3TextConfig(**settings, attn_implementation=attention)).to(torch.bfloat16)


@pytest.mark.parametrize("name", CONFIGS)
def test_weights_agree_with_the_real_architecture(name: str) -> None:
    """Bytes of all parameters of the model built on meta, each counted once; the bar is 1 %, they are equal."""
    real = sum(one.numel() * one.element_size() for one in on_meta(name).parameters())
    assert shape(name).weights() == pytest.approx(real, rel=0.01)
    assert shape(name).weights() == real


@pytest.mark.parametrize(("name", "count"), [("1b", 1.000e9), ("4b", 3.880e9), ("12b", 11.766e9)])
def test_the_published_counts(name: str, count: float) -> None:
    """Counts that were taken from architectures built with transformers 5.23, 2026-11."""
    assert shape(name).parameters == pytest.approx(count, rel=0.001)


@pytest.mark.parametrize(
    ("name", "tokens", "ring", "all_layers"),
    [
        ("1b", 1024, 16, 27),
        ("4b", 1024, 143, 143),
        ("12b", 1024, 403, 403),
        ("1b", 4096, 28, 109),
        ("4b", 4096, 206, 570),
        ("12b", 4096, 604, 1611),
    ],
)
def test_keys_and_values_of_one_sequence(name: str, tokens: int, ring: int, all_layers: int) -> None:
    """Sliding layers keep their window; just after the prompt every layer still holds all of it."""
    assert shape(name).kv(tokens) / MB == pytest.approx(ring, abs=0.6)
    assert shape(name).prompt_kv(tokens) / MB == pytest.approx(all_layers, abs=1)


TINY = {
    "model_type": "gemma3_text", "hidden_size": 32, "num_hidden_layers": 7, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 8, "intermediate_size": 48, "vocab_size": 64, "sliding_window": 16, "max_position_embeddings": 256,
    "sliding_window_pattern": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny() -> Gemma3ForCausalLM:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    settings = {key: value for key, value in TINY.items() if key != "model_type"}
    return Gemma3ForCausalLM(Gemma3TextConfig(**settings)).eval()


def held(cache: DynamicCache) -> int:
    """Bytes of memory behind all keys and values, views counted with what they keep alive."""
    return sum(one.untyped_storage().nbytes() for layer in cache.layers for one in (layer.keys, layer.values))


@pytest.mark.parametrize("prompt", [5, 16, 40])
def test_the_cache_of_transformers_is_as_large_as_computed(tiny: Gemma3ForCausalLM, prompt: int) -> None:
    """generate() as the engine calls it, past the window: after the prompt and after the answer, byte for byte."""
    computed = Architecture.of(TINY)
    ids = torch.arange(prompt)[None] % 60 + 3
    first = tiny.generate(ids, max_new_tokens=1, eos_token_id=[], do_sample=False, return_dict_in_generate=True)
    assert held(first.past_key_values) == computed.prompt_kv(prompt, 4)
    more = tiny.generate(ids, max_new_tokens=30, eos_token_id=[], do_sample=False, return_dict_in_generate=True)
    # the last token is answered and never read
    assert held(more.past_key_values) == computed.kv(prompt + 29, 4)


def counted(module: Any, q: Any, k: Any, v: Any, mask: Any, **_: Any) -> tuple[torch.Tensor, None]:
    """A memory-efficient kernel by its tensors: keys and values for each head, the mask as an addend, no scores."""
    kept = [repeat_kv(one, module.num_key_value_groups) for one in (k, v)]
    if mask is not None:
        kept.append(torch.empty(mask.shape, dtype=q.dtype, device=q.device))
    return torch.empty_like(q).transpose(1, 2).contiguous(), None


@pytest.mark.parametrize(("name", "tokens"), [("1b", 2048), ("1b", 32768), ("4b", 8192), ("4b", 32768), ("12b", 8192)])
def test_the_work_memory_covers_the_peak_of_a_real_prompt(name: str, tokens: int) -> None:
    """All tensors that live while the real architecture reads a prompt in one piece: never more than computed, nor far below."""
    AttentionInterface.register("counted", counted)
    AttentionMaskInterface.register("counted", ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    model, ids = on_meta(name, "counted"), torch.zeros((1, tokens), dtype=torch.long, device="meta")
    with torch.inference_mode(), LiveBytes() as live:
        model(input_ids=ids, past_key_values=DynamicCache(config=model.config), use_cache=True, logits_to_keep=1)
    computed = shape(name).prompt_kv(tokens) + shape(name).activations(tokens)
    assert live.peak <= computed <= 1.15 * live.peak


@pytest.mark.parametrize(
    "spelling",
    [
        {"sliding_window_pattern": 6},  # 4.51
        {"_sliding_window_pattern": 6},  # 4.53 to 5.x, beside layer_types
        {"layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 4 + ["sliding_attention"] * 2},  # since 4.53
        {"layer_types": None},
        {},
    ],
)
def test_every_spelling_of_the_layers(spelling: dict[str, Any]) -> None:
    """Each names the same four global layers of a 1B."""
    found = shape("1b", **spelling)
    assert (found.full, found.sliding, found.window) == (4, 22, 512)


@pytest.mark.parametrize(
    "broken", [{"layer_types": ["full_attention"]}, {"sliding_window": "wide"}, {"max_position_embeddings": -1}]
)
def test_a_config_that_names_no_sizes_is_refused(broken: dict[str, Any]) -> None:
    """With the code that the engine refuses it with."""
    with pytest.raises(LoadFailed) as caught:
        shape("1b", **broken)
    assert caught.value.failure.code == "config_invalid"


def test_a_cast_needs_the_largest_tensor_twice() -> None:
    """A float32 checkpoint of a small model with a large vocabulary: the load is the peak, not the answer."""
    wide = demand(shape("270m"), 256, stored=4)
    assert wide.loads_highest
    assert wide.loading == shape("270m").weights() + 262144 * 640 * 4
    assert not demand(shape("270m"), 256).loads_highest


def test_what_fits_is_the_edge() -> None:
    """The longest context and the number of sequences fit; one step or one more does not."""
    one, room = shape("4b"), 24 * 10**9
    tokens = longest_context(one, room, one.longest)
    assert demand(one, tokens).total <= room < demand(one, tokens + 256).total
    count = sequences_that_fit(one, room, 4096)
    assert demand(one, 4096, sequences=count).total <= room < demand(one, 4096, sequences=count + 1).total
