// The host's matrix product: which path, and the OpenBLAS path: one thread per tile under the pool,
// over tiles fixed by the shape. It serves processors without AVX2 and checks the other paths.
//
// A task computes one tile of C. bf16 operands are widened K_SLICE columns at a time into the
// thread's scratch; a bf16 result is summed in scratch and rounded once. No path depends on the
// thread count.
#include <cblas.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "matmul.h"

/// Tiles of 512 × 512 lose 5 % to OpenBLAS packing operands once per tile; 256 × 256 lose 15 %.
enum { TILE = 512, TILE_MINIMUM = 64, K_SLICE = 512 };

/// Below this many tiles the larger side is halved: enough for two threads to balance.
#define WANTED_TILES 8

typedef struct tiling {
    uint64_t tile_m, tile_n, count_m, count_n;
    uint64_t a_floats, b_floats, c_floats; // scratch of one thread; 0 where the operand is f32
} tiling;

static uint64_t ceil_div(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }
static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

static tiling tile(const forja_matmul_args *args) {
    tiling t = {.tile_m = TILE, .tile_n = TILE};
    for (;;) {
        t.count_m = ceil_div(args->m, t.tile_m);
        t.count_n = ceil_div(args->n, t.tile_n);
        if (forja__product(forja__product(t.count_m, t.count_n), args->batch_count) >= WANTED_TILES)
            break;
        uint64_t side_m = least(t.tile_m, args->m), side_n = least(t.tile_n, args->n);
        uint64_t *longer = side_m >= side_n ? &t.tile_m : &t.tile_n;
        if (*longer <= TILE_MINIMUM)
            break;
        *longer /= 2;
    }
    uint64_t rows = least(t.tile_m, args->m), columns = least(t.tile_n, args->n);
    uint64_t depth = least(K_SLICE, args->k);
    if (args->input_dtype == FORJA_DTYPE_BF16) {
        t.a_floats = rows * depth;
        t.b_floats = columns * depth;
    }
    if (args->output_dtype == FORJA_DTYPE_BF16)
        t.c_floats = rows * columns;
    return t;
}

static uint64_t scratch_floats(const tiling *t) {
    return (t->a_floats + t->b_floats + t->c_floats + 15) & ~UINT64_C(15);
}

forja__matmul_operand forja__matmul_a(const forja_matmul_args *args, uint64_t batch) {
    uint64_t offset = batch * args->a_stride;
    if (args->input_dtype == FORJA_DTYPE_BF16)
        return (forja__matmul_operand){NULL, forja__ptr(args->a, forja__bf16) + offset, args->lda};
    return (forja__matmul_operand){forja__ptr(args->a, float) + offset, NULL, args->lda};
}

forja__matmul_operand forja__matmul_b(const forja_matmul_args *args, uint64_t batch) {
    uint64_t offset = batch * args->b_stride;
    if (args->input_dtype == FORJA_DTYPE_BF16)
        return (forja__matmul_operand){NULL, forja__ptr(args->b, forja__bf16) + offset, args->ldb};
    return (forja__matmul_operand){forja__ptr(args->b, float) + offset, NULL, args->ldb};
}

forja__matmul_result forja__matmul_c(const forja_matmul_args *args, uint64_t batch) {
    uint64_t offset = batch * args->c_stride;
    if (args->output_dtype == FORJA_DTYPE_BF16)
        return (forja__matmul_result){NULL, forja__ptr(args->c, forja__bf16) + offset, args->ldc};
    return (forja__matmul_result){forja__ptr(args->c, float) + offset, NULL, args->ldc};
}

/// The rows × columns block of a stored matrix at (row, column); bf16 goes through `scratch`.
static const float *block(forja__matmul_operand x, uint64_t row, uint64_t column, uint64_t rows,
                          uint64_t columns, float *scratch, uint64_t *stride) {
    uint64_t offset = row * x.stride + column;
    if (x.f32) {
        *stride = x.stride;
        return x.f32 + offset;
    }
    *stride = columns;
    for (uint64_t i = 0; i < rows; i++)
        for (uint64_t j = 0; j < columns; j++)
            scratch[i * columns + j] = forja__float_from_bf16(x.bf16[offset + i * x.stride + j]);
    return scratch;
}

typedef struct job {
    const forja_matmul_args *args;
    tiling tiling;
    float *scratch; // scratch_floats per thread
} job;

