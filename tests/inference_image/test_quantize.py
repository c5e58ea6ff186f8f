"""Weights that become int8 while they arrive: the same as all at once, whatever the reads cut, and little memory beside them."""

from __future__ import annotations

import random
import struct
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_image.chunks.arena import Arena
from inference_image.contract import Code, LoadFailed
from inference_image.landing import Landing, Ring
from inference_image.layout import ITEM_SIZE, Tensor
from inference_image.quantize import Int8, dequantize, empty, int8_bytes, quantize
from inference_image.rows import Rows
from inference_image.weights import needed_bytes
from tests.inference_image.test_upload import SLAB, deliver, filled


def torch_dtype(name: str) -> Any:
    import torch

    return {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}[name]


def at_once(values: Any, dtype: Any) -> Int8:
    made = empty(values.shape, dtype, values.device)
    quantize(values, made)
    return made


@pytest.mark.parametrize("dtype", ["BF16", "F32"])
def test_a_value_comes_back_within_half_a_step(dtype: str) -> None:
    """Of its own row: a large row costs its neighbours nothing. Of Gaussian rows about one percent is lost."""
    import torch

    torch.manual_seed(0)
    values = torch.randn(64, 4000) * torch.logspace(-6, 4, 64).unsqueeze(1)
    made = at_once(values, torch_dtype(dtype))
    step = values.abs().amax(1, keepdim=True) / 127
    rounded = 2**-8 if dtype == "BF16" else 2**-20  # bf16 rounds the product once more
    assert bool(((dequantize(made).float() - values).abs() <= step / 2 + values.abs() * rounded + step * 2**-8).all())
    error = (dequantize(made).float() - values).norm(dim=1) / values.norm(dim=1)
    assert float(error.mean()) < 0.01
    assert float(error.max()) < 0.014
    assert int(made.weight.min()) >= -127


def test_zeros_and_the_smallest_values_stay_finite() -> None:
    """A row without a scale is a row of zeros."""
    import torch

    made = at_once(torch.tensor([[0.0, 0.0], [1e-45, -1e-45], [3e38, -3e38]]), torch.bfloat16)
    back = dequantize(made)
    assert bool(torch.isfinite(back).all())
    assert not back[:2].any()
    assert back[2].tolist() == pytest.approx([3e38, -3e38], rel=0.01)


def object_of(
    tensors: list[tuple[str, tuple[int, ...]]], start: int, seed: int
) -> tuple[dict[str, Tensor], bytes, dict[str, Any]]:
    """Tensors side by side from byte `start` on, the bytes of the object, and the values in their stored dtype."""
    import torch

    torch.manual_seed(seed)
    table, values, data = {}, {}, bytearray(start)
    for number, (dtype, shape) in enumerate(tensors):
        name = f"t{number}"
        values[name] = torch.randn(shape).to(torch_dtype(dtype))
        data += values[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes() if values[name].numel() else b""
        table[name] = Tensor(name, dtype, shape, "o", len(data) - values[name].numel() * ITEM_SIZE[dtype], len(data))
    return table, bytes(data), values


def arrived(table: dict[str, Tensor], data: bytes, edges: list[int], chance: random.Random, int8: set[str]) -> Any:
    """What fill() makes of the pieces."""
    landing, ring = Landing(), Ring(0, SLAB, 3)
    landing.open(Arena(Ring.length(SLAB, 3)), {"o": 0})
    landing.expect(table, ring)
    sender = threading.Thread(target=lambda: list(deliver(landing, ring, data, edges, chance)), daemon=True)
    sender.start()
    made = filled(landing, int8)
    sender.join(20)
    return made


MATRICES = st.tuples(st.integers(1, 60), st.integers(1, 90))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["BF16", "F16", "F32"]), MATRICES), min_size=1, max_size=4),
    st.integers(8, 40),
    st.lists(st.integers(0, 1 << 20), max_size=30),
    st.integers(0, 1 << 30),
)
def test_any_pieces_in_any_order_make_what_the_whole_makes(
    shapes: list[tuple[str, tuple[int, int]]], start: int, edges: list[int], seed: int
) -> None:
    """Bit-equal to quantising the stored values of the whole tensor at once; what is not named stays as it is."""
    import torch

    table, data, values = object_of([*shapes, ("F32", (7,))], start, seed)
    plain = f"t{len(shapes)}"
    made = arrived(table, data, edges, random.Random(seed), set(table) - {plain})
    for name in set(table) - {plain}:
        want = at_once(values[name], torch.bfloat16)
        assert torch.equal(made[name], want.weight)
        assert torch.equal(made[f"{name}_scale"], want.scale)
    assert torch.equal(made[plain], values[plain].bfloat16())
    assert len(made) == 2 * len(shapes) + 1


