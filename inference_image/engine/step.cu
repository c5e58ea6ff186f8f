// What Gemma 3 computes between its large products, and in a decode step of a few rows those products as well: seven kernels a
// layer there. Knows nothing of Python.
//
// What is computed and where it is rounded to bfloat16 is what transformers' modules do; sums are float32, in another order.
// Compiled at run time by NVRTC: no header of CUDA's is needed, so bfloat16 is its bits. Given by options: WARPS of a linear
// kernel, SHARE (query heads that share a key head), INT8 (1: weights are int8 with a scale for each row), and what linear kernels
// have under way at once.

typedef unsigned short bf16;

#ifndef PLAYED  // what a CPU that plays these threads has its own of (tests/inference_image/cuda_on_cpu.py)
__device__ void product(float* c, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
__device__ uint4 once(const void* at) {  // read once, its neighbours next: it takes no room in L1 from what is read often
    uint4 v;
    asm("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(at));
    return v;
}
__device__ float fresh(const float* at) {  // what another multiprocessor wrote a moment ago
    float v;
    asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(v) : "l"(at));
    return v;
}
__device__ void fresh4(const float* at, float* v) {
    asm volatile("ld.global.cg.v4.f32 {%0,%1,%2,%3}, [%4];" : "=f"(v[0]), "=f"(v[1]), "=f"(v[2]), "=f"(v[3]) : "l"(at));
}
#endif

#define EVERY 0xffffffffu
#define WIDTH 256  // of a head
#define BLOCKS 32  // of one row and key head at most: a lane for each
#define LOG2E 1.4426950408889634f
#define NOTHING __uint_as_float(0xff800000u)  // minus infinity

__device__ float wide(bf16 bits) { return __uint_as_float((unsigned)bits << 16); }
__device__ float low(unsigned pair) { return __uint_as_float(pair << 16); }
__device__ float high(unsigned pair) { return __uint_as_float(pair & 0xffff0000u); }
__device__ bf16 narrow(float value) {  // to nearest, ties to even; NaN stays one
    unsigned bits = __float_as_uint(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fc0;
    return (bf16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
__device__ float rounded(float value) { return wide(narrow(value)); }
__device__ unsigned pair(float a, float b) { return (unsigned)narrow(a) | ((unsigned)narrow(b) << 16); }

__device__ void unpack(uint4 eight, float* out) {
    unsigned each[4] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
    for (int i = 0; i < 4; i++) out[2 * i] = low(each[i]), out[2 * i + 1] = high(each[i]);
}
__device__ uint4 packed(const float* v) {
    uint4 out = {pair(v[0], v[1]), pair(v[2], v[3]), pair(v[4], v[5]), pair(v[6], v[7])};
    return out;
}

__device__ float sum_of_warp(float v) {
#pragma unroll
    for (int other = 16; other > 0; other >>= 1) v += __shfl_xor_sync(EVERY, v, other);
    return v;
}
__device__ float sum_of_block(float v, float* shared) {  // shared: 32, not used before
    int lane = threadIdx.x & 31;
    v = sum_of_warp(v);
    if (lane == 0) shared[threadIdx.x >> 5] = v;
    __syncthreads();
    return sum_of_warp(lane < (blockDim.x >> 5) ? shared[lane] : 0.0f);
}

#if INT8
typedef signed char weight;
#define EACH 16
// Eight int8 as four pairs of bfloat16, exactly: byte b + 128 in the last digits of 2^23, less 2^23 + 128; seven bits are enough.
__device__ void pairs(unsigned first, unsigned second, unsigned* out) {
    unsigned both[2] = {first ^ 0x80808080u, second ^ 0x80808080u};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        unsigned four = both[i >> 1];
        float a = __uint_as_float(__byte_perm(four, 0x4b000000u, 0x7650 + 2 * (i & 1))) - 8388736.0f;
        float b = __uint_as_float(__byte_perm(four, 0x4b000000u, 0x7651 + 2 * (i & 1))) - 8388736.0f;
        out[i] = __byte_perm(__float_as_uint(a), __float_as_uint(b), 0x7632);
    }
}
#else
typedef bf16 weight;
#define EACH 8
#endif

__device__ float gelu(float x) {  // tanh's approximation, as torch computes it
    float inner = 0.79788456080286535588f * (x + 0.044715f * (x * x * x));
    return 0.5f * x * (1.0f + tanhf(inner));
}

enum { PLAIN, GATED, PARTS };

template <int TILES, int STEPS>
__device__ void fetch(const weight* const* row, int column, int end, uint4 (*out)[STEPS]) {
    const uint4 none = {0, 0, 0, 0};
#pragma unroll
    for (int s = 0; s < STEPS; s++)
#pragma unroll
        for (int r = 0; r < TILES; r++) out[r][s] = column + s * 4 * EACH < end ? once(row[r] + column + s * 4 * EACH) : none;
}

// y = x W^T for up to 8 GROUPS rows of x. A block has TILES tiles of 8 rows of W; its warps share the columns, STEPS loads of a
// lane at once. Tensor cores take x as their left matrix; which column is which of its own does not matter to a sum, so a lane
// reads 16 bytes in one piece. PLAIN: up to three matrices side by side, y in bfloat16. GATED: gelu(x W0^T) * (x W1^T). PARTS:
// blocks in y have a slice of the columns each, y holds float32 sums [slices, count, n0].
template <int GROUPS, int TILES, int STEPS, int KIND>
__device__ void linear(const bf16* x, const weight* w0, const weight* w1, const weight* w2, const bf16* s0, const bf16* s1,
                       const bf16* s2, int n0, int n1, int n2, void* y, int count, int k, int slice) {
    enum { MATS = GROUPS > 2 ? 2 : 1, COLUMNS = STEPS * 4 * EACH, WIDE = TILES * 8, HIGH = GROUPS * 8 };
    __shared__ float shared[WARPS][WIDE][HIGH + 1];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, group = lane >> 2, quarter = lane & 3;
    int from = blockIdx.z * HIGH;
    int first = blockIdx.x * (KIND == GATED ? WIDE / 2 : WIDE), all = n0 + n1 + n2, before = 0, size = n0;
    const weight* w = w0;
    const bf16* scale = s0;
    if (KIND == PLAIN && first >= n0) {
        bool third = first >= n0 + n1;
        w = third ? w2 : w1, scale = third ? s2 : s1, before = third ? n0 + n1 : n0, size = third ? n2 : n1;
    }
    const weight* row[TILES];
#pragma unroll
    for (int r = 0; r < TILES; r++) {
        // beyond the last row: computed once more and not stored, so that all lanes stay together
        if (KIND == GATED)
            row[r] = ((r & 1) ? w1 : w0) + (long long)min(first + (r >> 1) * 8 + group, n0 - 1) * k;
        else
            row[r] = w + (long long)min(first - before + r * 8 + group, size - 1) * k;
    }
    float sums[TILES][MATS][4];
#pragma unroll
    for (int r = 0; r < TILES; r++)
#pragma unroll
        for (int m = 0; m < MATS; m++)
#pragma unroll
            for (int i = 0; i < 4; i++) sums[r][m][i] = 0.0f;
    const uint4 none = {0, 0, 0, 0};
    int end = min(k, (int)(blockIdx.y + 1) * slice), at = blockIdx.y * slice + warp * COLUMNS;
    uint4 next[TILES][STEPS];
    fetch<TILES, STEPS>(row, at + quarter * EACH, end, next);
    for (; at < end; at += WARPS * COLUMNS) {
        uint4 loaded[TILES][STEPS];
#pragma unroll
        for (int r = 0; r < TILES; r++)
#pragma unroll
            for (int s = 0; s < STEPS; s++) loaded[r][s] = next[r][s];
        fetch<TILES, STEPS>(row, at + WARPS * COLUMNS + quarter * EACH, end, next);  // on its way while these are multiplied
#pragma unroll
        for (int s = 0; s < STEPS; s++) {
            int column = at + (s * 4 + quarter) * EACH;
#pragma unroll
            for (int half = 0; half < EACH / 8; half++) {
                uint4 values[GROUPS];
#pragma unroll
                for (int g = 0; g < GROUPS; g++) {
                    int m = from + g * 8 + group;
                    values[g] = m < count && column < end ? *(const uint4*)(x + (long long)m * k + column + half * 8) : none;
                }
#pragma unroll
                for (int r = 0; r < TILES; r++) {
#if INT8
                    unsigned b[4];
                    pairs(half ? loaded[r][s].z : loaded[r][s].x, half ? loaded[r][s].w : loaded[r][s].y, b);
#else
                    unsigned b[4] = {loaded[r][s].x, loaded[r][s].y, loaded[r][s].z, loaded[r][s].w};
#endif
#pragma unroll
                    for (int m = 0; m < MATS; m++) {
                        uint4 a = values[2 * m], c = GROUPS > 1 ? values[GROUPS > 1 ? 2 * m + 1 : 0] : none;
                        product(sums[r][m], a.x, c.x, a.y, c.y, b[0], b[1]);
                        product(sums[r][m], a.z, c.z, a.w, c.w, b[2], b[3]);
                    }
                }
            }
        }
    }
#pragma unroll
    for (int r = 0; r < TILES; r++)
#pragma unroll
        for (int m = 0; m < MATS; m++)
#pragma unroll
            for (int i = 0; i < (GROUPS > 1 ? 4 : 2); i++)
                shared[warp][r * 8 + quarter * 2 + (i & 1)][m * 16 + (i >> 1) * 8 + group] = sums[r][m][i];
    __syncthreads();
    const int kept = KIND == GATED ? WIDE / 2 : WIDE;
    for (int i = threadIdx.x; i < kept * HIGH; i += WARPS * 32) {
        int n = i % kept, m = i / kept, column = KIND == GATED ? (n >> 3) * 16 + (n & 7) : n;
        if (from + m >= count || first - before + n >= size) continue;
        float sum = 0.0f, other = 0.0f;
#pragma unroll
        for (int one = 0; one < WARPS; one++) {
            sum += shared[one][column][m];
            if (KIND == GATED) other += shared[one][column + 8][m];
        }
#if INT8
        sum *= wide(scale[first - before + n]);
        if (KIND == GATED) other *= wide(s1[first + n]);
#endif
        long long place = (long long)(from + m) * all + first + n;
        if (KIND == PLAIN) ((bf16*)y)[place] = narrow(sum);
        if (KIND == GATED) ((bf16*)y)[(long long)(from + m) * n0 + first + n] = narrow(rounded(gelu(rounded(sum))) * rounded(other));
        if (KIND == PARTS) ((float*)y)[(long long)blockIdx.y * count * n0 + place] = sum;
    }
}

#define LINEAR(NAME, GROUPS, TILES, STEPS, KIND)                                                                             \
    extern "C" __global__ void __launch_bounds__(WARPS * 32) NAME##_##GROUPS(                                                \
        const bf16* x, const weight* w0, const weight* w1, const weight* w2, const bf16* s0, const bf16* s1, const bf16* s2, \
        int n0, int n1, int n2, void* y, int count, int k, int slice) {                                                      \
        linear<GROUPS, TILES, STEPS, KIND>(x, w0, w1, w2, s0, s1, s2, n0, n1, n2, y, count, k, slice);                       \
    }
#define LINEARS(GROUPS, TILES, STEPS)              \
    LINEAR(plain, GROUPS, TILES, STEPS, PLAIN)     \
    LINEAR(gated, GROUPS, TILES, STEPS, GATED)     \
    LINEAR(parts, GROUPS, TILES, STEPS, PARTS)
LINEARS(1, 2, LOADS_1)
#if INT8  // of bfloat16 torch's own products are quicker for more than eight rows; of int8 it has none
LINEARS(2, 2, LOADS_2)
LINEARS(4, TILES_4, LOADS_4)
#endif

// The token's row of the embedding, its first norm, and the angles of its position for both kinds of layer.
// rope: [count, kinds, WIDTH / 2] pairs of cosine and sine.
extern "C" __global__ void start(const long long* tokens, const long long* positions, const weight* embedding, const bf16* scales,
                                 float factor, const bf16* norm, bf16* residual, bf16* x, float* rope, const float* frequencies,
                                 const float* factors, int kinds, int hidden, float epsilon) {
    __shared__ float shared[32];
    int m = blockIdx.x, at = threadIdx.x * 8;
    long long token = tokens[m], place = (long long)m * hidden + at;
    float v[8], w[8], sum = 0.0f;
    if (at < hidden) {
#if INT8
        float scale = wide(scales[token]);
        for (int i = 0; i < 8; i++) v[i] = rounded(rounded((float)embedding[token * hidden + at + i] * scale) * factor);
#else
        unpack(*(const uint4*)(embedding + token * hidden + at), v);
        for (int i = 0; i < 8; i++) v[i] = rounded(v[i] * factor);
#endif
        *(uint4*)(residual + place) = packed(v);
        for (int i = 0; i < 8; i++) sum += v[i] * v[i];
    }
    float inverse = rsqrtf(sum_of_block(sum, shared) / hidden + epsilon);
    if (at < hidden) {
        unpack(*(const uint4*)(norm + at), w);
        for (int i = 0; i < 8; i++) v[i] = v[i] * inverse * (1.0f + w[i]);
        *(uint4*)(x + place) = packed(v);
    }
    float position = (float)positions[m];
    for (int i = threadIdx.x; i < kinds * (WIDTH / 2); i += blockDim.x) {
        float angle = position * frequencies[i], by = factors[i / (WIDTH / 2)];
        float* out = rope + ((long long)m * kinds * (WIDTH / 2) + i) * 2;
        out[0] = rounded(cosf(angle) * by);
        out[1] = rounded(sinf(angle) * by);
    }
}

// What a layer's half gave, normed and added to the residual; the norm before the next half.
// given: float32 [slices, count, hidden] of a linear kernel, or with no slices bfloat16 [count, hidden].
extern "C" __global__ void join(const void* given, int slices, const bf16* after, bf16* residual, const bf16* before, bf16* x,
                                int hidden, float epsilon) {
    __shared__ float shared[64];
    int m = blockIdx.x, at = threadIdx.x * 8;
    long long place = (long long)m * hidden + at;
    float v[8], r[8], sum = 0.0f;
    uint4 first, second;
    if (at < hidden) {
        first = *(const uint4*)(after + at), second = *(const uint4*)(before + at);
        unpack(*(const uint4*)(residual + place), r);
        if (slices == 0) {
            unpack(*(const uint4*)((const bf16*)given + place), v);
        } else {
            for (int i = 0; i < 8; i++) v[i] = 0.0f;
            const float* part = (const float*)given + place;
#pragma unroll 4
            for (int one = 0; one < slices; one++, part += (long long)gridDim.x * hidden) {
                uint4 half[2] = {((const uint4*)part)[0], ((const uint4*)part)[1]};
                unsigned bits[8] = {half[0].x, half[0].y, half[0].z, half[0].w, half[1].x, half[1].y, half[1].z, half[1].w};
#pragma unroll
                for (int i = 0; i < 8; i++) v[i] += __uint_as_float(bits[i]);
            }
        }
#pragma unroll
        for (int i = 0; i < 8; i++) {
            v[i] = rounded(v[i]);
            sum += v[i] * v[i];
        }
    }
    float inverse = rsqrtf(sum_of_block(sum, shared) / hidden + epsilon), w[8];
    sum = 0.0f;
    if (at < hidden) {
        unpack(first, w);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            r[i] = rounded(r[i] + rounded(v[i] * inverse * (1.0f + w[i])));
            sum += r[i] * r[i];
        }
        *(uint4*)(residual + place) = packed(r);
    }
    inverse = rsqrtf(sum_of_block(sum, shared + 32) / hidden + epsilon);
    if (at < hidden) {
        unpack(second, w);
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] = r[i] * inverse * (1.0f + w[i]);
        *(uint4*)(x + place) = packed(v);
    }
}

