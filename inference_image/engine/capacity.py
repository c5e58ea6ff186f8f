"""Owns how many sequences are computed at once: as many as memory holds beside the weights. Knows no model, only numbers."""

from __future__ import annotations

from typing import Final

from inference_image import contract
from inference_image.contract import Code, LoadFailed

GPU_WORK: Final = 1536 << 20
"""Kept free on a GPU beside weights, keys and values: a prompt's chunk, logits, what libraries and graphs take. An estimate."""
HOST_SHARE: Final = 0.5
"""Of the host's memory beside the weights, for keys and values; untouched pages are not really taken."""


def rows_that_fit(per_row: int, free: int | None, *, gpu: bool, wanted: int | None = None) -> int:
    """Sequences at once: those wanted, else PARALLEL_SEQUENCES, as far as `free` bytes allow; None: unknown, all of them.

    Raises LoadFailed(gpu_memory, host_memory) when not even one fits.
    """
    most = wanted or contract.PARALLEL_SEQUENCES
    if free is None:
        return most
    room = free - GPU_WORK if gpu else int(free * HOST_SHARE)
    fit = max(0, room) // max(1, per_row)
    if not fit:
        detail = (
            f"one sequence of the whole context needs {per_row / 2**30:.1f} GiB of keys and values, beside the weights there are"
            f" {max(0, room) / 2**30:.1f} GiB: lower {contract.ENV_MAX_CONTEXT}"
        )
        raise LoadFailed(Code.GPU_MEMORY if gpu else Code.HOST_MEMORY, "cuda" if gpu else "memory", detail)
    return min(most, fit)