class Counting:
    """Copies that note how many rows came at once."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def copy(self, source: Any, target: Any) -> None:
        raise AssertionError

    def quantize(self, source: Any, target: Int8) -> None:
        self.rows.append(len(source))
        quantize(source, target)


@pytest.mark.parametrize(("connections", "shuffled"), [(1, False), (8, False), (8, True)])
def test_what_waits_is_a_row_for_each_border_of_reads(connections: int, shuffled: bool) -> None:
    """Beside the result nothing is held but cut rows: one for each open border, all reads of a wild order included."""
    import torch

    width, rows, read = 96, 400, 1000  # a read of ten rows and a part
    values = torch.randn(rows * width)
    copies, made = Counting(), empty((rows, width), torch.bfloat16, torch.device("cpu"))
    target = Rows(made, copies)
    reads = [(at, min(at + read, len(values))) for at in range(0, len(values), read)]
    if shuffled:
        random.Random(1).shuffle(reads)
    else:  # so many are under way at once, and the first of them ends last
        reads = [one for at in range(0, len(reads), connections) for one in reads[at : at + connections][::-1]]
    most = 0
    for begin, end in reads:
        target.put(values[begin:end], begin)
        most = max(most, target.held)
    assert target.held == 0
    assert most <= (len(reads) if shuffled else connections + 1) * width * 4
    want = at_once(values.view(rows, width), torch.bfloat16)
    assert torch.equal(made.weight, want.weight)
    assert sum(copies.rows) == rows
    assert len(copies.rows) <= 2 * len(reads)


def test_a_large_piece_is_made_int8_in_blocks() -> None:
    """What the arithmetic takes is bounded whatever one read brings: BLOCK values at a time."""
    import torch

    copies = Counting()
    width = 1 << 20
    Rows(empty((9, width), torch.bfloat16, torch.device("cpu")), copies).put(torch.zeros(9 * width, dtype=torch.bfloat16), 0)
    assert copies.rows == [4, 4, 1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_names_its_tensor(bad: float) -> None:
    """One such weight among those that become int8 refuses the load as it does otherwise."""
    table, data, _ = object_of([("BF16", (30, 50)), ("BF16", (40, 60))], 8, 1)
    changed = bytearray(data)
    at = table["t1"].begin + 2 * (17 * 60 + 3)
    changed[at : at + 2] = struct.pack("<f", bad)[2:]
    with pytest.raises(LoadFailed) as failed:
        arrived(table, bytes(changed), [], random.Random(1), {"t0", "t1"})
    assert (failed.value.failure.code, failed.value.failure.object) == (Code.WEIGHTS_NAN, "t1")


def test_the_memory_of_a_quantised_model() -> None:
    """A byte for each weight and a scale for each row; what is not named counts in the model's dtype."""
    table = {"m": Tensor("m", "F32", (10, 30), "o", 0, 1200), "v": Tensor("v", "F32", (30,), "o", 1200, 1320)}
    assert int8_bytes((10, 30), 2) == 320
    assert needed_bytes(table, 2, {"m"}) == 320 + 60
    assert needed_bytes(table, 2) == 660
