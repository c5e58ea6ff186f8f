"""Owns the slow path, for families that our own attention does not know: transformers' forward over transformers' own caches.

What generate() does for one sequence, a step at a time: each row has a cache of its own, and rows are computed one after another.
Knows no request and no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from inference_image.contract import GENERIC_SEQUENCES
from inference_image.engine.routed import adapter_of
from inference_image.engine.schedule import Part

if TYPE_CHECKING:
    import torch

    from inference_image.engine.adapters import Adapters


class Generic:
    """Computes steps of up to `rows` sequences with any model of transformers that answers text. One thread at a time."""

    def __init__(self, model: Any, rows: int = GENERIC_SEQUENCES, adapters: Adapters | None = None) -> None:
        # Any: a PreTrainedModel's own forward is not in transformers' types.
        self.model = model
        self.rows = rows
        self.adapters = adapters
        self._caches: list[Any] = [None] * rows

    def prompt(self, parts: Sequence[Part]) -> torch.Tensor:
        """Read parts of prompts. Logits [prompts that are complete now, vocabulary], in the order of `parts`."""
        import torch
        from transformers import DynamicCache

        made = []
        for part in parts:
            if part.start == 0:
                self._caches[part.row] = DynamicCache(config=self.model.config.get_text_config(decoder=True))
            logits = self._forward(part.row, part.ids, part.start, part.tag)
            if part.last:
                made.append(logits)
        return torch.stack(made) if made else torch.empty(0)

    def decode(self, tokens: Sequence[int], positions: Sequence[int], tags: Sequence[Any]) -> torch.Tensor:
        """One more token for each of the first rows: its number and its position. Logits [rows, vocabulary]."""
        import torch

        return torch.stack(
            [
                self._forward(row, [token], at, tag)
                for row, (token, at, tag) in enumerate(zip(tokens, positions, tags, strict=True))
            ]
        )

    def move(self, source: int, target: int, tokens: int) -> None:
        """A row's cache becomes another row's."""
        self._caches[target], self._caches[source] = self._caches[source], None

    def _forward(self, row: int, ids: Sequence[int], start: int, tag: Any) -> torch.Tensor:
        import torch

        through = self.adapters.serving(adapter_of(tag)) if self.adapters is not None else nullcontext()
        with torch.inference_mode(), through:
            device = self.model.device
            made: torch.Tensor = self.model(
                input_ids=torch.tensor([list(ids)], device=device),
                position_ids=torch.arange(start, start + len(ids), device=device)[None],
                past_key_values=self._caches[row],
                use_cache=True,
                logits_to_keep=1,
            ).logits[0, -1]
            return made