static void compute_tile(void *context, uint64_t index, uint32_t thread) {
    const job *job = context;
    const forja_matmul_args *args = job->args;
    const tiling *t = &job->tiling;
    uint64_t batch = index / (t->count_m * t->count_n), place = index % (t->count_m * t->count_n);
    uint64_t row = place / t->count_n * t->tile_m, column = place % t->count_n * t->tile_n;
    uint64_t rows = least(t->tile_m, args->m - row), columns = least(t->tile_n, args->n - column);
    forja__matmul_operand a = forja__matmul_a(args, batch), b = forja__matmul_b(args, batch);
    forja__matmul_result c = forja__matmul_c(args, batch);
    bool a_transposed = args->layout == FORJA_MATMUL_TN;
    bool b_transposed = args->layout == FORJA_MATMUL_NT;

    float *a_scratch = job->scratch ? job->scratch + thread * scratch_floats(t) : NULL;
    float *b_scratch = a_scratch ? a_scratch + t->a_floats : NULL;
    float *sum = a_scratch ? b_scratch + t->b_floats : NULL;
    uint64_t sum_stride = columns;
    if (c.f32) {
        sum = c.f32 + row * c.stride + column;
        sum_stride = c.stride;
    }
    // OpenBLAS blocks k itself; slices serve the scratch and, for f32, the int of its interface.
    uint64_t slice = a.f32 ? UINT64_C(1) << 24 : K_SLICE;
    for (uint64_t k = 0; k < args->k; k += slice) {
        uint64_t depth = least(slice, args->k - k), lda, ldb;
        const float *left = a_transposed ? block(a, k, row, depth, rows, a_scratch, &lda)
                                         : block(a, row, k, rows, depth, a_scratch, &lda);
        const float *right = b_transposed
                                 ? block(b, column, k, columns, depth, b_scratch, &ldb)
                                 : block(b, k, column, depth, columns, b_scratch, &ldb);
        bool adds = k > 0 || (c.f32 && args->accumulate);
        cblas_sgemm(CblasRowMajor, a_transposed ? CblasTrans : CblasNoTrans,
                    b_transposed ? CblasTrans : CblasNoTrans, (blasint)rows, (blasint)columns,
                    (blasint)depth, args->alpha, left, (blasint)lda, right, (blasint)ldb,
                    adds ? 1.0f : 0.0f, sum, (blasint)sum_stride);
    }
    if (c.f32)
        return;
    for (uint64_t i = 0; i < rows; i++) {
        forja__bf16 *out = c.bf16 + (row + i) * c.stride + column;
        for (uint64_t j = 0; j < columns; j++) {
            float value = sum[i * columns + j];
            if (args->accumulate)
                value += forja__float_from_bf16(out[j]);
            out[j] = forja__bf16_from_float(value);
        }
    }
}

/// Row `index` of all batches := 0.
static void clear_row(void *context, uint64_t index, uint32_t thread) {
    (void)thread;
    const forja_matmul_args *args = context;
    forja__matmul_result c = forja__matmul_c(args, index / args->m);
    uint64_t offset = index % args->m * c.stride;
    if (c.f32)
        memset(c.f32 + offset, 0, args->n * sizeof(float));
    else
        memset(c.bf16 + offset, 0, args->n * sizeof(forja__bf16));
}

/// FORJA_MATMUL_HOST=blas takes OpenBLAS where the panels would do: for tests and comparisons.
static bool uses_panels(void) {
    const char *name = getenv("FORJA_MATMUL_HOST");
    return !(name && strcmp(name, "blas") == 0) && forja__matmul_panels_applies();
}

uint64_t forja__cpu_matmul_workspace_bytes(const forja_device *device,
                                           const forja_matmul_args *args) {
    if (args->k == 0 || forja__matmul_rows_applies(args))
        return 0;
    if (uses_panels())
        return forja__matmul_panels_workspace_bytes(args);
    tiling t = tile(args);
    return scratch_floats(&t) * sizeof(float) * forja__pool_thread_count(device->pool);
}

forja_status forja__cpu_matmul(forja_queue *queue, const forja_matmul_args *args) {
    forja__pool *pool = queue->device->pool;
    if (args->k == 0) {
        if (!args->accumulate)
            forja__pool_run(pool, args->m * args->batch_count, clear_row, (void *)args);
        return FORJA_OK;
    }
    if (forja__matmul_rows_applies(args)) {
        forja__matmul_rows(pool, args);
        return FORJA_OK;
    }
    float *scratch = NULL;
    uint64_t bytes = forja__cpu_matmul_workspace_bytes(queue->device, args);
    if (bytes > 0) {
        forja_buffer *workspace;
        FORJA__TRY(forja__queue_workspace(&workspace, queue, bytes));
        scratch = workspace->host;
    }
    if (uses_panels()) {
        forja__matmul_panels(pool, args, scratch);
        return FORJA_OK;
    }
    if (args->lda > INT_MAX || args->ldb > INT_MAX || args->ldc > INT_MAX)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "matmul: a row stride above %d elements does not fit BLAS; "
                           "copy the matrix to a denser one",
                           INT_MAX);
    job job = {.args = args, .tiling = tile(args), .scratch = scratch};
    forja__pool_run(pool, job.tiling.count_m * job.tiling.count_n * args->batch_count,
                    compute_tile, &job);
    return FORJA_OK;
}
