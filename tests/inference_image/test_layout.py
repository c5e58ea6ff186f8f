"""layout: headers and indexes from outside, key layouts, completeness."""

from __future__ import annotations

import json
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_image import layout
from inference_image.contract import Code, LoadFailed
from inference_image.families import FAMILIES, Family
from inference_image.layout import Tensor
from tests.inference_image.checkpoints import MODEL, shard

TWO = shard({"a": ("BF16", [2, 3], bytes(12)), "b": ("F32", [1], bytes(4))}, {"format": "pt"})


def header(rows: object, data: int = 0) -> bytes:
    text = json.dumps(rows).encode() if not isinstance(rows, bytes) else rows
    return struct.pack("<Q", len(text)) + text + bytes(data)


def test_header_gives_absolute_offsets_in_order_of_bytes() -> None:
    """A tensor's row has its place in the object, header included."""
    start = len(TWO) - 16
    assert layout.parse_header(TWO[:start], "s", len(TWO)) == (
        Tensor("a", "BF16", (2, 3), "s", start, start + 12),
        Tensor("b", "F32", (1,), "s", start + 12, start + 16),
    )


TWINS = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'


@pytest.mark.parametrize(
    ("data", "size", "code"),
    [
        (b"", 0, Code.SHARD_TRUNCATED),
        (TWO, len(TWO) - 1, Code.SHARD_TRUNCATED),
        (TWO, len(TWO) + 1, Code.HEADER_INVALID),
        (struct.pack("<Q", 1 << 62), 100, Code.HEADER_INVALID),
        (struct.pack("<Q", 200), 100, Code.SHARD_TRUNCATED),
        (header(b"{not json"), None, Code.HEADER_INVALID),
        (header(b"[" * 100_000), None, Code.HEADER_INVALID),
        (header([1]), None, Code.HEADER_INVALID),
        (header({"a": 1}), None, Code.HEADER_INVALID),
        (header({"a": {"dtype": "F99", "shape": [], "data_offsets": [0, 4]}}, 4), None, Code.HEADER_INVALID),
        (header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, 4), None, Code.HEADER_INVALID),
        (header({"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, 4), None, Code.HEADER_INVALID),
        (header({"a": {"dtype": "F32", "shape": [1] * 99, "data_offsets": [0, 4]}}, 4), None, Code.HEADER_INVALID),
        (header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, 4), None, Code.HEADER_INVALID),
        (header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, 8), None, Code.HEADER_INVALID),
        (header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0.0, 4]}}, 4), None, Code.HEADER_INVALID),
        (header(TWINS, 1), None, Code.HEADER_INVALID),
    ],
)  # fmt: skip
def test_bad_headers_are_refused_by_name(data: bytes, size: int | None, code: Code) -> None:
    """Whatever stands in a header, the outcome is a table or a LoadFailed that names the shard."""
    with pytest.raises(LoadFailed) as failed:
        layout.parse_header(data, "shard", len(data) if size is None else size)
    assert (failed.value.failure.code, failed.value.failure.object) == (code, "shard")


@given(st.binary(max_size=200), st.integers(0, 300))
def test_no_bytes_make_the_parser_crash(data: bytes, size: int) -> None:
    """Random bytes as a shard end in LoadFailed or a table, never in another exception."""
    with suppress(LoadFailed):
        assert layout.parse_header(struct.pack("<Q", max(2, len(data) - 8)) + data, "s", size) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"weight_map": []}',
        '{"weight_map": {"a": "../x.safetensors"}}',
        '{"weight_map": {"a": 7}}',
        '{"weight_map": {"a": "x.bin"}}',
    ],
)
def test_bad_indexes_are_refused(text: str) -> None:
    """An index without a map, or with a shard outside of the folder, is index_invalid."""
    with pytest.raises(LoadFailed) as failed:
        layout.parse_index(text.encode())
    assert failed.value.failure.code is Code.INDEX_INVALID


@pytest.mark.parametrize(
    ("key", "own"),
    [
        ("language_model.model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"),
        ("model.language_model.norm.weight", "model.norm.weight"),
        ("language_model.norm.weight", "model.norm.weight"),
        ("language_model.lm_head.weight", "lm_head.weight"),
        ("model.norm.weight", "model.norm.weight"),
        ("lm_head.weight", "lm_head.weight"),
        ("base_model.model.model.norm.weight", "model.norm.weight"),
        ("base_model.model.language_model.model.norm.weight", "model.norm.weight"),
        ("vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight", None),
        ("model.vision_tower.encoder.layers.0.mlp.fc1.weight", None),
        ("multi_modal_projector.mm_input_projection_weight", None),
        ("model.layers.0.self_attn.rotary_emb.inv_freq", None),
    ],
)
def test_every_key_layout_means_the_same_tensor(key: str, own: str | None) -> None:
    """Keys of each writer, and PEFT's leftover prefix, map to the text model's own; vision maps to nothing."""
    assert layout.serving_name(key) == own


