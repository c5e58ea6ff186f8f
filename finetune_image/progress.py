"""Owns what a training tells while it runs: one line of figures for each log of trl's. Knows no file and no bucket.

Imports transformers: only the worker's process may import it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

Say = Callable[..., None]
"""Called with step, max_steps, epoch, loss, lr, grad_norm, tokens, tokens_per_s, eta_s and gpu_gb: contract.Kind.TRAIN's."""
_AVERAGED: Final = 20
"""Logs over which speed is averaged: the first steps of an attempt are slower."""


class Progress(TrainerCallback):
    """`say` gets the figures; None for what a log lacks. `clock`: seconds, for speed alone."""

    def __init__(self, say: Say, clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._tokens_before = 0.0
        self._marks: list[tuple[float, int, float]] = []
        """(seconds, step, tokens of this attempt) at each log, and at the start."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        # trl counts tokens anew in each attempt
        told = [row["tokens_seen"] for row in state.log_history if "tokens_seen" in row]
        self._tokens_before = max(told, default=0.0)
        self._marks = [(self._clock(), state.global_step, 0.0)]

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        if not logs or "loss" not in logs:
            return
        tokens = float(logs.get("num_tokens", 0.0))
        if state.log_history:
            state.log_history[-1]["tokens_seen"] = self._tokens_before + tokens
        self._marks = [*self._marks[-_AVERAGED:], (self._clock(), state.global_step, tokens)]
        (began, first, had), (now, step, have) = self._marks[0], self._marks[-1]
        seconds, steps = now - began, step - first
        self._say(
            step=state.global_step,
            max_steps=state.max_steps,
            epoch=_rounded(state.epoch, 3),
            loss=_rounded(logs["loss"], 4),
            lr=logs.get("learning_rate"),
            grad_norm=_rounded(logs.get("grad_norm"), 4),
            tokens=int(self._tokens_before + tokens),
            tokens_per_s=round((have - had) / seconds, 1) if seconds > 0 else None,
            eta_s=round((state.max_steps - step) * seconds / steps) if steps > 0 else None,
            gpu_gb=gpu_gb(),
        )


def gpu_gb() -> float | None:
    """Most memory of the GPU that was in use since the start, in GB of 1e9 bytes; None without one."""
    import torch

    return round(torch.cuda.max_memory_allocated() / 1e9, 2) if torch.cuda.is_available() else None


def _rounded(value: Any, digits: int) -> float | None:
    return None if value is None else round(float(value), digits)
