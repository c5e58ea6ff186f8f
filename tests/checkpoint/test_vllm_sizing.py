"""What is derived for vLLM: refused by weights alone, everything else an estimate that stays legal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gemmactl import spec_rules
from gemmactl.checkpoint import arithmetic, sizing
from gemmactl.checkpoint.families import FORMS, engine_for, of
from gemmactl.checkpoint.room import Room
from gemmactl.checkpoint.vllm_sizing import Foreign, fit, seconds
from gemmactl.errors import Exit, Trouble
from gemmactl.limits import L4
from gemmactl.spec import Probe, Serve, parse_model

WISH = Serve("p-project", "us-central1", parse_model("gs://weights/m"), "m", engine="vllm", engine_given=True)
# google/gemma-2-9b-it and google/gemma-3-12b-it, from their config.json on the Hub
GEMMA2_9B: dict[str, Any] = {
    "model_type": "gemma2",
    "num_hidden_layers": 42,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 256,
    "hidden_size": 3584,
    "max_position_embeddings": 8192,
    "torch_dtype": "bfloat16",
}
TWELVE: dict[str, Any] = {
    "model_type": "gemma3",
    "text_config": {"num_hidden_layers": 48, "num_key_value_heads": 8, "head_dim": 256, "max_position_embeddings": 131072},
}
AWQ = {**TWELVE, "quantization_config": {"quant_method": "awq", "bits": 4}}
GB = 10**9


def derived(config: dict[str, Any] | None, size: int | None, **more: Any) -> sizing.Sizing:
    model = Foreign.of(config, size) if config is not None and size is not None else None
    return sizing.derive(replace(WISH, **more), None, size, Room(), foreign=model)


def test_full_12b_weights_are_refused_and_a_quantised_copy_is_served() -> None:
    """24 GB of weights are more than vLLM's share of an L4; 8 GB in AWQ leave room for the cache."""
    with pytest.raises(Trouble) as caught:
        derived(TWELVE, 24 * GB)
    assert (caught.value.exit, caught.value.code) == (Exit.REFUSED, "model-too-large")
    assert "--gpu-type nvidia-rtx-pro-6000" in caught.value.remedy
    assert "AWQ" in caught.value.remedy
    found = derived(AWQ, 8 * GB)
    assert found.wish.context == 8192
    assert 1 < found.wish.concurrency <= 32


def test_float32_files_count_half_and_quantised_ones_as_they_are() -> None:
    """Full weights are cast to bfloat16, packed ones never."""
    assert Foreign.of({**TWELVE, "torch_dtype": "float32"}, 16 * GB).weights == 8 * GB
    assert Foreign.of({**AWQ, "torch_dtype": "float32"}, 8 * GB).weights == 8 * GB


def test_the_cache_of_a_token_is_counted_over_all_layers() -> None:
    """Keys and values, two bytes each: 2 x 2 x 42 x 8 x 256."""
    assert Foreign.of(GEMMA2_9B, GB).per_token == 344_064


def test_little_room_makes_a_shorter_context_and_never_none() -> None:
    """A 9B in bfloat16 leaves room for some tokens; where it would be hardly any, that is told as an estimate, not refused."""
    found = derived(GEMMA2_9B, 18_480_000_000)
    assert (found.wish.context, found.wish.concurrency, found.cautions) == (1792, 1, ())
    tight = derived(GEMMA2_9B, 20 * GB)
    assert tight.wish.context == 1024
    assert [c.code for c in tight.cautions] == ["vllm-cache-small"]


def test_what_the_user_gave_stays_and_is_checked() -> None:
    """Context, concurrency, size and probe; a context beyond the model's is refused as vLLM would refuse it."""
    given = frozenset({"context", "concurrency", "cpu", "memory", "probe"})
    mine = Probe(path="/health", period=10, failures=6)
    found = derived(TWELVE, 8 * GB, context=2048, concurrency=3, cpu=4, memory="16Gi", probe=mine, given=given).wish
    assert (found.context, found.concurrency, found.cpu, found.memory, found.probe) == (2048, 3, 4, "16Gi", mine)
    with pytest.raises(Trouble) as caught:
        derived(GEMMA2_9B, 5 * GB, context=9000, given=frozenset({"context"}))
    assert caught.value.code == "context-too-long"


