"""Small models of the other families, seeded, written by transformers itself with the sample's tokenizer. Knows no loader."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.inference_image.checkpoints import MODEL

SIZES: dict[str, Any] = {
    "vocab_size": 1024, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 8, "max_position_embeddings": 256, "intermediate_size": 48,
}  # fmt: skip
WINDOW = 8
PAIRS = {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"] * 2}
INPUTS = {"vocab_size_per_layer_input": 1024, "hidden_size_per_layer_input": 4, "num_kv_shared_layers": 2}
CONFIGS: dict[str, dict[str, Any]] = {
    "gemma": {"model_type": "gemma"},
    "gemma2": {"model_type": "gemma2", "query_pre_attn_scalar": 8, "attn_logit_softcapping": 2.0, **PAIRS},
    "gemma3n": {
        "model_type": "gemma3n_text", "laurel_rank": 4, "activation_sparsity_pattern": [0.9] * 2 + [0.0] * 2,
        **PAIRS, **INPUTS, "intermediate_size": [48, 64, 64, 32],
    },
    "gemma4": {
        "model_type": "gemma4_text", "use_double_wide_mlp": True, "global_head_dim": 16,
        **PAIRS, **INPUTS,
    },
    "gemma4 with experts": {
        "model_type": "gemma4_text", "attention_k_eq_v": True, "num_global_key_value_heads": 1, "global_head_dim": 16,
        "enable_moe_block": True, "num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 16,
        "hidden_size_per_layer_input": 0, **PAIRS,
    },
}  # fmt: skip
"""What differs from SIZES. Made as small as the released ones are large: every kind of layer, and a window that is passed."""


def row_of(name: str) -> Any:
    from inference_image.families import FAMILIES

    return next(row for row in FAMILIES if CONFIGS[name]["model_type"] in row.text_types)


def made(name: str) -> Any:
    """Transformers' own model, with weights that let its answers vary."""
    import torch
    import transformers

    kind = getattr(transformers, row_of(name).text_class)
    config = kind.config_class.from_dict({**SIZES, **CONFIGS[name]})
    torch.manual_seed(2)
    model = kind(config).eval()
    with torch.no_grad():
        for one in model.parameters():
            one.copy_(torch.randn_like(one) * (0.3 if one.dim() > 1 else 0.1) + (one.dim() == 1))
        for key, one in model.named_buffers():
            if key.endswith("layer_scalar"):
                one.fill_(0.75)
    return model.to(torch.bfloat16)


def saved(folder: Path, name: str) -> Path:
    """Its folder, as save_pretrained writes it, with the sample's tokenizer and template."""
    made(name).save_pretrained(folder)
    for small in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(MODEL / small, folder / small)
    return folder


def inside(folder: Path, name: str) -> Path:
    """The same language model inside a larger one: names of a multimodal checkpoint, its config, towers that stay unread."""
    from tests.inference_image.checkpoints import shard, tensors_of

    saved(folder, name)
    path = folder / "model.safetensors"
    text = {f"model.language_model.{key.removeprefix('model.')}": one for key, one in tensors_of(path.read_bytes()).items()}
    tower = ("BF16", [4, 4], b"\0" * 32)
    more = [f"model.{one}.x.weight" for one in ("vision_tower", "audio_tower", "embed_vision", "embed_audio")]
    if CONFIGS[name].get("num_kv_shared_layers"):
        # the released ones store what layers that share keys and values don't need
        more += [f"model.language_model.layers.3.self_attn.{one}.weight" for one in ("k_proj", "v_proj", "k_norm")]
    path.write_bytes(shard({**text, **dict.fromkeys(more, tower)}))
    config = json.loads((folder / "config.json").read_text())
    whole = {"model_type": row_of(name).model_types[0], "text_config": config, "vision_config": {}, "dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(whole))
    return folder
