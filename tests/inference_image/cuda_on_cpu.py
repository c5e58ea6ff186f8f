"""CUDA's threads played on a CPU: a C++ header in front of a kernel's source, compiled with the machine's g++. Knows no kernel.

Warps run one after another, the 32 lanes of one as contexts that take turns at every shuffle. For arithmetic, not for speed.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HEADER = r"""
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
struct uint4 { unsigned x, y, z, w; };
struct Place { unsigned x, y, z; };
static Place threadIdx, blockIdx;
static int min(int a, int b) { return a < b ? a : b; }
static float __uint_as_float(unsigned bits) { float v; memcpy(&v, &bits, 4); return v; }
static unsigned __float_as_uint(float value) { unsigned v; memcpy(&v, &value, 4); return v; }
static unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    unsigned long long all = ((unsigned long long)b << 32) | a;
    unsigned out = 0;
    for (int i = 0; i < 4; i++) out |= (unsigned)((all >> (8 * ((selector >> (4 * i)) & 7))) & 255) << (8 * i);
    return out;
}

static ucontext_t warp, lanes[32];
static float value_of[32];
static int lane, left;
static void (*run_one)();
static void meet() { swapcontext(&lanes[lane], &warp); }
static float __shfl_xor_sync(unsigned, float value, int other) {
    value_of[lane] = value;
    meet();
    float found = value_of[lane ^ other];
    meet();
    return found;
}
static void one_lane() { run_one(); left--; }
static void play_warp(unsigned number) {
    static char stacks[32][64 << 10];
    for (lane = 0; lane < 32; lane++) {
        getcontext(&lanes[lane]);
        lanes[lane].uc_stack.ss_sp = stacks[lane];
        lanes[lane].uc_stack.ss_size = sizeof stacks[lane];
        lanes[lane].uc_link = &warp;
        makecontext(&lanes[lane], one_lane, 0);
    }
    for (left = 32; left;) {
        if (left != 32) abort();  // some lanes ended and others wait for them
        for (lane = 0; lane < 32; lane++) {
            threadIdx.x = number * 32 + lane;
            swapcontext(&warp, &lanes[lane]);
        }
    }
}
static void play(unsigned x, unsigned y, unsigned warps, void (*run)()) {
    run_one = run;
    for (blockIdx.y = 0; blockIdx.y < y; blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < x; blockIdx.x++)
            for (unsigned number = 0; number < warps; number++) play_warp(number);
}
#define __device__ static
#define __global__
#define __launch_bounds__(n)
"""


def library(compiler: Path, source: str, options: Sequence[str], folder: Path) -> Any:
    """The source, behind HEADER, as a library of this process. Raises CalledProcessError: it does not compile."""
    (folder / "played.cpp").write_text(HEADER + source)
    made = folder / "played.so"
    command = [str(compiler), "-O1", "-w", "-shared", "-fPIC", *options, "-o", str(made), "played.cpp"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return ctypes.CDLL(str(made))
