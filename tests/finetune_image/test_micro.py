"""Micro-batches: the step stays what it is, and the largest that fits is found in few measurements."""

from __future__ import annotations

import pytest

from finetune_image.micro import Cut, cut, fitting, most, smaller


class Gpu:
    """`each` bytes a sequence without checkpointing, a tenth with it, over `base`; `room`: more does not fit at all."""

    def __init__(self, each: int, base: int = 100, room: int = 10_000) -> None:
        self.each, self.base, self.room = each, base, room
        self.asked: list[tuple[int, bool]] = []

    def __call__(self, micro: int, checkpointing: bool) -> int | None:
        self.asked.append((micro, checkpointing))
        peak = self.base + micro * (self.each // 10 if checkpointing else self.each)
        return peak if peak <= self.room else None


@pytest.mark.parametrize("sequences", [1, 2, 6, 7, 8, 12, 30])
@pytest.mark.parametrize("most_of", [1, 2, 3, 5, 100])
def test_a_step_is_the_same_whatever_fits(sequences: int, most_of: int) -> None:
    """Micro-batches are alike and make up the step; halving goes down to one and ends."""
    made = cut(sequences, most_of)
    assert made.sequences == sequences
    assert made.micro <= most_of
    seen = [made.micro]
    while (less := smaller(seen[-1], sequences // seen[-1])) is not None:
        assert sequences % less == 0
        seen.append(less)
    assert seen[-1] == 1
    assert seen == sorted(set(seen), reverse=True)


@pytest.mark.parametrize(
    ("each", "found"),
    [
        (100, Cut(8, 1)),
        (300, Cut(2, 4)),
        (800, Cut(1, 8)),
        (2_000, Cut(4, 2, checkpointing=True)),
        (9_500, Cut(1, 8, checkpointing=True)),
        (99_000, Cut(1, 8, checkpointing=True)),
    ],
)
def test_the_largest_that_fits(each: int, found: Cut) -> None:
    """Activations are computed twice only where one sequence does not fit otherwise."""
    gpu = Gpu(each)
    assert fitting(8, 8, 1_000, gpu) == found
    assert len(gpu.asked) <= 4


def test_a_guess_that_was_too_high_is_taken_back() -> None:
    """Memory that grows faster than the first two say."""

    def measure(micro: int, checkpointing: bool) -> int | None:
        return 100 + 10 * micro**3

    assert fitting(8, 8, 1_000, measure) == Cut(4, 2)


def test_the_users_word_on_checkpointing_stands() -> None:
    """Only that way is measured."""
    gpu = Gpu(100)
    assert fitting(8, 8, 1_000, gpu, (True,)).checkpointing
    assert {way for _, way in gpu.asked} == {True}


@pytest.mark.parametrize(
    ("length", "packed", "sequences"), [(1024, True, 4), (8192, True, 1), (128, False, 16), (4096, False, 2)]
)
def test_more_sequences_than_are_worth_it_are_not_tried(length: int, packed: bool, sequences: int) -> None:
    """Packed ones share an attention mask that grows with their square."""
    assert most(length, packed) == sequences
