"""Owns the CUDA kernel for a few rows times an int8 matrix: its source, how it is compiled and started. Never run on a GPU.

A decode step reads every weight once: what counts is that it is read as one byte. torch's own int8 product for CUDA reads bytes
one by one, a thread for each output (aten/native/cuda/int8mm.cu); Triton wants a C compiler at run time, which the image has not.
NVRTC comes with every CUDA build of torch and needs neither headers nor a compiler. What is proven without a GPU: NVRTC 12.6
compiles the source for sm_80, sm_89 and sm_90, no register is spilled, and its threads, played on a CPU, give the product
(tests/inference_image/test_int8_cuda.py).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from inference_image.quantize import Int8

if TYPE_CHECKING:
    import torch

ROWS: Final = (1, 4, 8)
"""Rows of x that a kernel of its own exists for: others take the next larger one, or the largest for each group of so many."""
MOST: Final = 32
"""Rows of x beyond which a normal matrix product is meant: on an L4 32 times as many multiplications as bytes are what it can do
in the time in which it reads them. By arithmetic; not measured."""
STEP: Final = 16
"""int8 values that a thread loads at once: rows of the matrix must be a multiple of it long, and aligned."""
WARPS: Final = 4
OUTPUTS: Final = 2
"""Rows of the matrix that a warp computes side by side."""

SOURCE: Final = r"""
typedef unsigned short bf16;  // its bits: no header of CUDA's is needed

__device__ float low(unsigned pair) { return __uint_as_float(pair << 16); }
__device__ float high(unsigned pair) { return __uint_as_float(pair & 0xffff0000u); }

__device__ bf16 narrow(float value) {  // to nearest, ties to even; NaN stays one
    unsigned bits = __float_as_uint(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fc0;
    return (bf16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// Four int8 as floats, exactly: byte b + 128 in the last digits of 2^23, less 2^23 + 128.
__device__ void widen(unsigned four, float* out) {
    unsigned biased = four ^ 0x80808080u;
#pragma unroll
    for (int i = 0; i < 4; i++) out[i] = __uint_as_float(__byte_perm(biased, 0x4b000000u, 0x7650 + i)) - 8388736.0f;
}

// y[m, n] = scale[n] * sum over k of x[m, k] * w[n, k]. A warp takes M rows of x and OUTPUTS rows of w, a lane 16 values of each
// at a time. Blocks side by side in x read the same rows of w, so that all but one of them find those in the cache.
template <int M>
__device__ void rows(const bf16* x, const signed char* w, const bf16* scale, bf16* y, int count, int n, int k) {
    int lane = threadIdx.x & 31;
    int from = blockIdx.x * M;
    int first = (blockIdx.y * WARPS + (threadIdx.x >> 5)) * OUTPUTS;
    float sums[M][OUTPUTS];
    const signed char* row[OUTPUTS];
#pragma unroll
    for (int r = 0; r < OUTPUTS; r++) {
        // beyond the last row: computed once more and not stored, so that all lanes stay together
        row[r] = w + (long long)min(first + r, n - 1) * k;
#pragma unroll
        for (int m = 0; m < M; m++) sums[m][r] = 0.0f;
    }
    for (int at = lane * STEP; at < k; at += 32 * STEP) {
        float wide[OUTPUTS][STEP];
#pragma unroll
        for (int r = 0; r < OUTPUTS; r++) {
            uint4 bytes = *(const uint4*)(row[r] + at);
            widen(bytes.x, wide[r]);
            widen(bytes.y, wide[r] + 4);
            widen(bytes.z, wide[r] + 8);
            widen(bytes.w, wide[r] + 12);
        }
#pragma unroll
        for (int m = 0; m < M; m++) {
            const uint4* values = (const uint4*)(x + (long long)min(from + m, count - 1) * k + at);
#pragma unroll
            for (int half = 0; half < 2; half++) {
                uint4 eight = values[half];
                unsigned pair[4] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
                for (int i = 0; i < 4; i++) {
#pragma unroll
                    for (int r = 0; r < OUTPUTS; r++) {
                        sums[m][r] = fmaf(low(pair[i]), wide[r][half * 8 + 2 * i], sums[m][r]);
                        sums[m][r] = fmaf(high(pair[i]), wide[r][half * 8 + 2 * i + 1], sums[m][r]);
                    }
                }
            }
        }
    }
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int r = 0; r < OUTPUTS; r++) {
            float sum = sums[m][r];
#pragma unroll
            for (int other = 16; other > 0; other >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, other);
            if (lane == 0 && from + m < count && first + r < n)
                y[(long long)(from + m) * n + first + r] = narrow(sum * low(scale[first + r]));
        }
    }
}

#define KERNEL(M)                                                                                            \
    extern "C" __global__ void __launch_bounds__(WARPS * 32) int8_rows_##M(                                  \
        const bf16* x, const signed char* w, const bf16* scale, bf16* y, int count, int n, int k) {          \
        rows<M>(x, w, scale, y, count, n, k);                                                                \
    }
