"""Owns what stays free on a GPU beside weights, keys and values. Knows no torch: the engine and gemmactl's sizes ask the same.

The tensors of a chunk are counted (tests/checkpoint/test_memory.py), on modules without memory; nothing was measured on a GPU.
"""

from __future__ import annotations

import math
from typing import Final

from inference_image import contract
from inference_image.layout import Vision

LIBRARIES: Final = 512 << 20
"""Workspaces of cuBLAS, recorded steps with their logits, a block of int8 weights that is widened. An estimate."""
SPARE: Final = 0.10
"""Of a chunk's tensors: blocks of the caching allocator that no later tensor fits into. An estimate."""
LOGITS: Final = 32
"""Bytes for each token of the vocabulary while one is chosen: logits, their float32 copies, what top_k and top_p sort."""


def chunk_bytes(
    context: int,
    item: int,
    *,
    hidden: int,
    inner: int,
    heads: int,
    keys: int,
    width: int,
    window: int,
    vocabulary: int,
) -> int:
    """Bytes of all that lives at the worst moment: in attention or an MLP of the last chunk of the longest prompt, or while a
    token is chosen for each of PARALLEL_SEQUENCES rows.

    `item` bytes for a value; `heads` that ask, `keys` heads of keys, `width` values each. Scores and their softmax are counted
    whole and float32, as torch takes attention apart where it has no fused kernel; a fused one needs less.
    """
    chunk, asking, asked = min(contract.PROMPT_CHUNK, context), heads * width, keys * width
    scores = 2 * 4 * heads * chunk * context
    seen = (2 * item + 3 * 4) * asked * context
    masks = item * (heads // keys) * chunk * (context + min(context, window + chunk)) + 2 * chunk * context
    attention = scores + seen + chunk * (item * (3 * hidden + 2 * asking + 2 * asked) + 2 * 4 * asking)
    mlp = chunk * item * (3 * inner + 5 * hidden + 4 * width)
    return max(masks + attention, masks + mlp, contract.PARALLEL_SEQUENCES * LOGITS * vocabulary)


def image_bytes(eyes: Vision, item: int) -> int:
    """Bytes while one image is looked at, in an MLP or in attention, and the features of those that are kept.

    Its values are integers of 8 bytes for a moment, float32, and of the model's dtype.
    """
    hidden, inner = int(eyes.config["hidden_size"]), int(eyes.config["intermediate_size"])
    tower = eyes.patches * item * max(2 * inner + 3 * hidden, 7 * hidden)
    kept = contract.IMAGES_KEPT * eyes.tokens * eyes.width * item
    return kept + max(tower, 3 * eyes.side**2 * (8 + 4)) + 3 * eyes.side**2 * (4 + item)


def reserved(chunk: int) -> int:
    """Bytes that stay free, for a chunk of so many, with those of an image."""
    return max(contract.GPU_WORK, LIBRARIES + chunk + math.ceil(SPARE * chunk))
