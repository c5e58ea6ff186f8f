"""Owns the counts that every form of an answer tells. Knows no form."""

from __future__ import annotations

from collections.abc import Sequence

from inference_image.engine.request import Piece


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """OpenAI's names of them."""
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}


def completed(ends: Sequence[Piece]) -> int:
    """Tokens of the answers that ended with these pieces."""
    return sum(piece.usage.completion_tokens for piece in ends if piece.usage is not None)
