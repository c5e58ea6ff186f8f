"""Owns how new tokens attend to a row's past: one step of many rows, or stretches of prompts. Knows no request.

Keys, values and queries come rotated and normalised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from inference_image.engine.kv import Cache

if TYPE_CHECKING:
    import torch


class Step(Protocol):
    """Stores the keys and values of new tokens and attends to what each may see."""

    def attend(self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
        """[batch, heads, tokens, width] of q, k and v to the same of the answer."""


class Forward(Protocol):
    """A model over a cache: tokens [batch, tokens] at their positions to logits [batch, kept, vocabulary].

    `keep`: the last so many, or the numbers of those that are wanted. `embedded`: what the tokens are in place of their rows.
    """

    def __call__(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        step: Step,
        keep: int | torch.Tensor,
        embedded: torch.Tensor | None = None,
    ) -> torch.Tensor: ...


class DecodeStep:
    """One new token for each of the first rows. All its tensors may be static: it can be captured in a CUDA graph."""

    def __init__(self, cache: Cache, positions: torch.Tensor, span: int, *, held: tuple[int, int] | None = None) -> None:
        """`positions` [rows]: where each row's token goes; `span`: how many tokens of a global layer are looked at.

        `held`: from the shortest row's tokens to the longest one's, the new ones counted; None: any.
        """
        import torch

        self._cache = cache
        rows = positions.shape[0]
        self._rows = torch.arange(rows, device=positions.device)
        self._at = {True: positions, False: positions % cache.window}
        self._span = {True: span, False: min(span, cache.window)}
        self._mask: dict[bool, torch.Tensor | None] = {True: None, False: None}
        for full, length in self._span.items():
            if held is None or held[0] < length:
                same = full is False and self._span[True] == length
                self._mask[full] = self._mask[True] if same else self._hidden(positions, length, held)

    def _hidden(self, positions: torch.Tensor, length: int, held: tuple[int, int] | None) -> torch.Tensor:
        """An addend, once for all layers: a kernel would make one from booleans in each of them."""
        import torch

        even = held is not None and held[0] == held[1]
        made = torch.zeros((1 if even else len(positions), length), dtype=self._cache.keys[0].dtype, device=positions.device)
        if held is not None and even:
            made[:, held[0] :] = float("-inf")  # one for all rows, in a quarter of the time
        else:
            made.masked_fill_(torch.arange(length, device=positions.device) > positions[:, None], float("-inf"))
        return made[:, None, None]

    def attend(self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
        import torch.nn.functional as F  # noqa: N812 - its usual name

        full = self._cache.full[layer]
        keys, values = self._cache.keys[layer], self._cache.values[layer]
        keys[self._rows, :, self._at[full]] = k[:, :, 0]
        values[self._rows, :, self._at[full]] = v[:, :, 0]
        rows, heads, _, width = q.shape
        span = self._span[full]
        # The queries that share a key head become rows of one matrix: no copy of keys for each of them.
        grouped = q.view(rows, k.shape[1], heads // k.shape[1], width)
        seen = F.scaled_dot_product_attention(
            grouped, keys[:rows, :, :span], values[:rows, :, :span], attn_mask=self._mask[full], scale=scale
        )
        return seen.reshape(rows, heads, 1, width)


@dataclass
class Stretch:
    """`count` tokens of a prompt for one row, from position `start` on.

    `blocks` [count], or None: the number of the image that a token belongs to, 0 for text. Tokens of one image see each other,
    in a sliding layer as far back as its window.
    """

    row: int
    start: int
    count: int
    blocks: torch.Tensor | None = None
    _masks: dict[bool, torch.Tensor] = field(default_factory=dict, repr=False)

    @property
    def end(self) -> int:
        return self.start + self.count


class PromptStep:
    """Stretches of several prompts in one batch of a single line: [1, all their tokens]."""

    def __init__(self, cache: Cache, stretches: Sequence[Stretch]) -> None:
        self._cache, self._stretches = cache, stretches

    def attend(self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
        import torch

        made, at = [], 0
        for one in self._stretches:
            part = slice(at, at + one.count)
            made.append(self._one(one, layer, q[:, :, part], k[:, :, part], v[:, :, part], scale))
            at += one.count
        return made[0] if len(made) == 1 else torch.cat(made, dim=2)

    def _one(self, one: Stretch, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
        import torch.nn.functional as F  # noqa: N812 - its usual name

        full = self._cache.full[layer]
        seen_k, seen_v = self._past_and_new(one, layer, k, v)
        causal = one.start == 0 and one.blocks is None and (full or one.count <= self._cache.window)
        self._store(one, layer, k, v)
        groups = q.shape[1] // k.shape[1]
        if causal:
            return F.scaled_dot_product_attention(q, seen_k, seen_v, is_causal=True, scale=scale, enable_gqa=groups > 1)
        # As in a step: with a mask, no fused kernel of an L4 takes heads that share keys (torch 2.13, sdp_utils.cpp).
        mask = self._mask(one, q, groups, full=full)
        grouped = q.reshape(1, k.shape[1], groups * one.count, q.shape[3])
        seen = F.scaled_dot_product_attention(grouped, seen_k, seen_v, attn_mask=mask, scale=scale)
        # the kernel that is chosen on an L4 lays its answer out token by token: there is no view of it
        return seen.reshape(q.shape)

    def _past_and_new(self, one: Stretch, layer: int, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values that the stretch may see, a ring's in the order of their places, the new ones last."""
        import torch

        if one.start == 0:
            return k, v
        past = one.start if self._cache.full[layer] else min(one.start, self._cache.window)
        keys, values = self._cache.keys[layer], self._cache.values[layer]
        row = slice(one.row, one.row + 1)
        return torch.cat([keys[row, :, :past], k], dim=2), torch.cat([values[row, :, :past], v], dim=2)

    def _store(self, one: Stretch, layer: int, k: torch.Tensor, v: torch.Tensor) -> None:
        import torch

        keys, values = self._cache.keys[layer][one.row], self._cache.values[layer][one.row]
        if self._cache.full[layer] or one.end <= self._cache.window:
            keys[:, one.start : one.end] = k[0]
            values[:, one.start : one.end] = v[0]
            return
        kept = min(one.count, self._cache.window)
        places = torch.arange(one.end - kept, one.end, device=k.device) % self._cache.window
        keys[:, places] = k[0, :, -kept:]
        values[:, places] = v[0, :, -kept:]

    def _mask(self, one: Stretch, q: torch.Tensor, groups: int, *, full: bool) -> torch.Tensor:
        """[groups x count, past + count], an addend, made once for all layers of a kind: what each new token may see."""
        import torch

        if full not in one._masks:  # noqa: SLF001 - the stretch is this step's own note
            window = self._cache.window
            asking = torch.arange(one.start, one.end, device=q.device)
            past = torch.arange(one.start if full else min(one.start, window), device=q.device)
            if not full and one.start > window:
                past = one.start - 1 - (one.start - 1 - past) % window  # which position lies at each place of the ring
            seen = torch.cat([past, asking])
            apart = asking[:, None] - seen[None]
            allowed = apart >= 0
            if one.blocks is not None:
                same = (one.blocks[:, None] == one.blocks[None]) & (one.blocks[:, None] > 0)
                allowed[:, past.shape[0] :] |= same
            if not full:
                allowed &= apart < window
            hidden = torch.zeros(allowed.shape, dtype=q.dtype, device=q.device).masked_fill_(~allowed, float("-inf"))
            one._masks[full] = hidden.repeat(groups, 1)  # noqa: SLF001 - as above
        return one._masks[full]  # noqa: SLF001 - as above
