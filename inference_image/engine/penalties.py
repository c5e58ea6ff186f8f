"""Owns which tokens a prompt and its answer have, on the device of the logits, and what that costs them. Knows no chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inference_image.engine.request import Sampling

if TYPE_CHECKING:
    import torch


class Seen:
    """The tokens of one sequence; told of each new one once."""

    def __init__(self, ids: Sequence[int], width: int, device: torch.device) -> None:
        import torch

        self._width = width
        self._told = 0
        self._anywhere = torch.zeros(width, dtype=torch.bool, device=device)
        self._counts = torch.zeros(width, device=device)
        known = [number for number in set(ids) if number < width]
        self._anywhere[torch.tensor(known, dtype=torch.long, device=device)] = True

    def add(self, tokens: Sequence[int]) -> None:
        """The whole answer so far: only what is new of it costs anything."""
        import torch

        new = torch.tensor(tokens[self._told :], dtype=torch.long).to(self._counts.device, non_blocking=True)
        self._told = len(tokens)
        if new.numel():
            self._anywhere[new] = True
            self._counts.index_add_(0, new, torch.ones_like(new, dtype=self._counts.dtype))

    def penalise(self, logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
        """[vocabulary] logits after transformers' repetition penalty, then OpenAI's frequency and presence penalty."""
        import torch

        factor = sampling.repetition_penalty
        if factor != 1:
            logits = torch.where(self._anywhere, torch.where(logits < 0, logits * factor, logits / factor), logits)
        if sampling.frequency_penalty or sampling.presence_penalty:
            answered = (self._counts > 0).to(logits.dtype)
            logits = logits - self._counts * sampling.frequency_penalty - answered * sampling.presence_penalty
        return logits
