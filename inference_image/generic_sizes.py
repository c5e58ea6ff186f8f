"""Owns the bytes that a family takes where transformers' own caches serve it, from its config alone. Standard library only.

Keys and values are exact. The tensors of a chunk are counted on the architectures built without memory
(tests/checkpoint/test_generic_memory.py); nothing was measured on a GPU. The engine and gemmactl's sizes ask the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from inference_image import contract, layout
from inference_image.reserve import LOGITS

SCORES: Final = 8
"""Bytes of attention scores for each head and pair of tokens where they are whole: capped, then a softmax in float32."""
EXPERT: Final = 6
"""Copies of a token's hidden state for each expert that reads it: gathered, computed, put back."""


@dataclass(frozen=True)
class GenericSizes:
    """`full` and `sliding` are the widths of keys in each such layer; one that takes another's keeps none."""

    full: tuple[int, ...]
    sliding: tuple[int, ...]
    window: int
    hidden: int
    inner: int
    queries: int
    """Width of all query heads together."""
    head: int
    vocabulary: int
    longest: int
    repeated: int
    """Width of keys once they are repeated for each query head; 0 where none is copied: one key head, or as many as queries."""
    inputs: int
    """Width of the per-layer embedding, all layers together."""
    copies: int
    """Hidden states that are carried along, and the MLPs' small values cut off, which takes a copy; 0: none."""
    experts: int
    """Widths of what one token's experts hold."""
    scored: int
    """Heads whose scores are whole: the family caps them, which only the eager kernel does."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> GenericSizes:
        """From the result of layout.text_config."""
        shapes = layout.expected(config)
        vocabulary, hidden = shapes[layout.EMBEDDING]
        full, sliding = layout.key_widths(config)
        heads, groups = (layout.value(config, name) for name in ("num_attention_heads", "num_key_value_heads"))
        queries = _widest(shapes, "self_attn.q_proj.weight")
        moe = config.get("moe_intermediate_size") if config.get("enable_moe_block") else None
        altup = sum(name.startswith("model.altup_projections.") for name in shapes)
        return cls(
            tuple(full),
            tuple(sliding),
            window=layout.value(config, "sliding_window"),
            hidden=hidden,
            inner=_widest(shapes, "mlp.gate_proj.weight"),
            queries=queries,
            head=queries // heads,
            vocabulary=vocabulary,
            longest=layout.value(config, "max_position_embeddings"),
            repeated=queries if 1 < groups < heads else 0,
            inputs=_widest(shapes, "model.per_layer_model_projection.weight"),
            copies=altup + 1 if altup else 0,
            experts=config["top_k_experts"] * (EXPERT * hidden + 2 * moe) if moe else 0,
            scored=heads if layout.capped(config) else 0,
        )

    def kept(self, tokens: int) -> int:
        """Tokens in a sliding layer right after a chunk: the chunk, and what its first token sees, until the next token."""
        return min(tokens, self.window - 1 + contract.PROMPT_CHUNK)

    def kv(self, tokens: int, item: int = 2) -> int:
        """Bytes of one sequence at its largest; caches grow as it does."""
        return 2 * item * (sum(self.full) * tokens + sum(self.sliding) * self.kept(tokens))

    def answering(self, tokens: int, item: int = 2) -> int:
        """The same while it is answered: sliding layers keep their window."""
        return 2 * item * (sum(self.full) * tokens + sum(self.sliding) * min(tokens, self.window))

    def chunk(self, tokens: int, item: int = 2) -> int:
        """Bytes of all else at the worst moment of a prompt's last chunk: in an MLP, or in attention, where keys are copied.

        A cache that grows is a new tensor beside the old one; where key heads are shared, keys and values are repeated for each
        query head.
        """
        chunk = min(tokens, contract.PROMPT_CHUNK)
        carried = self.inputs + 4 * self.copies * self.hidden
        values = (4 if self.copies else 3) * self.inner + 5 * self.hidden + 4 * self.head + self.experts + carried
        copied = item * tokens * max(2 * self.repeated, *self.full, *self.sliding)
        attention = item * chunk * (2 * self.hidden + 4 * self.queries + carried) + copied
        masks = chunk * tokens * (2 * item if self.scored else 1 + item)
        both = max(item * values * chunk, attention + SCORES * self.scored * chunk * tokens) + masks
        return max(both, contract.GENERIC_SEQUENCES * LOGITS * self.vocabulary)


def _widest(shapes: Mapping[str, tuple[int, ...]], ending: str) -> int:
    return max((shape[0] for name, shape in shapes.items() if name.endswith(ending)), default=0)