KERNEL(1) KERNEL(4) KERNEL(8)
"""

OPTIONS: Final = (f"-DWARPS={WARPS}", f"-DOUTPUTS={OUTPUTS}", f"-DSTEP={STEP}")


def takes(rows: int, width: int) -> bool:
    """Is there a kernel for so many rows of x, each of `width` values?"""
    return 0 < rows <= MOST and width % STEP == 0


def rows_of(count: int) -> int:
    """Which kernel takes `count` rows of x."""
    return next((rows for rows in ROWS if rows >= count), ROWS[-1])


def grid_of(count: int, n: int) -> tuple[int, int]:
    """Blocks for `count` rows of x and n of the matrix. The second has 65535 at most, for matrices of half a million rows."""
    return -(-count // rows_of(count)), -(-n // (WARPS * OUTPUTS))


@lru_cache(maxsize=1)
def kernels(device: torch.device) -> Kernels | str:
    """Compiled for the device, once; where that can't be done, why."""
    try:
        return Kernels(device)
    except (OSError, RuntimeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def compile_for(device: torch.device) -> str:
    """At the start, so that no request and no graph waits for it: `compiled`, or why a normal product must do."""
    found = kernels(device)
    return found if isinstance(found, str) else "compiled"


class Kernels:
    """The compiled kernels of one GPU, started on torch's current stream."""

    def __init__(self, device: torch.device) -> None:
        """Raises OSError without NVRTC or the driver's library, RuntimeError for what either refuses."""
        import torch

        torch.zeros(1, device=device)  # a context, current in this thread
        major, minor = torch.cuda.get_device_capability(device)
        image = compiled(nvrtc(), f"sm_{major}{minor}")
        self._driver = ctypes.CDLL("libcuda.so.1")
        self._module = ctypes.c_void_p()
        self._check(self._driver.cuModuleLoadData(ctypes.byref(self._module), image))
        self._functions = {rows: self._function(f"int8_rows_{rows}") for rows in ROWS}

    def product(self, x: torch.Tensor, made: Int8) -> torch.Tensor:
        """For x in bfloat16 [m, k], contiguous, for which takes() is true."""
        import torch

        count, n, k = len(x), *made.weight.shape
        y = x.new_empty(count, n)
        pointers = [ctypes.c_void_p(one.data_ptr()) for one in (x, made.weight, made.scale, y)]
        values = [*pointers, ctypes.c_int(count), ctypes.c_int(n), ctypes.c_int(k)]
        arguments = (ctypes.c_void_p * len(values))(*(ctypes.addressof(one) for one in values))
        stream = ctypes.c_void_p(torch.cuda.current_stream(x.device).cuda_stream)
        rows = rows_of(count)
        grid = (*grid_of(count, n), 1)
        self._check(self._driver.cuLaunchKernel(self._functions[rows], *grid, WARPS * 32, 1, 1, 0, stream, arguments, None))
        return y

    def _function(self, name: str) -> ctypes.c_void_p:
        found = ctypes.c_void_p()
        self._check(self._driver.cuModuleGetFunction(ctypes.byref(found), self._module, name.encode()))
        return found

    def _check(self, code: int) -> None:
        _require(code, self._error)

    def _error(self, code: int) -> str:
        text = ctypes.c_char_p()
        self._driver.cuGetErrorString(code, ctypes.byref(text))
        return (text.value or b"unknown").decode()


def nvrtc() -> Any:
    """The run-time compiler that came with torch. Raises OSError: there is none."""
    import torch

    major = (torch.version.cuda or "").partition(".")[0]
    name = f"libnvrtc.so.{major}"
    beside = Path(torch.__file__).parent.parent / "nvidia"
    for place in (name, *map(str, sorted(beside.glob(f"*/lib/{name}")))):
        try:
            return ctypes.CDLL(place)
        except OSError:
            continue
    raise OSError(f"{name} was not found")


def compiled(library: Any, architecture: str, options: Sequence[str] = OPTIONS) -> bytes:
    """Machine code for one architecture, such as sm_89. Raises RuntimeError with the compiler's words."""

    def check(code: int) -> None:
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        _require(code, lambda code: library.nvrtcGetErrorString(code).decode())

    program = ctypes.c_void_p()
    check(library.nvrtcCreateProgram(ctypes.byref(program), SOURCE.encode(), b"int8_rows.cu", 0, None, None))
    try:
        words = [f"--gpu-architecture={architecture}".encode(), *(option.encode() for option in options)]
        if library.nvrtcCompileProgram(program, len(words), (ctypes.c_char_p * len(words))(*words)):
            size = ctypes.c_size_t()
            check(library.nvrtcGetProgramLogSize(program, ctypes.byref(size)))
            log = ctypes.create_string_buffer(size.value)
            check(library.nvrtcGetProgramLog(program, log))
            raise RuntimeError(log.value.decode(errors="replace"))
        size = ctypes.c_size_t()
        check(library.nvrtcGetCUBINSize(program, ctypes.byref(size)))
        image = ctypes.create_string_buffer(size.value)
        check(library.nvrtcGetCUBIN(program, image))
        return image.raw
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _require(code: int, words: Callable[[int], str]) -> None:
    if code:
        raise RuntimeError(words(code))
