"""The CUDA kernel's source, its threads played on a CPU: what no GPU has run yet is held to the product that it stands for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference_image.engine import int8_cuda
from tests.inference_image import cuda_on_cpu

PLAY = """
static struct { const bf16 *x, *s; const signed char* w; bf16* y; int m, n, k; } given;
""" + "".join(
    f"""
static void one_{rows}() {{ int8_rows_{rows}(given.x, given.w, given.s, given.y, given.m, given.n, given.k); }}
extern "C" void play_{rows}(unsigned gx, unsigned gy, const bf16* x, const signed char* w, const bf16* s, bf16* y, int m, int n,
                            int k) {{
    given = {{x, s, w, y, m, n, k}};
    play(gx, gy, WARPS, one_{rows});
}}"""
    for rows in int8_cuda.ROWS
)


@pytest.fixture(scope="module")
def played(tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return cuda_on_cpu.library(tool("g++"), int8_cuda.SOURCE + PLAY, int8_cuda.OPTIONS, tmp_path_factory.mktemp("kernel"))


@pytest.mark.parametrize(
    ("count", "n", "k"),
    [(1, 9, 16), (1, 40, 1040), (2, 8, 512), (3, 17, 528), (4, 1, 48), (7, 23, 96), (9, 10, 544), (32, 12, 64)],
)
def test_the_kernels_threads_give_the_product(played: Any, count: int, n: int, k: int) -> None:
    """Any number of rows, edges of the matrix inside of a block, row lengths that end inside of a warp: bf16 of the true sum."""
    import torch

    torch.manual_seed(count * n + k)
    x = torch.randn(count, k).bfloat16()
    weight = torch.randint(-127, 128, (n, k), dtype=torch.int8)
    scale = (torch.rand(n) / 100).bfloat16()
    y = torch.full((count + 1, n), float("nan"), dtype=torch.bfloat16)
    run = getattr(played, f"play_{int8_cuda.rows_of(count)}")
    run(*int8_cuda.grid_of(count, n), *(_pointer(one) for one in (x, weight, scale, y)), count, n, k)
    true = (x.double() @ weight.double().T) * scale.double()
    assert torch.allclose(y[:count].double(), true, rtol=2**-8, atol=float(true.abs().max()) * 1e-6)
    assert bool(y[count].isnan().all()), "a row was written that is not there"


def test_every_int8_and_a_nan_come_through(played: Any) -> None:
    """Each of the 255 values is widened exactly and rounded as torch rounds; what is no number is none in bf16 either."""
    import torch

    weight = torch.zeros(255, 16, dtype=torch.int8)
    weight[:, 5] = torch.arange(-127, 128)
    x = torch.zeros(1, 16, dtype=torch.bfloat16)
    x[0, 5] = 1
    scale, y = torch.linspace(1, 2, 255).bfloat16(), torch.empty(1, 255, dtype=torch.bfloat16)
    grid = int8_cuda.grid_of(1, 255)
    played.play_1(*grid, *(_pointer(one) for one in (x, weight, scale, y)), 1, 255, 16)
    assert torch.equal(y[0], (weight[:, 5].float() * scale.float()).bfloat16())
    x[0, 0] = float("nan")
    played.play_1(*grid, *(_pointer(one) for one in (x, weight, scale, y)), 1, 255, 16)
    assert bool(y.isnan().all())


def _pointer(tensor: Any) -> Any:
    import ctypes

    return ctypes.c_void_p(tensor.data_ptr())


def test_which_products_the_kernel_takes() -> None:
    """Few rows, and rows of the matrix that sixteen bytes divide."""
    assert int8_cuda.takes(1, 3840)
    assert int8_cuda.takes(32, 15360)
    assert not int8_cuda.takes(33, 3840)
    assert not int8_cuda.takes(0, 3840)
    assert not int8_cuda.takes(1, 3848)


def test_without_the_compiler_of_cuda_there_is_no_kernel() -> None:
    """A torch without CUDA has no NVRTC: told as an OSError, which leaves the normal product."""
    with pytest.raises(OSError, match="libnvrtc"):
        int8_cuda.nvrtc()