def test_nothing_known_is_left_to_vllm() -> None:
    """hf: context auto, a few requests, the longest start that Cloud Run allows."""
    found = derived(None, None)
    assert (found.wish.context, found.wish.concurrency, found.wish.probe.budget) == (None, 8, 1800)


@pytest.mark.parametrize("config", [{"model_type": "new"}, {"model_type": "x", "num_hidden_layers": "many", "text_config": 3}])
def test_a_config_of_an_unknown_kind_is_no_obstacle(config: dict[str, Any]) -> None:
    """What it does not say stays unknown; the wish is legal all the same."""
    found = derived(config, GB)
    assert (found.wish.context, found.wish.concurrency) == (8192, 8)
    spec_rules.check(found.wish)


def test_the_probe_asks_vllms_health_and_waits_longer() -> None:
    """Imports, compilation and graphs come on top of the bytes; nothing exceeds Cloud Run's limit."""
    probe = derived(TWELVE, 8 * GB).wish.probe
    assert (probe.path, probe.period, probe.budget) == ("/health", 2, seconds(8 * GB))
    assert 360 < seconds(8 * GB) < 1800 == seconds(900 * GB)


def test_the_arithmetic_says_what_it_is() -> None:
    """Rows for people name it an estimate; the document has the engine and the bytes."""
    found = derived(AWQ, 8 * GB)
    text = " ".join(" ".join(row) for row in arithmetic.rows(found))
    assert "vLLM takes 90%" in text
    assert "none of these numbers was measured on a GPU" in text
    document = arithmetic.document(found)
    assert (document["engine"], document["weights_bytes"], document["context"]) == ("vllm", 8 * GB, 8192)
    assert "start-up" in {row["what"] for row in arithmetic.document(derived(None, None))["arithmetic"]}
    assert found.gpu is L4


def test_the_user_decides_the_engine_and_the_tables_otherwise() -> None:
    """A named engine stays; auto follows family and form; nothing known is gemmactl's own server."""
    auto = replace(WISH, engine="gemmactl", engine_given=False)
    awq = next(form for form in FORMS if form.key == "awq")
    gemma2, gemma3 = of({"model_type": "gemma2"}), of({"model_type": "gemma3"})
    assert engine_for(WISH, gemma3) == "vllm"
    assert engine_for(replace(auto, engine_given=True), gemma2) == "gemmactl"
    assert [engine_for(auto, family, awq) for family in (gemma2, gemma3)] == ["vllm", "vllm"]
    assert [engine_for(auto, family) for family in (gemma2, gemma3, None)] == ["gemmactl"] * 3
    gemma4 = of({"model_type": "gemma4"})
    assert (engine_for(auto, gemma4), engine_for(replace(auto, engine_given=True), gemma4)) == ("vllm", "gemmactl")


@pytest.mark.parametrize(
    ("largest", "memory", "told"), [(5 * GB, "32Gi", False), (30 * GB, "32Gi", True), (12 * GB, "16Gi", True)]
)
def test_a_mounted_file_is_held_whole(largest: int, memory: str, *, told: bool) -> None:
    """--loader fuse reads a file into host memory; one that does not fit beside two processes is a caution."""
    given = frozenset({"memory"})
    wish = replace(WISH, loader="fuse", memory=memory, given=given)
    found = fit(wish, L4, Foreign.of(TWELVE, 8 * GB, largest))
    assert any(c.code == "host-memory" for c in found.cautions) is told
    streamed = fit(replace(wish, loader="stream"), L4, Foreign.of(TWELVE, 8 * GB, largest))
    assert not any(c.code == "host-memory" for c in streamed.cautions)
