"""CUDA's threads played on a CPU: a C++ header in front of a kernel's source, compiled with the machine's g++. Knows no kernel.

Blocks run one after another, the threads of one as contexts that take turns: a warp's lanes meet at every shuffle and every
product of matrices, all threads at a barrier. For arithmetic, not for speed.
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
#include <setjmp.h>
#include <ucontext.h>
#define PLAYED
struct uint4 { unsigned x, y, z, w; };
struct Place { unsigned x, y, z; };
static Place threadIdx, blockIdx, blockDim, gridDim;
static int min(int a, int b) { return a < b ? a : b; }
static float rsqrtf(float value) { return 1.0f / sqrtf(value); }
static float __uint_as_float(unsigned bits) { float v; memcpy(&v, &bits, 4); return v; }
static unsigned __float_as_uint(float value) { unsigned v; memcpy(&v, &value, 4); return v; }
static unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    unsigned long long all = ((unsigned long long)b << 32) | a;
    unsigned out = 0;
    for (int i = 0; i < 4; i++) out |= (unsigned)((all >> (8 * ((selector >> (4 * i)) & 7))) & 255) << (8 * i);
    return out;
}
static uint4 once(const void* at) { return *(const uint4*)at; }
static float fresh(const float* at) { return *at; }
static void fresh4(const float* at, float* v) { memcpy(v, at, 16); }
static void __threadfence() {}
static int atomicAdd(int* at, int more) { int was = *at; *at += more; return was; }

enum { RUNS, AT_WARP, AT_BARRIER, ENDED };
static ucontext_t threads[1024];
static jmp_buf back, inside[1024];
static int begun[1024];
static int thread, state[1024];
static float value_of[1024];
static unsigned left_of[1024][4], right_of[1024][2];
static void (*run_one)();
// swapcontext asks the system at every switch: it is for a thread's first step alone
static void wait_at(int what) {
    state[thread] = what;
    if (!_setjmp(inside[thread])) _longjmp(back, 1);
    state[thread] = RUNS;
}
static void __syncthreads() { wait_at(AT_BARRIER); }
static float __shfl_xor_sync(unsigned, float value, int other) {
    value_of[thread] = value;
    wait_at(AT_WARP);
    float found = value_of[thread ^ other];
    wait_at(AT_WARP);
    return found;
}
static float half_of(unsigned both, int odd) { return __uint_as_float(odd ? both & 0xffff0000u : both << 16); }
// m16n8k16 as PTX lays it out: c[row, column] += sum over k of a[row, k] * b[k, column], bfloat16 in pairs
static void product(float* c, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1) {
    unsigned a[4] = {a0, a1, a2, a3}, b[2] = {b0, b1};
    memcpy(left_of[thread], a, sizeof a);
    memcpy(right_of[thread], b, sizeof b);
    wait_at(AT_WARP);
    int warp = thread & ~31, lane = thread & 31;
    for (int i = 0; i < 4; i++) {
        int row = (lane >> 2) + 8 * (i >> 1), column = (lane & 3) * 2 + (i & 1);
        for (int k = 0; k < 16; k++) {
            int by = (k & 7) >> 1;
            c[i] += half_of(left_of[warp + (row & 7) * 4 + by][(row >> 3) + 2 * (k >> 3)], k & 1) *
                    half_of(right_of[warp + column * 4 + by][k >> 3], k & 1);
        }
    }
    wait_at(AT_WARP);
}
static void one_thread() { run_one(); state[thread] = ENDED; _longjmp(back, 1); }
static void go_on(int one) {
    threadIdx.x = thread = one;
    if (_setjmp(back)) return;
    if (begun[one]) _longjmp(inside[one], 1);
    begun[one] = 1;
    setcontext(&threads[one]);
}
static void play_block(int count) {
    static char* stacks = (char*)malloc(1024 * (32 << 10));
    for (thread = 0; thread < count; thread++) {
        getcontext(&threads[thread]);
        threads[thread].uc_stack.ss_sp = stacks + thread * (32 << 10);
        threads[thread].uc_stack.ss_size = 32 << 10;
        threads[thread].uc_link = 0;
        makecontext(&threads[thread], one_thread, 0);
        state[thread] = begun[thread] = 0;
    }
    for (;;) {
        for (int warp = 0; warp < count; warp += 32) {
            while (state[warp] == RUNS || state[warp] == AT_WARP) {
                for (int one = warp; one < warp + 32; one++) go_on(one);
                for (int one = warp; one < warp + 32; one++)
                    if (state[one] != state[warp]) abort();  // lanes of one warp wait for others that went elsewhere
            }
        }
        int ended = 0;
        for (int one = 0; one < count; one++) ended += state[one] == ENDED;
        if (ended == count) return;
        if (ended) abort();  // some threads ended and others wait at a barrier for them
        for (int one = 0; one < count; one++) state[one] = RUNS;
    }
}
static void play(unsigned x, unsigned y, unsigned z, unsigned count, void (*run)()) {
    run_one = run;
    gridDim = {x, y, z};
    blockDim = {count, 1, 1};
    for (blockIdx.z = 0; blockIdx.z < z; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < y; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < x; blockIdx.x++) play_block(count);
}
#define __device__ static
#define __global__
#define __shared__ static
#define __launch_bounds__(n)
"""


def library(compiler: Path, source: str, options: Sequence[str], folder: Path) -> Any:
    """The source, behind HEADER, as a library of this process. Raises RuntimeError with the compiler's words."""
    (folder / "played.cpp").write_text(HEADER + source)
    made = folder / "played.so"
    command = [str(compiler), "-O1", "-U_FORTIFY_SOURCE", "-w", "-shared", "-fPIC", *options, "-o", str(made), "played.cpp"]
    ended = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(ended.stderr[:2000])
    return ctypes.CDLL(str(made))
