"""The bits of a row's logits do not depend on the rows beside it: on a CPU, with one thread, in a batch of 1, 4 and 16."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch.overrides import TorchFunctionMode

from inference_image.engine.schedule import Part
from inference_image.engine.slots import Slots
from tests.inference_image import judge
from tests.inference_image.checkpoints import MODEL

SIZES = (1, 4, 16)
FIRST = (7, 40, 62, 130)
"""Tokens of the row that is looked at: less than a vector of them, more, steps that cross the window, steps beyond it."""
BESIDE = (17, 90, 3, 66, 64, 130, 33, 200, 1, 63, 65, 31, 100, 48, 5)
STEPS = 3


class RowByRow(TorchFunctionMode):
    """Every product of rows with a weight is computed for each row alone."""

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        if func is not F.linear:
            return func(*args, **(kwargs or {}))
        x, weight = args[:2]
        rows = [F.linear(row, weight, *args[2:]) for row in x.reshape(-1, 1, x.shape[-1])]
        return torch.cat(rows).view(*x.shape[:-1], -1)


def read(slots: Slots, row: int, length: int) -> None:
    """A prompt of so many tokens, by itself."""
    chance = random.Random(row)
    slots.prompt([Part(row, 0, [2] + [chance.randrange(6, 1024) for _ in range(length - 1)], last=True)])


def logits(slots: Slots, lengths: Sequence[int]) -> torch.Tensor:
    """Of the first row's steps, [STEPS, vocabulary], beside all others; the cache is then as it was."""
    memory = (*slots.cache.keys, *slots.cache.values)
    made, before = [], [one.clone() for one in memory]
    for step in range(STEPS):
        tokens = [7 + step + row for row in range(len(lengths))]
        made.append(slots.decode(tokens, [length + step for length in lengths])[0].clone())
    with torch.inference_mode():
        for one, was in zip(memory, before, strict=True):
            one.copy_(was)
    return torch.stack(made)


def apart(dtype: str, products: Callable[[], AbstractContextManager[Any]] = nullcontext, firsts: Sequence[int] = FIRST) -> float:
    """How far a batch moves a row's logits at most. 0: not by a bit."""
    from transformers import Gemma3ForCausalLM

    slots = Slots(judge.ours(Gemma3ForCausalLM.from_pretrained(MODEL, dtype=dtype).eval()), rows=max(SIZES), length=256)
    for row, length in enumerate(BESIDE, 1):
        read(slots, row, length)
    most = 0.0
    for first in firsts:
        read(slots, 0, first)
        with products():
            alone, *others = (logits(slots, (first, *BESIDE)[:size]) for size in SIZES)
        most = max(most, *(float((alone - other).abs().max()) for other in others))
    return most


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_nothing_but_a_blas_mixes_rows(dtype: str) -> None:
    """With every product computed row by row attention, norms, positions and the head's cap give the same bits in any batch."""
    assert apart(dtype, RowByRow, FIRST[1:3]) == 0


def test_in_bfloat16_a_batch_changes_no_bit() -> None:
    """Products of bfloat16 are oneDNN's here, which adds in one order however many rows there are."""
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("another library multiplies bfloat16 on this processor")
    assert apart("bfloat16") == 0


def test_in_float32_a_batch_changes_the_last_bits_alone() -> None:
    """A BLAS has a kernel for a vector, one for a few rows, one for many: each adds in its own order."""
    assert apart("float32") < 5e-5


@pytest.mark.long
def test_in_float32_a_batch_changes_no_bit_where_mkl_is_asked_for_it() -> None:
    """MKL_CBWR=AVX2,STRICT: one order of adding for any number of rows. A process reads it once, so another one is started."""
    if not torch.backends.mkl.is_available():
        pytest.skip("this torch has another BLAS")
    work = "from tests.inference_image import test_any_batch as t; t.torch.set_num_threads(1); print(t.apart('float32'))"
    environ = {**os.environ, "MKL_CBWR": "AVX2,STRICT"}
    ran = subprocess.run([sys.executable, "-c", work], env=environ, capture_output=True, text=True, timeout=120, check=True)
    assert ran.stdout.split()[-1] == "0.0"
