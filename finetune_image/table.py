"""Owns all rows of a run as tokens: cut at max_length, counted, and how many there are once they are packed. Knows no trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from finetune_image.data.encode import Encoded, Encoder, Row

if TYPE_CHECKING:
    from datasets import Dataset

    from finetune_image.run import Wish


@dataclass(frozen=True)
class Table:
    """What became of the rows. `truncated`: used, but not whole; `lengths`: of the rows given, in tokens, by size."""

    used: Sequence[Encoded] = field(repr=False)
    given: int
    truncated: int
    lengths: Sequence[int] = field(repr=False)

    @property
    def dropped(self) -> int:
        """Rows that have nothing to learn within max_length."""
        return self.given - len(self.used)

    @property
    def tokens(self) -> int:
        return sum(len(one.ids) for one in self.used)

    @property
    def learned(self) -> int:
        return sum(one.learned for one in self.used)

    def percentile(self, share: float) -> int:
        return self.lengths[min(len(self.lengths) - 1, int(len(self.lengths) * share))] if self.lengths else 0

    def dataset(self) -> Dataset:
        """As trl takes rows that are tokens already."""
        from datasets import Dataset

        return Dataset.from_dict({"input_ids": [one.ids for one in self.used], "labels": [one.labels for one in self.used]})


def tabled(encoder: Encoder, rows: Sequence[Row], wish: Wish) -> Table:
    """Raises TuneFailed as Encoder.encode."""
    length, sft = wish.train.max_length, wish.train.sft
    encoded = [encoder.encode(row) for row in rows]
    lengths = sorted(len(one.ids) for one in encoded)
    if wish.train.packing and sft.get("packing_strategy", "bfd") != "bfd":  # trl makes several of a long row
        used = [one for one in encoded if one.learned]
        return Table(used, len(encoded), 0, lengths)
    late = sft.get("truncation_mode") == "keep_end"
    cut = [(one, one.cut(length, late=late)) for one in encoded]
    used = [after for _, after in cut if after.learned]
    truncated = sum(len(before.ids) > length and after.learned > 0 for before, after in cut)
    return Table(used, len(encoded), truncated, lengths)
