"""The fast path against transformers: greedy answers equal to generate's and to those without a cache, alone and in any batch."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from inference_image.engine.schedule import Running
from inference_image.engine.slots import Slots
from tests.inference_image import judge
from tests.inference_image.checkpoints import MODEL
from tests.inference_image.greedily import greedily

WINDOW = 64
ANSWER = 70
"""Tokens of an answer: more than a window, so that every one crosses it."""
LENGTHS = (1, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW)
NO_END = {"eos_token_id": -1, "pad_token_id": 0}


def fresh(dtype: str) -> Any:
    from transformers import Gemma3ForCausalLM

    return Gemma3ForCausalLM.from_pretrained(MODEL, dtype=dtype).eval()


def prompts() -> list[list[int]]:
    chance = random.Random(1)
    return [[2] + [chance.randrange(6, 1024) for _ in range(length - 1)] for length in LENGTHS]


def served(slots: Slots, asked: Sequence[list[int]], chunk: int = 512) -> list[list[int]]:
    """Greedy answers of ANSWER tokens."""
    return greedily(slots, [Running(ids) for ids in asked], lambda tokens: len(tokens) >= ANSWER, chunk)


@pytest.fixture(scope="module")
def generated() -> list[list[int]]:
    """What transformers' generate() answers."""
    import torch

    model, answers = fresh("float32"), []
    for ids in prompts():
        one = torch.tensor([ids])
        made = model.generate(one, attention_mask=torch.ones_like(one), max_new_tokens=ANSWER, do_sample=False, **NO_END)
        answers.append(made[0, len(ids) :].tolist())
    return answers


@pytest.fixture(scope="module")
def slots() -> Slots:
    return Slots(judge.ours(fresh("float32")), rows=8, length=512)


def test_alone(slots: Slots, generated: list[list[int]]) -> None:
    """Each prompt by itself, below, at and beyond the window, with an answer that crosses it."""
    assert [served(slots, [ids])[0] for ids in prompts()] == generated


def test_transformers_modules_over_our_cache(generated: list[list[int]]) -> None:
    """Where a model is left to them, their modules answer in our batches as well."""
    assert served(Slots(fresh("float32"), rows=8, length=512), prompts()) == generated


def test_all_together(slots: Slots, generated: list[list[int]]) -> None:
    """Prompts of all lengths in one batch answer as each would alone."""
    assert served(slots, prompts()) == generated


@pytest.mark.parametrize("chunk", [7, WINDOW, WINDOW + 1])
def test_prompts_in_chunks(slots: Slots, generated: list[list[int]], chunk: int) -> None:
    """A prompt that is read in pieces of any size, between the steps of others, is the same prompt."""
    assert served(slots, prompts(), chunk) == generated


def test_rows_that_are_used_again(slots: Slots, generated: list[list[int]]) -> None:
    """More requests than rows, in another order: nothing of an earlier sequence is seen by a later one."""
    order = [4, 0, 3, 1, 2] * 2
    asked = prompts()
    assert served(slots, [asked[one] for one in order], 100) == [generated[one] for one in order]


def test_recorded_steps(generated: list[list[int]]) -> None:
    """Steps that are recorded once for a size and a reach, and replayed over fixed memory, answer the same.

    The recorder of this test computes again at each replay, as a graph does; rows beyond the live ones must do no harm.
    """
    recorded = []

    def record(compute: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        recorded.append(compute)
        made = compute()
        return lambda: made.copy_(compute()), made

    slots = Slots(judge.ours(fresh("float32")), rows=6, length=512, record=record)
    assert slots.rehearse(lambda: len(recorded) >= 3) == 3
    assert served(slots, prompts(), 50) == generated
    assert len(recorded) < 9, "a step for every size of a batch is recorded once"


def test_in_bfloat16() -> None:
    """Where rounding decides between two tokens answers may part; nowhere else."""
    import torch

    model, slots = fresh("bfloat16"), Slots(judge.ours(fresh("bfloat16")), rows=8, length=512)
    for ids, answer in zip(prompts(), served(slots, prompts()), strict=True):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids + answer]), use_cache=False).logits[0, len(ids) - 1 : -1].float()
        best, chosen = logits.amax(-1), logits[range(len(answer)), answer]
        assert float((best - chosen).max()) <= 0.25, "more than rounding"


def test_without_a_cache() -> None:
    """The answers are what the whole sequence, recomputed for every token, says."""
    import torch

    model, slots = fresh("float32"), Slots(judge.ours(fresh("float32")), rows=6, length=512)
    for ids, answer in zip(prompts(), served(slots, prompts()), strict=True):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids + answer]), use_cache=False).logits[0, len(ids) - 1 : -1]
        assert logits.argmax(-1).tolist() == answer
