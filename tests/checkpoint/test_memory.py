"""GPU memory from a config, against the architectures of transformers and what the engine takes for them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from gemmactl.checkpoint.memory import RUNTIME, Architecture, demand, longest_context, sequences_that_fit
from gemmactl.limits import GPUS
from inference_image import contract, layout, reserve
from inference_image.contract import LoadFailed
from inference_image.engine.attention import PromptStep, Stretch
from inference_image.engine.capacity import rows_that_fit, work_bytes
from inference_image.engine.kv import Cache, bytes_per_row
from inference_image.engine.language import Language
from inference_image.engine.language_config import LanguageConfig
from tests.checkpoint.architectures import CONFIGS
from tests.checkpoint.live_bytes import LiveBytes

MB = 1e6


def shape(name: str, **more: Any) -> Architecture:
    return Architecture.of({**CONFIGS[name], **more})


def settings_of(name: str) -> dict[str, Any]:
    return {key: value for key, value in CONFIGS[name].items() if key != "model_type"}


def on_meta(name: str) -> Gemma3ForCausalLM:
    """The real architecture, without memory."""
    with torch.device("meta"):
        return Gemma3ForCausalLM(Gemma3TextConfig(**settings_of(name))).to(torch.bfloat16)


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
    ("name", "tokens", "size"),
    [("1b", 1024, 16), ("4b", 1024, 143), ("12b", 1024, 403), ("1b", 4096, 28), ("4b", 4096, 206), ("12b", 4096, 604)],
)
def test_keys_and_values_of_one_sequence(name: str, tokens: int, size: int) -> None:
    """Sliding layers keep their window."""
    assert shape(name).kv(tokens) / MB == pytest.approx(size, abs=0.6)


@pytest.mark.parametrize("name", CONFIGS)
def test_keys_and_values_are_the_engines_own(name: str) -> None:
    """Byte for byte what the engine says and what it takes, below the window, in it and beyond, in both dtypes."""
    config = Gemma3TextConfig(**settings_of(name))
    for tokens in (1, 512, 1023, 4096, 131072):
        for dtype in (torch.bfloat16, torch.float32):
            computed = shape(name).kv(tokens, dtype.itemsize)
            assert computed == bytes_per_row(config, tokens, dtype.itemsize)
            cache = Cache(config, 3, tokens, dtype, torch.device("meta"))
            assert sum(one.nbytes for one in (*cache.keys, *cache.values)) == 3 * computed


@pytest.mark.parametrize(("name", "tokens"), [("1b", 1024), ("4b", 8192), ("12b", 32768)])
def test_the_work_memory_covers_the_peak_of_a_real_chunk(name: str, tokens: int) -> None:
    """All tensors that live while the real architecture reads the last chunk of a context as the engine does: never more than
    computed, nor far below. Without inference mode attention is taken apart, so that its scores are counted.
    """
    model = Language(LanguageConfig.of(layout.text_config(CONFIGS[name])), torch.bfloat16, torch.device("meta"))
    model.tie_weights()
    count = min(contract.PROMPT_CHUNK, tokens)
    cache = Cache(model.config, 1, tokens, torch.bfloat16, torch.device("meta"))
    ids, at = torch.zeros((1, count), dtype=torch.long, device="meta"), torch.arange(tokens - count, tokens, device="meta")
    step = PromptStep(cache, [Stretch(0, tokens - count, count)])
    held = [*model.parameters(), *model.buffers(), *cache.keys, *cache.values]
    with torch.no_grad(), LiveBytes(beside=held) as live:
        model(ids, at[None], step, 1)
    chosen = contract.PARALLEL_SEQUENCES * reserve.LOGITS * model.config.vocab_size
    computed = shape(name).activations(tokens)
    assert live.peak <= computed <= max(1.15 * live.peak, chosen)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_engine_finds_room_for_as_many_as_computed(name: str) -> None:
    """Sequences that fit are the rows that the engine makes of the same free bytes; where none fits it refuses."""
    config, made = Gemma3TextConfig(**settings_of(name)), shape(name)
    for row in GPUS.values():
        for tokens in (1024, 8192, 32768):
            for int8 in (False, True):
                computed = sequences_that_fit(made, row.usable, tokens, int8=int8)
                free = row.usable - RUNTIME - made.weights(int8=int8)
                work = work_bytes(config, tokens, 2)
                try:
                    rows = rows_that_fit(bytes_per_row(config, tokens, 2), free, gpu=True, wanted=10**6, work=work)
                except LoadFailed:
                    rows = 0
                assert computed == rows


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
    """A float32 checkpoint of a model with a large vocabulary: the load is the peak, not one short answer."""
    wide = demand(shape("4b"), 256, stored=4)
    assert wide.loads_highest
    assert wide.loading == shape("4b").weights() + 262208 * 2560 * 4
    assert not demand(shape("4b"), 256).loads_highest


def test_what_fits_is_the_edge() -> None:
    """The longest context and the number of sequences fit; one step or one more does not."""
    one, room = shape("4b"), 16 * 10**9
    tokens = longest_context(one, room, one.longest)
    assert demand(one, tokens).total <= room < demand(one, tokens + 256).total
    count = sequences_that_fit(one, room, 4096)
    assert demand(one, 4096, sequences=count).total <= room < demand(one, 4096, sequences=count + 1).total
