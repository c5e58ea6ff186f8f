"""Owns how many sequences are computed at once: as many as memory holds beside the weights. Knows no tensor."""

from __future__ import annotations

from typing import Any, Final

from inference_image import contract
from inference_image.contract import Code, LoadFailed
from inference_image.layout import Vision
from inference_image.reserve import chunk_bytes, image_bytes, reserved

HOST_SHARE: Final = 0.5
"""Of the host's memory beside the weights, for keys and values; untouched pages are not really taken."""


def work_bytes(config: Any, length: int, item: int, eyes: Vision | None = None) -> int:
    """Bytes that stay free on a GPU for a model of this config: `length` tokens of context, `item` bytes a value.

    `eyes`: what images are looked at with.
    """
    chunk = chunk_bytes(
        length,
        item,
        hidden=int(config.hidden_size),
        inner=int(config.intermediate_size),
        heads=int(config.num_attention_heads),
        keys=int(config.num_key_value_heads),
        width=int(config.head_dim),
        window=int(config.sliding_window),
        vocabulary=int(config.vocab_size),
    )
    return reserved(chunk + (image_bytes(eyes, item) if eyes is not None else 0))


def rows_that_fit(per_row: int, free: int | None, *, gpu: bool, wanted: int | None = None, work: int = contract.GPU_WORK) -> int:
    """Sequences at once: those wanted, else PARALLEL_SEQUENCES, as far as `free` bytes allow; None: unknown, all of them.

    `work`: bytes that stay free on a GPU.

    Raises LoadFailed(gpu_memory, host_memory) when not even one fits.
    """
    most = wanted or contract.PARALLEL_SEQUENCES
    if free is None:
        return most
    room = free - work if gpu else int(free * HOST_SHARE)
    fit = max(0, room) // max(1, per_row)
    if not fit:
        detail = (
            f"one sequence of the whole context needs {per_row / 2**30:.1f} GiB of keys and values, beside the weights there are"
            f" {max(0, room) / 2**30:.1f} GiB: lower {contract.ENV_MAX_CONTEXT}"
        )
        raise LoadFailed(Code.GPU_MEMORY if gpu else Code.HOST_MEMORY, "cuda" if gpu else "memory", detail)
    return min(most, fit)
