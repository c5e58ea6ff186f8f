"""Owns what running out of memory looks like and what helps. Imports no library: errors are known by their names."""

from __future__ import annotations

import gc
import sys
from typing import Final

from finetune_image.contract import Code, TuneFailed
from finetune_image.run import Wish

_WORDS: Final = ("CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDA error: out of memory")


def of_gpu(error: BaseException) -> bool:
    """Whether the GPU's memory was too small. cuBLAS says it in a RuntimeError of its own."""
    named = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return named or (isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS))


def free() -> None:
    """Give back what a trainer held that nobody refers to any more."""
    gc.collect()
    if (torch := sys.modules.get("torch")) and torch.cuda.is_available():
        torch.cuda.empty_cache()


def refusal(wish: Wish, where: str, detail: str) -> TuneFailed:
    """out_of_gpu_memory, with what to change, the least loss first."""
    train, lora = wish.train, wish.lora
    advice = [f"shorter sequences: --set train.max_length={max(16, train.max_length // 2)}"]
    if train.sft.get("gradient_checkpointing") is False:
        advice.append("compute activations twice: --set train.gradient_checkpointing=true")
    if lora.r > 8:
        advice.append(f"a smaller adapter: --set lora.r={lora.r // 2}")
    if wish.quantize != "nf4":
        advice.append("the base in 4 bits: --set quantize=nf4")
    advice += ["a smaller model", "a GPU with more memory: nvidia-rtx-pro-6000"]
    return TuneFailed(Code.OUT_OF_GPU_MEMORY, where, detail[:300], *advice)