// gelu(gate) * up of [count, wide], with so many values from one row to the next: eight of them in a thread.
extern "C" __global__ void gate(const bf16* gates, const bf16* ups, bf16* y, int wide, int stride, int count) {
    long long at = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * 8;
    if (at >= (long long)wide * count) return;
    long long from = at / wide * stride + at % wide;
    float g[8], u[8];
    unpack(*(const uint4*)(gates + from), g);
    unpack(*(const uint4*)(ups + from), u);
#pragma unroll
    for (int i = 0; i < 8; i++) g[i] = rounded(gelu(g[i])) * u[i];
    *(uint4*)(y + at) = packed(g);
}

// A head of WIDTH values, eight in a lane: normed and turned by its position's angles.
__device__ void turned(const bf16* from, const bf16* norm, const float* rope, float epsilon, float* v) {
    int lane = threadIdx.x & 31;
    float w[8], sum = 0.0f;
    unpack(*(const uint4*)(from + lane * 8), v);
    unpack(*(const uint4*)(norm + lane * 8), w);
#pragma unroll
    for (int i = 0; i < 8; i++) sum += v[i] * v[i];
    float inverse = rsqrtf(sum_of_warp(sum) / WIDTH + epsilon);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float mine = rounded(v[i] * inverse * (1.0f + w[i])), other = __shfl_xor_sync(EVERY, mine, 16);
        const float* angle = rope + ((lane & 15) * 8 + i) * 2;
        v[i] = rounded(rounded(mine * angle[0]) + rounded((lane < 16 ? -other : other) * angle[1]));
    }
}

