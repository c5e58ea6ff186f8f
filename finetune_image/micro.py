"""Owns how an optimizer step is cut into micro-batches that fit the GPU, and measures what they take. Knows no trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from peft import PeftModel

TOKENS: Final = 4096
"""Most tokens of a micro-batch: packed sequences are laid in one row under one attention mask, which grows with its square."""
SEQUENCES: Final = 16
FREE: Final = 0.08
"""Share of the GPU's memory that stays free: pieces between allocations, and cuBLAS."""
_STATE: Final = 12
"""Bytes of a trained parameter beside itself: gradient and AdamW's two moments in float32."""

Measure = Callable[[int, bool], int | None]
"""(micro-batch, with activation checkpointing) -> peak bytes of a step; None: it did not fit."""


@dataclass(frozen=True)
class Cut:
    """`micro` sequences at a time, `accumulation` times a step; `checkpointing`: activations are computed twice, not kept."""

    micro: int
    accumulation: int
    checkpointing: bool = False

    @property
    def sequences(self) -> int:
        return self.micro * self.accumulation


def cut(sequences: int, most: int, *, checkpointing: bool = False) -> Cut:
    """`sequences` of a step in micro-batches of at most `most`, all alike: the step stays the same whatever fits."""
    micro = next(n for n in range(max(1, min(most, sequences)), 0, -1) if sequences % n == 0)
    return Cut(micro, sequences // micro, checkpointing)


def smaller(micro: int, accumulation: int) -> int | None:
    """About half of the micro-batch, of the same step; None when it is one sequence already."""
    return None if micro == 1 else cut(micro * accumulation, micro // 2).micro


def most(length: int, packed: bool) -> int:
    """Sequences of a micro-batch that are worth it, if they fit. `length`: tokens of the longest."""
    return max(1, TOKENS // length) if packed else max(1, min(SEQUENCES, 2 * TOKENS // length))


def fitting(sequences: int, cap: int, limit: int, measure: Measure, ways: Sequence[bool] = (False, True)) -> Cut:
    """The largest micro-batch whose step stays below `limit` bytes: three steps are measured, four where a guess was too high.

    `ways`: activation checkpointing or not, best first. Without it where one sequence fits so: with it, a step takes about a
    third longer. When nothing fits, one sequence with checkpointing: there the step itself will say so.
    """
    for checkpointing in ways:
        one = measure(1, checkpointing)
        if one is None or one > limit:
            continue
        if min(cap, sequences) == 1:
            return cut(sequences, 1, checkpointing=checkpointing)
        two = measure(2, checkpointing)
        if two is None or two > limit:
            return cut(sequences, 1, checkpointing=checkpointing)
        guess = cut(sequences, min(cap, 1 + (limit - one) // max(1, two - one)), checkpointing=checkpointing)
        while guess.micro > 2:
            peak = measure(guess.micro, checkpointing)
            if peak is not None and peak <= limit:
                break
            guess = cut(sequences, guess.micro - 1, checkpointing=checkpointing)
        return guess
    return Cut(1, sequences, checkpointing=ways[-1])


class Memory(Protocol):
    """A GPU's, in bytes."""

    @property
    def total(self) -> int: ...

    def begin(self) -> None:
        """From now on `peak` counts."""

    @property
    def peak(self) -> int: ...


class Cuda:
    """A device of torch.cuda as Memory."""

    def __init__(self, device: str) -> None:
        self._device = device

    @property
    def total(self) -> int:
        import torch

        return int(torch.cuda.mem_get_info(self._device)[1])

    def begin(self) -> None:
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self._device)

    @property
    def peak(self) -> int:
        import torch

        return int(torch.cuda.max_memory_allocated(self._device))


def probe(model: PeftModel, length: int, memory: Memory, *, mixed: bool) -> tuple[int, Measure]:
    """(limit, measure) of a device, by whole steps of sequences of `length` tokens; the optimizer's own are reckoned.

    `model` answers `fused_lm_head=True`, as trl's add_fused_lm_head makes it; `mixed`: under autocast to bfloat16. Random
    numbers are drawn: seed anew before training.
    """
    import torch

    device = model.device
    trained = sum(one.numel() for one in model.parameters() if one.requires_grad)
    limit = int(memory.total * (1 - FREE)) - trained * _STATE

    def measure(micro: int, checkpointing: bool) -> int | None:
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
            model.enable_input_require_grads()
        model.train()
        memory.begin()
        ids = torch.randint(10, 1000, (1, micro * length), device=device)
        places = torch.arange(length, device=device).repeat(micro)[None]
        told: dict[str, Any] = {
            "input_ids": ids,
            "position_ids": places,
            "labels": ids,
            "fused_lm_head": True,
            "use_cache": False,
        }
        try:
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                model(**told).loss.backward()
        except torch.OutOfMemoryError:
            return None
        else:
            return memory.peak
        finally:
            model.zero_grad(set_to_none=True)
            if checkpointing:
                model.gradient_checkpointing_disable()
                model.disable_input_require_grads()

    return limit, measure