def table(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    return {name: Tensor(name, "BF16", shape, "s", 0, 0) for name, shape in shapes.items()}


def test_the_difference_has_three_kinds() -> None:
    """missing, unexpected and mismatched are told apart."""
    difference = layout.compare({"a": (1,), "b": (2,)}, table(b=(3,), c=(1,)))
    assert (difference.missing, difference.unexpected) == (("a",), ("c",))
    assert difference.mismatched == ("b is [3], the config says [2]",)
    assert not difference.whole


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (table(a=(1,)), None),
        (table(), Code.KEYS_MISSING),
        (table(a=(1,), b=(1,)), Code.KEYS_UNEXPECTED),
        (table(a=(2,)), Code.SHAPE_MISMATCH),
        ({"a": Tensor("a", "I8", (1,), "s", 0, 1)}, Code.DTYPE_UNSUPPORTED),
    ],
)
def test_only_the_whole_model_is_served(found: dict[str, Tensor], code: Code | None) -> None:
    """Each kind of difference refuses to load with its own code."""
    if code is None:
        layout.require_complete({"a": (1,)}, found, "here")
        return
    with pytest.raises(LoadFailed) as failed:
        layout.require_complete({"a": (1,)}, found, "here")
    assert failed.value.failure.code is code


def test_an_unmerged_adapter_is_called_one() -> None:
    """LoRA matrices among the weights are named as what they are."""
    found = {"a": Tensor("a", "BF16", (1,), "s", 0, 2), "q.lora_A.default.weight": Tensor("q", "BF16", (1,), "s", 2, 4)}
    with pytest.raises(LoadFailed, match="adapter"):
        layout.require_complete({"a": (1,)}, found, "here")


def test_two_keys_for_one_tensor_are_refused() -> None:
    """A folder that holds a tensor under two names is ambiguous."""
    rows = [Tensor("model.norm.weight", "BF16", (1,), "s", 0, 2), Tensor("language_model.norm.weight", "BF16", (1,), "s", 2, 4)]
    with pytest.raises(LoadFailed) as failed:
        layout.wanted(rows)
    assert failed.value.failure.code is Code.KEYS_UNEXPECTED


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"model_type": "llama"}, Code.FAMILY_UNSUPPORTED),
        ({}, Code.FAMILY_UNSUPPORTED),
        ({"model_type": 7}, Code.FAMILY_UNSUPPORTED),
        ({"model_type": "gemma5"}, Code.FAMILY_UNSUPPORTED),
        ({"model_type": "embedding_gemma2", "text_config": {}}, Code.FAMILY_UNSUPPORTED),
        ({"model_type": "gemma4"}, Code.CONFIG_INVALID),
        ({"model_type": "gemma3_text", "use_bidirectional_attention": True}, Code.FAMILY_UNSUPPORTED),
        ({"model_type": "gemma3_text", "architectures": ["Gemma3TextModel"]}, Code.FAMILY_UNSUPPORTED),
        ({"model_type": "gemma3", "text_config": {"use_bidirectional_attention": True}}, Code.FAMILY_UNSUPPORTED),
        ({"model_type": "gemma3"}, Code.CONFIG_INVALID),
        ({"model_type": "gemma3_text", "hidden_size": "big"}, Code.CONFIG_INVALID),
        ({"model_type": "gemma3_text", "num_hidden_layers": 10**9}, Code.CONFIG_INVALID),
        ({"model_type": "gemma3_text", "quantization_config": {"bits": 4}}, Code.DTYPE_UNSUPPORTED),
    ],
)
def test_bad_configs_are_refused(config: dict[str, object], code: Code) -> None:
    """Other families, quantised checkpoints and nonsense sizes end before a weight is read."""
    with pytest.raises(LoadFailed) as failed:
        layout.expected(layout.text_config(config))
    assert failed.value.failure.code is code


@pytest.mark.parametrize("row", [row for row in FAMILIES if not row.served], ids=lambda row: row.key)
def test_a_family_that_is_not_served_says_why_and_what_does(row: Family) -> None:
    """The refusal is the row's own reason and way out, in the words of one table."""
    config: dict[str, object] = {"model_type": row.model_types[0], "text_config": {}}
    with pytest.raises(LoadFailed) as failed:
        layout.text_config(config)
    assert failed.value.failure.code is Code.FAMILY_UNSUPPORTED
    assert row.name in failed.value.failure.detail
    assert row.reason in failed.value.failure.detail
    assert row.way_out in failed.value.failure.detail


# Sizes of the released models: google/gemma-3-{270m,1b-it,4b-it,12b-it} config.json; 4b and 12b write only what differs.
SMALL = {"model_type": "gemma3_text", "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 262144}
LARGE = {"hidden_size": 3840, "intermediate_size": 15360, "num_hidden_layers": 48, "num_attention_heads": 16}
RELEASED = [
    json.loads((MODEL / "config.json").read_text()),
    {**SMALL, "hidden_size": 640, "intermediate_size": 2048, "num_hidden_layers": 18},
    {**SMALL, "hidden_size": 1152, "intermediate_size": 6912, "num_hidden_layers": 26},
    {"model_type": "gemma3", "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34}},
    {"model_type": "gemma3", "text_config": {**LARGE, "num_key_value_heads": 8}},
    {"model_type": "gemma3_text", "num_hidden_layers": 1, "attention_bias": True, "tie_word_embeddings": False},
]


@pytest.mark.parametrize("config", RELEASED, ids=["sample", "270m", "1b", "4b", "12b", "untied-bias"])
def test_expected_tensors_are_those_of_transformers(config: dict[str, object]) -> None:
    """Our table from the config alone equals the names and shapes of transformers' own model, for every size."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    from inference_image.engine.model import needed

    inner = layout.text_config(config)
    with torch.device("meta"):
        model = Gemma3ForCausalLM(Gemma3TextConfig.from_dict({**inner, "model_type": "gemma3_text"}))
    assert layout.expected(inner) == needed(model)