// Queries and keys of tokens [count, all heads, WIDTH], a warp for each head, in their place.
extern "C" __global__ void __launch_bounds__(128) turn(bf16* qkv, const float* rope, int kinds, int kind, const bf16* query_norm,
                                                       const bf16* key_norm, int heads, int keys, float epsilon) {
    int head = blockIdx.x * 4 + (threadIdx.x >> 5), lane = threadIdx.x & 31, m = blockIdx.y;
    if (head >= heads + keys) return;
    bf16* own = qkv + ((long long)m * (heads + 2 * keys) + head) * WIDTH;
    float v[8];
    turned(own, head < heads ? query_norm : key_norm, rope + (long long)(m * kinds + kind) * WIDTH, epsilon, v);
    *(uint4*)(own + lane * 8) = packed(v);
}

// A token's query heads see the keys of its row, and its own key and value go to their place. qkv: [count, SHARE key heads of
// queries, keys, values, each WIDTH]. A block takes `chunk` keys of one key head of one row; the last block of these to be done
// puts them together. `length`: places of a row, a ring where positions are beyond it. sums: [count, heads, BLOCKS, SHARE, WIDTH],
// tops: [count, heads, BLOCKS, SHARE, 2], done: zeros [count, heads], zeros again afterwards.
enum { KEYS = SHARE > 2 ? 4 : 8 };  // that a warp has under way at once
extern "C" __global__ void __launch_bounds__(128) attend(const bf16* qkv, bf16* keys, bf16* values, const long long* positions,
                                                         const float* rope, int kinds, int kind, const bf16* query_norm,
                                                         const bf16* key_norm, bf16* y, float* sums, float* tops, int* done,
                                                         int length, int chunk, float scale, float epsilon) {
    __shared__ float queries[SHARE][WIDTH];
    __shared__ uint4 newest[2][32];
    __shared__ float most[4][SHARE], mass[4][SHARE], seen[4][SHARE][WIDTH];
    __shared__ int last;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, head = blockIdx.y, heads = gridDim.y, m = blockIdx.z;
    long long position = positions[m];
    int held = position + 1 < length ? (int)position + 1 : length, place = (int)(position % length);
    // A row that nobody reads may stand beyond the reach of the others: no block of it is waited for that is not there.
    int used = min((held + chunk - 1) / chunk, (int)gridDim.x), begin = blockIdx.x * chunk, end = min(held, begin + chunk);
    if ((int)blockIdx.x >= used) return;
    bool mine = place >= begin && place < end;
    const bf16* row = qkv + (long long)m * heads * (SHARE + 2) * WIDTH;
    long long base = ((long long)m * heads + head) * length * WIDTH + lane * 8;
    const float* angles = rope + (long long)(m * kinds + kind) * WIDTH;
    uint4 k[KEYS], v[KEYS];
    int key = begin + warp * KEYS;
#pragma unroll
    for (int j = 0; j < KEYS; j++) {  // on their way while queries are made
        long long at = base + (long long)min(key + j, end - 1) * WIDTH;
        k[j] = *(const uint4*)(keys + at), v[j] = *(const uint4*)(values + at);
    }
    for (int job = warp; job < SHARE + (mine ? 2 : 0); job += 4) {
        float own[8];
        if (job < SHARE) {
            turned(row + (head * SHARE + job) * WIDTH, query_norm, angles, epsilon, own);
#pragma unroll
            for (int i = 0; i < 8; i++) queries[job][lane * 8 + i] = own[i] * (scale * LOG2E);
        } else if (job == SHARE) {
            turned(row + (heads * SHARE + head) * WIDTH, key_norm, angles, epsilon, own);
            newest[0][lane] = packed(own);
            *(uint4*)(keys + base + (long long)place * WIDTH) = newest[0][lane];
        } else {
            newest[1][lane] = *(const uint4*)(row + (heads * (SHARE + 1) + head) * WIDTH + lane * 8);
            *(uint4*)(values + base + (long long)place * WIDTH) = newest[1][lane];
        }
    }
    __syncthreads();
    float q[SHARE][8], top[SHARE], total[SHARE], sum[SHARE][8];
#pragma unroll
    for (int g = 0; g < SHARE; g++) {
        top[g] = NOTHING, total[g] = 0.0f;
#pragma unroll
        for (int i = 0; i < 8; i++) q[g][i] = queries[g][lane * 8 + i], sum[g][i] = 0.0f;
    }
    while (key < end) {
        float scores[SHARE][KEYS], wide8[8];
#pragma unroll
        for (int j = 0; j < KEYS; j++) {
            if (mine && key + j == place) k[j] = newest[0][lane], v[j] = newest[1][lane];
            unpack(k[j], wide8);
#pragma unroll
            for (int g = 0; g < SHARE; g++) {
                float dot = 0.0f;
#pragma unroll
                for (int i = 0; i < 8; i++) dot += q[g][i] * wide8[i];
                scores[g][j] = dot;
            }
        }
#pragma unroll
        for (int g = 0; g < SHARE; g++) {
            float higher = top[g];
#pragma unroll
            for (int j = 0; j < KEYS; j++) {
                scores[g][j] = key + j < end ? sum_of_warp(scores[g][j]) : NOTHING;
                higher = fmaxf(higher, scores[g][j]);
            }
            float shrunk = exp2f(top[g] - higher);
            top[g] = higher, total[g] *= shrunk;
#pragma unroll
            for (int i = 0; i < 8; i++) sum[g][i] *= shrunk;
#pragma unroll
            for (int j = 0; j < KEYS; j++) total[g] += scores[g][j] = exp2f(scores[g][j] - higher);
        }
#pragma unroll
        for (int j = 0; j < KEYS; j++) {
            unpack(v[j], wide8);
#pragma unroll
            for (int g = 0; g < SHARE; g++)
#pragma unroll
                for (int i = 0; i < 8; i++) sum[g][i] += scores[g][j] * wide8[i];
        }
        key += 4 * KEYS;
        if (key >= end) break;
#pragma unroll
        for (int j = 0; j < KEYS; j++) {
            long long at = base + (long long)min(key + j, end - 1) * WIDTH;
            k[j] = *(const uint4*)(keys + at), v[j] = *(const uint4*)(values + at);
        }
    }
#pragma unroll
    for (int g = 0; g < SHARE; g++) {
        if (lane == 0) most[warp][g] = top[g], mass[warp][g] = total[g];
#pragma unroll
        for (int i = 0; i < 8; i++) seen[warp][g][lane * 8 + i] = sum[g][i];
    }
    __syncthreads();
    bf16* out = y + ((long long)m * heads + head) * SHARE * WIDTH;
    float* part = sums + ((long long)m * heads + head) * BLOCKS * SHARE * WIDTH;
    float* peak = tops + ((long long)m * heads + head) * BLOCKS * SHARE * 2;
    for (int i = threadIdx.x; i < SHARE * WIDTH; i += 128) {
        int g = i / WIDTH, at = i % WIDTH;
        float highest = fmaxf(fmaxf(most[0][g], most[1][g]), fmaxf(most[2][g], most[3][g])), all = 0.0f, value = 0.0f;
#pragma unroll
        for (int one = 0; one < 4; one++) {
            float share = exp2f(most[one][g] - highest);
            all += mass[one][g] * share, value += seen[one][g][at] * share;
        }
        if (used == 1) {
            out[i] = narrow(value / all);
        } else {
            part[blockIdx.x * SHARE * WIDTH + i] = value;
            if (at == 0) peak[(blockIdx.x * SHARE + g) * 2] = highest, peak[(blockIdx.x * SHARE + g) * 2 + 1] = all;
        }
    }
    if (used == 1) return;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicAdd(done + m * heads + head, 1) == used - 1;
    __syncthreads();
    if (!last) return;
    __threadfence();
    if (threadIdx.x == 0) done[m * heads + head] = 0;
    float(*shares)[BLOCKS] = (float(*)[BLOCKS])queries;  // not needed any more, and larger
    for (int g = warp; g < SHARE; g += 4) {
        const float* of = peak + (lane * SHARE + g) * 2;
        float own = lane < used ? fresh(of) : NOTHING, highest = own;
        for (int other = 16; other > 0; other >>= 1) highest = fmaxf(highest, __shfl_xor_sync(EVERY, highest, other));
        float share = exp2f(own - highest), all = sum_of_warp(lane < used ? fresh(of + 1) * share : 0.0f);
        shares[g][lane] = share / all;
    }
    __syncthreads();
    for (int i = threadIdx.x * 4; i < SHARE * WIDTH; i += 512) {
        int g = i / WIDTH;
        float value[4] = {0.0f, 0.0f, 0.0f, 0.0f}, of[4];
#pragma unroll 16
        for (int one = 0; one < used; one++) {
            fresh4(part + one * SHARE * WIDTH + i, of);
#pragma unroll
            for (int j = 0; j < 4; j++) value[j] += of[j] * shares[g][one];
        }
#pragma unroll
        for (int j = 0; j < 4; j++) out[i + j] = narrow(value[j]);
    }
}
