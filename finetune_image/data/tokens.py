"""Owns how long rows are in tokens: middle, longest, what is cut off, what an epoch trains. Knows no tokenizer and no file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from finetune_image.data.checkpoint_words import CheckpointWords
from finetune_image.data.encode import Encoder
from finetune_image.data.order import permutation
from inference_image.families import Family

SAMPLE: Final = 2000
"""Rows that are measured unless all are wanted: the middle is then right within some percent."""
_BATCH: Final = 512


@dataclass(frozen=True)
class Lengths:
    """Tokens of rows. Everything but `measured` is for all rows, in proportion where only a sample was measured."""

    rows: int
    measured: int
    middle: int
    """Half of the rows are no longer."""
    most: int
    """19 of 20 are no longer."""
    longest: int
    cut: int
    """Rows that are longer than max_length: they lose their end."""
    lost: int
    """Rows of which nothing that is learned is left: they are not trained."""
    tokens: int
    """That one epoch reads."""
    learned: int
    """Of these, those that it learns."""
    sequences: int
    """Packed to max_length, about."""
    exact: bool
    """Counted by the model's own tokenizer; otherwise estimated from bytes."""

    @property
    def sampled(self) -> bool:
        return self.measured < self.rows


def measure(
    rows: Sequence[Mapping[str, Any]],
    words: CheckpointWords,
    family: Family,
    max_length: int,
    *,
    full: bool = False,
    seed: int = 42,
) -> Lengths:
    """Lengths of rows as the model sees them: of a sample, or of all.

    Raises:
        TuneFailed: as Encoder.parts.
    """
    encoder = Encoder(words, family)
    chosen = range(len(rows)) if full or len(rows) <= SAMPLE else sorted(permutation(seed, len(rows))[:SAMPLE])
    each: list[tuple[int, int, int]] = []
    for start in range(0, len(chosen), _BATCH):
        batch = [encoder.parts(rows[at]) for at in chosen[start : start + _BATCH]]
        ids = iter(words.many([text for parts in batch for text, _ in parts]))
        each += [_row([(len(next(ids)), learned) for _, learned in parts], max_length) for parts in batch]
    return _summed(each, len(rows), max_length, exact=words.tokens is not None)


def _row(parts: list[tuple[int, bool]], max_length: int) -> tuple[int, int, int]:
    """Tokens of a row; read and learned of it within max_length: none is read where nothing is learned."""
    at = learned = 0
    for size, wanted in parts:
        if wanted:
            learned += max(0, min(at + size, max_length) - at)
        at += size
    return at, min(at, max_length) if learned else 0, learned


def _summed(each: list[tuple[int, int, int]], rows: int, max_length: int, *, exact: bool) -> Lengths:
    if not each:
        return Lengths(rows, 0, 0, 0, 0, 0, 0, 0, 0, 0, exact)
    sizes = sorted(size for size, _, _ in each)
    share = rows / len(each)
    tokens = round(sum(read for _, read, _ in each) * share)
    return Lengths(
        rows=rows,
        measured=len(each),
        middle=sizes[(len(sizes) - 1) // 2],
        most=sizes[math.ceil(len(sizes) * 0.95) - 1],
        longest=sizes[-1],
        cut=round(sum(size > max_length for size in sizes) * share),
        lost=round(sum(not learned for _, _, learned in each) * share),
        tokens=tokens,
        learned=round(sum(learned for _, _, learned in each) * share),
        sequences=math.ceil(tokens / max_length),
        exact=exact,
    )
