"""Owns the fast path: transformers' Gemma 3 modules over our own cache, many rows in one step. Knows no request and no text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inference_image.engine import attention
from inference_image.engine.attention import DecodeStep, PromptStep, Stretch
from inference_image.engine.kv import Cache
from inference_image.engine.schedule import Part

if TYPE_CHECKING:
    import torch


class Slots:
    """Computes steps of up to `rows` sequences of up to `length` tokens. One thread at a time."""

    def __init__(self, model: Any, rows: int, length: int) -> None:
        # Any: a PreTrainedModel's own forward and head are not in transformers' types.
        attention.register()
        model.set_attn_implementation(attention.NAME)
        self.model = model
        self.rows, self.length = rows, length
        self.cache = Cache(model.config, rows, length, model.dtype, model.device)

    def prompt(self, parts: Sequence[Part]) -> torch.Tensor:
        """Read parts of prompts. Logits [prompts that are complete now, vocabulary], in the order of `parts`."""
        import torch

        with torch.inference_mode():
            device = self.model.device
            ids = torch.tensor([[token for part in parts for token in part.ids]], device=device)
            at = torch.cat([torch.arange(part.start, part.start + len(part.ids), device=device) for part in parts])
            step = PromptStep(self.cache, [Stretch(part.row, part.start, len(part.ids)) for part in parts])
            ends, end = [], 0
            for part in parts:
                end += len(part.ids)
                if part.last:
                    ends.append(end - 1)
            return self._logits(ids, at[None], step, torch.tensor(ends, dtype=torch.long, device=device))[0]

    def decode(self, tokens: Sequence[int], positions: Sequence[int], tags: Sequence[Any] = ()) -> torch.Tensor:
        """One more token for each of the first rows: its number and its position. Logits [rows, vocabulary]."""
        import torch

        with torch.inference_mode():
            device = self.model.device
            at = torch.tensor(positions, device=device)
            span = max(positions) + 1
            step = DecodeStep(self.cache, at, span, ragged=min(positions) + 1 != span)
            ids = torch.tensor(tokens, device=device)
            return self._logits(ids[:, None], at[:, None], step, 1)[:, 0]

    def move(self, source: int, target: int, tokens: int) -> None:
        """What a row holds of its first `tokens` tokens is in another row as well."""
        import torch

        with torch.inference_mode():
            self.cache.move(source, target, tokens)

    def _logits(self, ids: torch.Tensor, at: torch.Tensor, step: attention.Step, keep: Any) -> torch.Tensor:
        made: torch.Tensor = self.model(
            input_ids=ids, position_ids=at, attention_mask=attention.masks(step), use_cache=False, logits_to_keep=keep
        ).logits
        return made
