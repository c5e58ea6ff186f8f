"""Owns all rows of a run as tokens: cut at max_length, counted, and how many there are once they are packed. Knows no trainer."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from finetune_image.data.encode import Encoder, Row

if TYPE_CHECKING:
    from datasets import Dataset

    from finetune_image.run import Wish


@dataclass(frozen=True)
class Table:
    """What became of the rows. `truncated`: used, but not whole; `lengths`: of the rows given, in tokens, by size.

    `ids` and `labels` of the used ones as 32-bit numbers: a list of Python's takes ten times as much, and rows may be a million.
    """

    ids: Sequence[array[int]] = field(repr=False)
    labels: Sequence[array[int]] = field(repr=False)
    given: int
    truncated: int
    learned: int
    lengths: Sequence[int] = field(repr=False)

    @property
    def used(self) -> int:
        return len(self.ids)

    @property
    def dropped(self) -> int:
        """Rows that have nothing to learn within max_length."""
        return self.given - self.used

    @property
    def tokens(self) -> int:
        return sum(len(one) for one in self.ids)

    @property
    def longest(self) -> int:
        """Tokens of the longest one that is used."""
        return max(map(len, self.ids), default=0)

    @property
    def highest(self) -> int:
        """The highest number of a token."""
        return max((max(one) for one in self.ids), default=0)

    def percentile(self, share: float) -> int:
        return self.lengths[min(len(self.lengths) - 1, int(len(self.lengths) * share))] if self.lengths else 0

    def dataset(self) -> Dataset:
        """As trl takes rows that are tokens already."""
        import numpy as np
        from datasets import Dataset

        columns = {"input_ids": self.ids, "labels": self.labels}
        return Dataset.from_dict({name: [np.frombuffer(one, dtype=np.int32) for one in rows] for name, rows in columns.items()})


def tabled(encoder: Encoder, rows: Sequence[Row], wish: Wish) -> Table:
    """Raises TuneFailed as Encoder.encode."""
    length, sft = wish.train.max_length, wish.train.sft
    splits = wish.train.packing and sft.get("packing_strategy", "bfd") != "bfd"  # trl makes several of a long row
    late = sft.get("truncation_mode") == "keep_end"
    ids: list[array[int]] = []
    labels: list[array[int]] = []
    lengths: list[int] = []
    truncated = learned = 0
    for row in rows:
        encoded = encoder.encode(row)
        lengths.append(len(encoded.ids))
        kept = encoded if splits else encoded.cut(length, late=late)
        if not (found := kept.learned):
            continue
        ids.append(array("i", kept.ids))
        labels.append(array("i", kept.labels))
        truncated += len(kept.ids) < len(encoded.ids)
        learned += found
    return Table(ids, labels, len(rows), truncated, learned, sorted(lengths))
