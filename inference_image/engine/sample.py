"""Owns the choice of the next token. Knows no model and no text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inference_image.engine.request import Sampling

if TYPE_CHECKING:
    import torch


class Sampler:
    """Chooses a token for each row of logits [rows, vocabulary]."""

    def __call__(self, logits: torch.Tensor, rows: Sequence[tuple[Sampling, int, int]]) -> list[int]:
        """`rows`: how each is sampled, its seed, and how many tokens it has already."""
        best: list[int] = logits.argmax(-1).tolist()
        return [
            token if sampling.temperature <= 0 else self._draw(logits[row], sampling, seed, step)
            for row, (token, (sampling, seed, step)) in enumerate(zip(best, rows, strict=True))
        ]

    def _draw(self, logits: torch.Tensor, sampling: Sampling, seed: int, step: int) -> int:
        import torch

        scaled = logits.float() / sampling.temperature
        ordered, tokens = scaled.sort(descending=True)
        if sampling.top_k:
            ordered, tokens = ordered[: sampling.top_k], tokens[: sampling.top_k]
        shares = ordered.softmax(-1)
        before = shares.cumsum(-1) - shares
        shares = shares.masked_fill(before >= sampling.top_p, 0.0)
        chance = torch.Generator().manual_seed(hash((seed, step)) & (1 << 63) - 1)
        return int(tokens[int(torch.multinomial(shares.cpu(), 1, generator=chance))])
