"""GPU memory of the families that generate() serves, against their architectures and the cache of transformers themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import repeat_kv
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

from gemmactl.checkpoint.generic_memory import GenericArchitecture, architecture
from gemmactl.checkpoint.memory import Architecture, demand
from inference_image import contract, layout, reserve
from inference_image.contract import PROMPT_CHUNK as CHUNK
from inference_image.engine import borrowed
from inference_image.engine import model as models
from inference_image.engine.generic import Generic
from inference_image.engine.schedule import Part
from inference_image.families import FAMILIES
from inference_image.generic_sizes import GenericSizes
from tests.checkpoint.live_bytes import LiveBytes
from tests.inference_image.small_families import CONFIGS, SIZES, made

LAYERS = [*["sliding_attention"] * 4, "full_attention"]
SHARED = {"num_hidden_layers": 35, "num_kv_shared_layers": 20, "use_double_wide_mlp": True, "layer_types": LAYERS * 7}
EQUAL = {"attention_k_eq_v": True, "hidden_size_per_layer_input": 0, "sliding_window": 1024}
EXPERTS = {"enable_moe_block": True, "num_experts": 128, "top_k_experts": 8, "moe_intermediate_size": 704}


def sizes(kind: str, hidden: int, inner: int, layers: int, heads: int, keys: int, **more: Any) -> dict[str, Any]:
    return {
        "model_type": kind, "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": keys, **more,
    }  # fmt: skip


REAL: dict[str, dict[str, Any]] = {
    "gemma 2b": sizes("gemma", 2048, 16384, 18, 8, 1),
    "gemma 7b": sizes("gemma", 3072, 24576, 28, 16, 16),
    "gemma2 2b": sizes("gemma2", 2304, 9216, 26, 8, 4),
    "gemma2 9b": sizes("gemma2", 3584, 14336, 42, 16, 8),
    "gemma2 27b": sizes("gemma2", 4608, 36864, 46, 32, 16, head_dim=128, query_pre_attn_scalar=144),
    "gemma3n E4B": {"model_type": "gemma3n_text"},
    "gemma3n of 30 layers": {**sizes("gemma3n_text", 2048, 8192, 30, 8, 2), "num_kv_shared_layers": 10},
    "gemma4 as its class": {"model_type": "gemma4_text"},
    "gemma4 that shares": {**sizes("gemma4_text", 1536, 6144, 35, 8, 1), **SHARED},
    "gemma4 of 31b": {**sizes("gemma4_text", 5376, 21504, 60, 32, 16), **EQUAL, "num_global_key_value_heads": 4},
    "gemma4 with experts": {**sizes("gemma4_text", 2816, 2112, 30, 16, 8), **EQUAL, **EXPERTS, "num_global_key_value_heads": 2},
}
"""source: Gemma's and Gemma 2's config.json as maxtext and Google's cookbook list them; Gemma 3n's and 4's are the defaults of
transformers' config classes, and settings that reach each of their branches at such sizes."""
ALIKE = ("gemma 2b", "gemma2 9b", "gemma3n of 30 layers")
"""Larger or smaller by the same parts as another one."""


def counted(module: Any, q: Any, k: Any, v: Any, mask: Any, **_: Any) -> tuple[torch.Tensor, None]:
    """A memory-efficient kernel by its tensors: keys and values for each head, the mask as an addend, no scores."""
    kept = [repeat_kv(one, module.num_key_value_groups) for one in (k, v)]
    if mask is not None:
        kept.append(torch.empty(mask.shape, dtype=q.dtype, device=q.device))
    return torch.empty_like(q).transpose(1, 2).contiguous(), None


def held(cache: Any) -> int:
    """Bytes of memory behind all keys and values, views counted with what they keep alive; layers that share have none."""
    return sum(one.untyped_storage().nbytes() for layer in cache.layers for one in (layer.keys, layer.values) if one is not None)


