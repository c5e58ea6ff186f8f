"""Writes folders with Gemma 3's shapes and a tokenizer of its size: random numbers that a loader can't tell from weights.

    python -m bench.make_weights FOLDER 270m|1b|4b [SHARDS]

Text shapes, bf16, in shards as save_pretrained cuts them.
"""

from __future__ import annotations

import json
import math
import random
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

SHAPES = {
    "270m": (640, 18, 2048, 4, 1, 262144),
    "1b": (1152, 26, 6912, 4, 1, 262144),
    "4b": (2560, 34, 10240, 8, 4, 262208),
}
HEAD = 256


def tensors(size: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(name, shape) in the order of a saved model."""
    hidden, layers, inner, heads, keys, vocabulary = SHAPES[size]
    yield "model.embed_tokens.weight", (vocabulary, hidden)
    for layer in range(layers):
        own = {
            "input_layernorm": (hidden,), "mlp.down_proj": (hidden, inner), "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden), "post_attention_layernorm": (hidden,), "post_feedforward_layernorm": (hidden,),
            "pre_feedforward_layernorm": (hidden,), "self_attn.k_norm": (HEAD,), "self_attn.k_proj": (keys * HEAD, hidden),
            "self_attn.o_proj": (hidden, heads * HEAD), "self_attn.q_norm": (HEAD,), "self_attn.q_proj": (heads * HEAD, hidden),
            "self_attn.v_proj": (keys * HEAD, hidden),
        }  # fmt: skip
        for name, shape in own.items():
            yield f"model.layers.{layer}.{name}.weight", shape
    yield "model.norm.weight", (hidden,)


def config(size: str) -> dict[str, object]:
    hidden, layers, inner, heads, keys, vocabulary = SHAPES[size]
    return {
        "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "hidden_size": hidden, "num_hidden_layers": layers,
        "intermediate_size": inner, "num_attention_heads": heads, "num_key_value_heads": keys, "head_dim": HEAD,
        "vocab_size": vocabulary, "dtype": "bfloat16", "sliding_window": 512, "sliding_window_pattern": 6,
        "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-6, "rope_theta": 1000000, "rope_local_base_freq": 10000,
        "max_position_embeddings": 32768, "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": True,
        "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0,
    }  # fmt: skip


def write(folder: Path, size: str, shards: int) -> int:
    """The folder; returns the bytes of its tensors."""
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    rows = [(name, shape, 2 * math.prod(shape)) for name, shape in tensors(size)]
    total = sum(row[2] for row in rows)
    limit, groups, held = (total - rows[0][2]) / max(1, shards - 1) * 1.0001, [[]], 0
    for row in rows:
        if groups[-1] and held + row[2] > limit and len(groups) < shards:
            groups.append([])
            held = 0
        groups[-1].append(row)
        held += row[2]
    normal = np.random.default_rng(0).standard_normal(1 << 22, dtype=np.float32) * 0.02
    block = (normal.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    weight_map = {}
    for number, group in enumerate(groups, 1):
        shard = f"model-{number:05d}-of-{len(groups):05d}.safetensors"
        header, at = {}, 0
        for name, shape, length in group:
            header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + length]}
            at += length
            weight_map[name] = shard
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with (folder / shard).open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for _, _, length in group:
                for begin in range(0, length, len(block)):
                    file.write(block[: min(len(block), length - begin)])
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map})
    )
    (folder / "config.json").write_text(json.dumps(config(size)))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(), ensure_ascii=False), encoding="utf-8")
    return total


def tokenizer(size: int = 262144, merges: int = 514_000) -> dict[str, object]:
    """A BPE tokenizer with as many tokens and merges as Gemma 3's has."""
    chance = random.Random(0)
    special = [
        "<pad>",
        "<eos>",
        "<bos>",
        "<unk>",
        "<mask>",
        *(f"<unused{n}>" for n in range(99)),
        "<start_of_turn>",
        "<end_of_turn>",
    ]
    vocabulary = {token: place for place, token in enumerate(special)}
    single = [chr(code) for code in (*range(33, 127), *range(0xA1, 0x250), *range(0xAC00, 0xAC00 + 2000))]
    for token in (*(f"<0x{byte:02X}>" for byte in range(256)), "▁", *single):
        vocabulary.setdefault(token, len(vocabulary))
    pool, pairs = [*"abcdefghijklmnopqrstuvwxyz", "▁"], []
    while len(vocabulary) < size:
        first, second = chance.choice(pool), chance.choice(pool)
        token = first + second
        if len(token) <= 14 and token not in vocabulary:
            vocabulary[token] = len(vocabulary)
            pairs.append([first, second])
            if len(token) <= 7:  # of longer ones most sums would be too long
                pool.append(token)
    for token in list(vocabulary):
        cut = next((k for k in range(2, len(token)) if token[:k] in vocabulary and token[k:] in vocabulary), None)
        if len(pairs) < merges and cut and [token[:cut], token[cut:]] != pairs[-1]:
            pairs.append([token[:cut], token[cut:]])
    added = [
        {"id": vocabulary[token], "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": True}
        for token in special
    ]  # fmt: skip
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "fuse_unk": True, "end_of_word_suffix": None, "byte_fallback": True, "ignore_merges": False,
                  "vocab": vocabulary, "merges": pairs},
    }  # fmt: skip


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), sys.argv[2], int((sys.argv[3:] or ["10"])[0])), "bytes")
