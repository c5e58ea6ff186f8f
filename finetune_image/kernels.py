"""Owns whether trl's own kernels run on this machine, and what takes their place. Knows no model.

On a GPU trl folds the vocabulary's logits with Triton, which compiles each kernel's launcher with the machine's C compiler and
links the driver's library. A machine may lack either: then every step would fail. So one small loss is tried first; where it
fails, trl folds in torch, as it does on a CPU: the same numbers, over all tokens instead of those that are learned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def settle(device: str, trial: Callable[[str], float] | None = None) -> str:
    """Try the fused loss, forwards and backwards, and take torch for it where that fails. Why it does; empty: the kernels run."""
    if device == "cpu":
        return ""
    import torch
    from trl.kernels import chunked_logprob

    trial = trial or small_loss
    try:
        trial(device)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a compiler, a linker, a driver: each fails in its own way
        chunked_logprob._TRITON_AVAILABLE = False  # noqa: SLF001 - trl reads it at each call, and has no other word for it
        trial(device)
        return f"{type(error).__name__}: {error}"[:300]
    return ""


def small_loss(device: str) -> float:
    """Of eight words in a vocabulary of 512, with all that a step asks for."""
    import torch
    from trl.kernels import ChunkedLogProbFunction

    hidden = torch.ones(8, 64, device=device, dtype=torch.bfloat16, requires_grad=True)
    head = torch.ones(512, 64, device=device, dtype=torch.bfloat16) / 64
    words = torch.arange(8, device=device)
    fused: Any = ChunkedLogProbFunction
    found = fused.apply(hidden, head, None, words, 1.0, 256, None, 1.0, ("log_probs", "entropy", "is_top1"))
    loss = -found[0].sum()
    loss.backward()
    return float(loss.detach())
