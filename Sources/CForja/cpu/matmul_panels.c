// The host's matrix product over packed panels, for x86-64 with AVX-512 or AVX2.
//
// All threads pack A once; then each task packs the panel of B that it multiplies with a register
// tile, as in kernels/matmul_cpu.cl. OpenBLAS under the pool packs both once per tile instead. bf16 is
// widened while it is packed. The sums are those of kernels/matmul.cl, bit for bit.
#include <stdalign.h>
#include <string.h>

#include "instruction_set.h"
#include "matmul_panels.h"

#ifdef __x86_64__

#define INLINE static inline __attribute__((always_inline))

INLINE uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }
INLINE uint64_t most(uint64_t a, uint64_t b) { return a > b ? a : b; }
INLINE uint64_t ceil_div(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }

typedef float quad __attribute__((vector_size(4 * sizeof(float))));

INLINE float load1(forja__matmul_operand x, bool is_bf16, uint64_t place) {
    return is_bf16 ? forja__float_from_bf16(x.bf16[place]) : x.f32[place];
}

INLINE void load4(quad *out, forja__matmul_operand x, bool is_bf16, uint64_t place) {
    if (is_bf16) {
        typedef uint16_t halves __attribute__((vector_size(4 * sizeof(uint16_t))));
        typedef uint32_t words __attribute__((vector_size(4 * sizeof(uint32_t))));
        halves stored;
        memcpy(&stored, x.bf16 + place, sizeof stored);
        words bits = __builtin_convertvector(stored, words) << 16;
        memcpy(out, &bits, sizeof *out);
    } else {
        memcpy(out, x.f32 + place, sizeof *out);
    }
}