def on_meta(config: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """The settings as the engine reads them, and the real architecture without memory."""
    row = next(row for row in FAMILIES if config["model_type"] in row.text_types)
    inner = layout.text_config(config)
    made = borrowed.text_config(row, inner, torch.bfloat16)
    if not layout.capped(inner):
        made._attn_implementation = "counted"
    return inner, borrowed.build(row, made, torch.bfloat16, torch.device("cpu")).to("meta")


def shallow(config: dict[str, Any]) -> dict[str, Any]:
    """The same widths in a few layers of both kinds: what lives at once is in one layer, and in what all layers keep."""
    if config["model_type"] == "gemma":
        return {**config, "num_hidden_layers": 3}
    shares = config.get("num_kv_shared_layers") or config["model_type"] == "gemma3n_text"
    times = 2 if shares else 1
    return {**config, "num_hidden_layers": 5 * times, "layer_types": LAYERS * times, "num_kv_shared_layers": 5 * (times - 1)}


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    AttentionInterface.register("counted", counted)
    AttentionMaskInterface.register("counted", ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])


@pytest.mark.parametrize("name", REAL)
def test_tensors_and_weights_are_those_of_the_real_architecture(name: str) -> None:
    """The table without torch equals transformers' own model in every name and shape, and the bytes are counted from it."""
    inner, model = on_meta(REAL[name])
    assert layout.expected(inner) == models.needed(model)
    real = sum(one.numel() for one in model.state_dict().values()) - model.get_output_embeddings().weight.numel()
    assert architecture(inner).weights() == 2 * real


@pytest.mark.parametrize("name", [name for name in REAL if name not in ALIKE])
def test_the_work_memory_covers_the_peak_of_a_real_prompt(name: str) -> None:
    """All tensors that live while the engine reads a prompt in chunks: never more than computed, nor far below.

    Layers that share keys and values read only the last token of a chunk since transformers 5.2x; computed is what 5.17 reads.
    """
    inner, model = on_meta(shallow(REAL[name]))
    sizes, steps, tokens = GenericSizes.of({**inner, "vocab_size": 1}), Generic(model), 3 * CHUNK
    with LiveBytes(model.parameters()) as live:
        for start in range(0, tokens, CHUNK):
            steps.prompt([Part(0, start, [0] * CHUNK, last=start + CHUNK == tokens)])
        assert held(steps._caches[0]) == sizes.kv(tokens)
    computed = sizes.kv(tokens) + sizes.chunk(tokens)
    assert live.peak <= computed <= (1.7 if "shares" in name else 1.2) * live.peak


@pytest.mark.parametrize("name", list(CONFIGS))
def test_the_cache_of_transformers_is_as_large_as_computed(name: str) -> None:
    """As the engine fills it, past the window, byte for byte: after a prompt, and while it is answered."""
    sizes, steps = GenericSizes.of(layout.text_config({**SIZES, **CONFIGS[name]})), Generic(made(name))
    steps.prompt([Part(0, 0, [5] * 40, last=True)])
    assert held(steps._caches[0]) == sizes.kv(40)
    for at in range(40, 60):
        steps.decode([5], [at], [None])
    assert held(steps._caches[0]) == sizes.answering(60)


def test_the_engine_decides_which_arithmetic() -> None:
    """Gemma 3 has its own; the others are counted as the engine counts them, few at once, int8 only where it was tried."""
    assert type(architecture(layout.text_config({"model_type": "gemma3_text"}))) is Architecture
    inner = layout.text_config(REAL["gemma4 of 31b"])
    other, sizes = architecture(inner), GenericSizes.of(inner)
    assert (type(other), other.at_once, other.int8) == (GenericArchitecture, contract.GENERIC_SEQUENCES, False)
    assert architecture(layout.text_config(REAL["gemma2 2b"])).int8
    need = demand(other, 8192, sequences=2)
    assert (need.kv, need.reserved) == (2 * sizes.kv(8192), reserve.reserved(sizes.chunk(8192)))
    assert other.kv_text(8192, 2) == "2 x 2 bytes x (20480 wide x 8192 tokens + 204800 wide in sliding layers x 1535)"
