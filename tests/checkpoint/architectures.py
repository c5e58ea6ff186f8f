"""Published sizes of Gemma 3 and model folders of those sizes whose weights take no disk. Knows nothing of what is tested."""

from __future__ import annotations

import json
import math
import shutil
import struct
from pathlib import Path
from typing import Any

from inference_image import layout
from tests.inference_image.checkpoints import MODEL


def _text(hidden: int, layers: int, heads: int, keys: int, inner: int, **more: Any) -> dict[str, Any]:
    sizes = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "intermediate_size": inner,
        "head_dim": 256,
        "vocab_size": 262208,
        "sliding_window": 1024,
        "max_position_embeddings": 131072,
    }
    return {"model_type": "gemma3_text", **sizes, **more}


SMALL: dict[str, Any] = {"vocab_size": 262144, "sliding_window": 512, "max_position_embeddings": 32768}
CONFIGS: dict[str, dict[str, Any]] = {
    "270m": _text(640, 18, 4, 1, 2048, **SMALL),
    "1b": _text(1152, 26, 4, 1, 6912, **SMALL),
    "4b": _text(2560, 34, 8, 4, 10240),
    "12b": _text(3840, 48, 16, 8, 15360),
    "27b": _text(5376, 62, 32, 16, 21504, head_dim=128, query_pre_attn_scalar=168),
}
"""source: config.json (text_config) of google/gemma-3-270m-it, -1b-it, -4b-it, -12b-it and -27b-it, with transformers' defaults
filled in, as collected in 2026-11"""


def folder(place: Path, name: str, *, dtype: str = "BF16") -> Path:
    """A folder of that size: real config, header and tokenizer, weights that are a hole in the file system."""
    place.mkdir(parents=True)
    for small in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"):
        shutil.copy(MODEL / small, place / small)
    config = CONFIGS[name]
    (place / "config.json").write_text(json.dumps({**config, "architectures": ["Gemma3ForCausalLM"]}))
    at, header = 0, {}
    for key, shape in layout.expected(config).items():
        end = at + math.prod(shape) * layout.ITEM_SIZE[dtype]
        header[key] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with (place / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)
    return place