INLINE void transpose4(quad out[4], const quad in[4]) {
    quad low01 = __builtin_shufflevector(in[0], in[1], 0, 4, 1, 5);
    quad high01 = __builtin_shufflevector(in[0], in[1], 2, 6, 3, 7);
    quad low23 = __builtin_shufflevector(in[2], in[3], 0, 4, 1, 5);
    quad high23 = __builtin_shufflevector(in[2], in[3], 2, 6, 3, 7);
    out[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
    out[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
    out[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
    out[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
}

INLINE void store1(forja__matmul_result c, uint64_t place, float sum, float alpha,
                   bool accumulate) {
    float value = sum * alpha;
    if (accumulate) {
        float before = c.f32 ? c.f32[place] : forja__float_from_bf16(c.bf16[place]);
        value = sum * alpha + before;
    }
    if (c.f32)
        c.f32[place] = value;
    else
        c.bf16[place] = forja__bf16_from_float(value);
}

typedef struct instruction_set {
    uint64_t height, width; // of the register tile
    forja__task *pack, *multiply;
} instruction_set;

#define VECTOR 16
#define HEIGHT 12
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
#define NAMED(x) avx512_##x
#include "matmul_panels_kernels.inc"

#define VECTOR 8
#define HEIGHT 6
#define TARGET __attribute__((target("avx2,fma")))
#define NAMED(x) avx2_##x
#include "matmul_panels_kernels.inc"

static const instruction_set *best_set(void) {
    const forja__instruction_set set = forja__host_instruction_set();
    return set == FORJA__AVX512 ? &avx512_set : set == FORJA__AVX2 ? &avx2_set : NULL;
}

/// Floats of A that are packed at a time (8 MB), and the sides of a block that are never cut further.
enum { BLOCK_FLOATS = 1 << 21, BLOCK_M = 2048, BLOCK_K = 1024 };
/// Columns of a block where sums wait in memory between blocks of k.
enum { BLOCK_N = 4096 };

/// A task has at most FORJA__ROWS_PER_TASK rows of A, or fewer, down to PANELS_LEAST panels, where
/// there would be fewer than TASKS_PER_THREAD tasks for each thread.
enum { PANELS_LEAST = 8, TASKS_PER_THREAD = 8 };

typedef struct blocking {
    uint64_t m, n, k;
    uint64_t sum_place, total; // in floats from the start of the workspace
} blocking;

/// Extent ÷ ⌈extent / limit⌉, rounded up to `unit`: equal blocks instead of a small last one.
static uint64_t even_block(uint64_t extent, uint64_t limit, uint64_t unit) {
    return ceil_div(ceil_div(extent, ceil_div(extent, limit)), unit) * unit;
}

static blocking make_blocking(const instruction_set *set, const forja_matmul_args *args) {
    uint64_t k = even_block(args->k, most(BLOCK_K, BLOCK_FLOATS / least(args->m, BLOCK_M)), 16);
    blocking b = {.k = least(args->k, k)};
    bool is_deep = b.k < args->k;
    b.m = even_block(args->m, most(BLOCK_M, BLOCK_FLOATS / b.k), set->height);
    b.n = even_block(args->n, is_deep ? BLOCK_N : args->n, set->width);
    b.sum_place = ceil_div(b.m * b.k, 16) * 16;
    b.total = b.sum_place + (is_deep ? b.m * b.n : 0);
    return b;
}

/// How many tasks share `a_panels` panels of A for each of `b_panels`.
static uint64_t row_task_count(const forja__pool *pool, const instruction_set *set,
                               uint64_t a_panels, uint64_t b_panels) {
    uint64_t fewest = ceil_div(a_panels, FORJA__ROWS_PER_TASK / set->height);
    uint64_t greatest = ceil_div(a_panels, PANELS_LEAST);
    uint64_t wanted =
        ceil_div(TASKS_PER_THREAD * (uint64_t)forja__pool_thread_count(pool), b_panels);
    return most(fewest, least(greatest, wanted));
}

bool forja__matmul_panels_applies(void) { return best_set() != NULL; }

uint64_t forja__matmul_panels_workspace_bytes(const forja_matmul_args *args) {
    return make_blocking(best_set(), args).total * sizeof(float);
}

static forja__matmul_operand moved(forja__matmul_operand x, uint64_t elements) {
    if (x.f32)
        x.f32 += elements;
    else
        x.bf16 += elements;
    return x;
}

static void run_block(forja__pool *pool, const instruction_set *set, const forja_matmul_args *args,
                      const blocking *b, float *workspace, uint64_t batch, uint64_t row,
                      uint64_t column, uint64_t k) {
    forja__panels_block block = {
        .a_k_major = args->layout == FORJA_MATMUL_TN,
        .b_k_major = args->layout != FORJA_MATMUL_NT,
        .c = forja__matmul_c(args, batch),
        .rows = least(b->m, args->m - row),
        .columns = least(b->n, args->n - column),
        .depth = least(b->k, args->k - k),
        .a_packed = workspace,
        .sums = workspace + b->sum_place,
        .sum_stride = b->n,
        .alpha = args->alpha,
        .accumulate = args->accumulate,
        .is_first = k == 0,
    };
    block.is_last = k + block.depth == args->k;
    block.a = moved(forja__matmul_a(args, batch),
                    block.a_k_major ? k * args->lda + row : row * args->lda + k);
    block.b = moved(forja__matmul_b(args, batch),
                    block.b_k_major ? k * args->ldb + column : column * args->ldb + k);
    if (block.c.f32)
        block.c.f32 += row * args->ldc + column;
    else
        block.c.bf16 += row * args->ldc + column;
    uint64_t a_panels = ceil_div(block.rows, set->height);
    uint64_t b_panels = ceil_div(block.columns, set->width);
    block.a_groups = ceil_div(a_panels, FORJA__PANELS_PER_PACK);
    block.row_tasks = row_task_count(pool, set, a_panels, b_panels);
    // Where k is one block, columns are too, and nothing of A is packed twice.
    forja__pool_run(pool, block.a_groups * ceil_div(block.depth, FORJA__PACK_DEPTH), set->pack,
                    &block);
    forja__pool_run(pool, block.row_tasks * b_panels, set->multiply, &block);
}

void forja__matmul_panels(forja__pool *pool, const forja_matmul_args *args, float *workspace) {
    const instruction_set *set = best_set();
    blocking b = make_blocking(set, args);
    for (uint64_t batch = 0; batch < args->batch_count; batch++)
        for (uint64_t row = 0; row < args->m; row += b.m)
            for (uint64_t column = 0; column < args->n; column += b.n)
                for (uint64_t k = 0; k < args->k; k += b.k)
                    run_block(pool, set, args, &b, workspace, batch, row, column, k);
}

#else

bool forja__matmul_panels_applies(void) { return false; }
uint64_t forja__matmul_panels_workspace_bytes(const forja_matmul_args *args) {
    (void)args;
    return 0;
}
void forja__matmul_panels(forja__pool *pool, const forja_matmul_args *args, float *workspace) {
    (void)pool, (void)args, (void)workspace;
}

#endif
