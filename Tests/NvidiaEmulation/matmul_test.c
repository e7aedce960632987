// The matrix product against float64: every tile, layout and output type, ragged sizes, batches,
// padding, accumulation.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../Sources/CForja/opencl/nv_mma.h"
#include "emulator.h"
#include "support.h"

typedef void matmul_kernel(const uint16_t *a, uint64_t a_offset, uint64_t a_stride,
                           uint64_t a_batch, const uint16_t *b, uint64_t b_offset,
                           uint64_t b_stride, uint64_t b_batch, void *c, uint64_t c_offset,
                           uint64_t c_stride, uint64_t c_batch, uint64_t rows, uint64_t columns,
                           uint64_t depth, float alpha, int accumulate);

#define MATMUL_VARIANT(symbol, tile, layout, is_bf16, is_aligned) matmul_kernel K_##symbol;
#define FORWARD_VARIANT(...)
#define DQ_VARIANT(...)
#define DKV_VARIANT(...)
#include "variants.inc"
#undef MATMUL_VARIANT

typedef struct variant {
    const char *name;
    matmul_kernel *kernel;
    int tile; /// -1: wgmma's
    forja_matmul_layout layout;
    bool is_bf16, is_aligned;
} variant;
static const variant variants[] = {
#define MATMUL_VARIANT(symbol, ...) {#symbol, K_##symbol, __VA_ARGS__},
#include "variants.inc"
};

/// Offsets, strides and padding of a matrix of `lines` by `width`, `batch` times.
typedef struct matrix {
    uint64_t offset, stride, batch_stride, elements;
} matrix;

static matrix lay_out(uint64_t lines, uint64_t width, uint64_t batch, bool is_shared,
                      uint64_t unit) {
    matrix x = {.offset = unit == 1 ? 3 : 2 * unit};
    // Some padding between rows and between matrices, which holds NaN.
    x.stride = (width + unit - 1) / unit * unit + unit;
    x.batch_stride = is_shared ? 0 : lines * x.stride + unit;
    x.elements = x.offset + (batch - 1) * x.batch_stride + (lines - 1) * x.stride + width;
    return x;
}

typedef struct shape {
    uint64_t m, n, k, batch;
    bool b_is_shared, accumulates;
    float alpha;
} shape;

typedef struct call {
    matmul_kernel *kernel;
    matrix a_at, b_at, c_at;
    const uint16_t *a, *b;
    void *c;
    shape shape;
} call;

static void run(const void *arguments) {
    const call *x = arguments;
    x->kernel(x->a, x->a_at.offset, x->a_at.stride, x->a_at.batch_stride, x->b, x->b_at.offset,
              x->b_at.stride, x->b_at.batch_stride, x->c, x->c_at.offset, x->c_at.stride,
              x->c_at.batch_stride, x->shape.m, x->shape.n, x->shape.k, x->shape.alpha,
              x->shape.accumulates);
}

/// NaN everywhere but in the matrices.
static uint16_t *random_matrix(matrix x, uint64_t lines, uint64_t width, uint64_t batch,
                               uint64_t *seed) {
    uint16_t *memory = guarded_alloc(x.elements * 2);
    for (uint64_t i = 0; i < x.elements; i++)
        memory[i] = 0x7fc0;
    for (uint64_t b = 0; b < batch; b++)
        for (uint64_t i = 0; i < lines; i++)
            for (uint64_t j = 0; j < width; j++)
                memory[x.offset + b * x.batch_stride + i * x.stride + j] =
                    to_bf16(next_random(seed));
    return memory;
}

static double read_element(const void *c, bool is_bf16, uint64_t place) {
    return is_bf16 ? from_bf16(((const uint16_t *)c)[place]) : ((const float *)c)[place];
}

/// The element of C that float64 gives, and the size of the terms that were added up.
static double expected_element(const call *x, forja_matmul_layout layout, double before,
                               uint64_t batch, uint64_t m, uint64_t n, double *size) {
    double sum = 0, terms = 0;
    const uint16_t *a = x->a + x->a_at.offset + batch * x->a_at.batch_stride;
    const uint16_t *b = x->b + x->b_at.offset + batch * x->b_at.batch_stride;
    for (uint64_t k = 0; k < x->shape.k; k++) {
        double left = from_bf16(layout == FORJA_MATMUL_TN ? a[k * x->a_at.stride + m]
                                                          : a[m * x->a_at.stride + k]);
        double right = from_bf16(layout == FORJA_MATMUL_NT ? b[n * x->b_at.stride + k]
                                                           : b[k * x->b_at.stride + n]);
        sum += left * right;
        terms += fabs(left * right);
    }
    *size = fabs(x->shape.alpha) * terms + fabs(before);
    return x->shape.alpha * sum + before;
}

/// What the first tile gave for a shape; every other tile has to give the same bits, because a
/// tuner may exchange them.
static void *first_results[64][3][2][2];

static void check(const variant *v, size_t shape_number, shape s) {
    uint64_t seed = s.m * 1000003 + s.n * 1009 + s.k;
    const uint64_t unit = v->is_aligned ? 8 : 1;
    const bool a_k_major = v->layout == FORJA_MATMUL_TN, b_k_major = v->layout != FORJA_MATMUL_NT;
    const uint64_t a_lines = a_k_major ? s.k : s.m, a_width = a_k_major ? s.m : s.k;
    const uint64_t b_lines = b_k_major ? s.k : s.n, b_width = b_k_major ? s.n : s.k;
    call x = {.kernel = v->kernel, .shape = s};
    x.a_at = lay_out(a_lines, a_width, s.batch, false, unit);
    x.b_at = lay_out(b_lines, b_width, s.batch, s.b_is_shared, unit);
    x.c_at = lay_out(s.m, s.n, s.batch, false, v->is_aligned ? 2 : 1);
    uint16_t *a = random_matrix(x.a_at, a_lines, a_width, s.batch, &seed);
    uint16_t *b = random_matrix(x.b_at, b_lines, b_width, s.batch, &seed);
    x.a = a;
    x.b = b;

    // C starts as numbers where they are added to, else as NaN; in its padding nothing may change.
    const size_t c_bytes = x.c_at.elements * (v->is_bf16 ? 2 : 4);
    void *before = malloc(c_bytes), *results[2];
    memset(before, 0xff, c_bytes);
    if (s.accumulates)
        for (uint64_t i = 0; i < x.c_at.elements; i++) {
            float value = next_random(&seed);
            if (v->is_bf16)
                ((uint16_t *)before)[i] = to_bf16(value);
            else
                ((float *)before)[i] = value;
        }
    const forja__matmul_nv_mma_tile *tile =
        v->tile < 0 ? &forja__matmul_nv_wgmma_tile : &forja__matmul_nv_mma_tiles[v->tile];
    const uint32_t blocks = (uint32_t)(((s.m + tile->block_m - 1) / tile->block_m) *
                                       ((s.n + tile->block_n - 1) / tile->block_n));
    for (int order = 0; order < 2; order++) {
        x.c = results[order] = guarded_alloc(c_bytes);
        memcpy(x.c, before, c_bytes);
        emulate(run, &x, (uint32_t[]){blocks, (uint32_t)s.batch, 1},
                forja__matmul_nv_mma_work_items(tile), (emulated_order)order);
    }
    char name[160];
    snprintf(name, sizeof name, "%s %llux%llux%llu", v->name, (unsigned long long)s.m,
             (unsigned long long)s.n, (unsigned long long)s.k);
    expect_same(name, results[0], results[1], c_bytes);
    void **first = &first_results[shape_number][v->layout][v->is_bf16][v->is_aligned];
    if (!*first)
        *first = memcpy(malloc(c_bytes), results[0], c_bytes);
    expect_same(name, results[0], *first, c_bytes);

    // The sum's bound is Tolerance.sum of Tests/CForjaTests; a bf16 result rounds once more.
    uint8_t *untouched = results[0];
    const size_t element = v->is_bf16 ? 2 : 4;
    for (uint64_t batch = 0; batch < s.batch; batch++)
        for (uint64_t m = 0; m < s.m; m++)
            for (uint64_t n = 0; n < s.n; n++) {
                uint64_t at = x.c_at.offset + batch * x.c_at.batch_stride + m * x.c_at.stride + n;
                double old = s.accumulates ? read_element(before, v->is_bf16, at) : 0, size;
                double expected = expected_element(&x, v->layout, old, batch, m, n, &size);
                double bound = 0x1p-18 * size + (v->is_bf16 ? 0x1p-8 : 0x1p-24) * fabs(expected);
                expect_near(name, at, read_element(results[0], v->is_bf16, at), expected, bound);
                memcpy(untouched + at * element, (uint8_t *)before + at * element, element);
            }
    char padding[192];
    snprintf(padding, sizeof padding, "%s: padding", name);
    expect_same(padding, untouched, before, c_bytes);
    free(before);
    for (int order = 0; order < 2; order++)
        guarded_free(results[order], c_bytes);
    guarded_free(a, x.a_at.elements * 2);
    guarded_free(b, x.b_at.elements * 2);
}

void test_matmul(void) {
    static const shape shapes[] = {
        {1, 1, 1, 1, false, false, 1.0f},     {1, 65, 63, 1, false, true, 1.0f},
        {63, 31, 65, 2, true, false, -0.5f},  {129, 257, 33, 1, false, true, 0.25f},
        {64, 64, 64, 1, false, false, 1.0f},  {290, 72, 100, 1, false, false, 1.0f},
        {33, 130, 200, 2, false, true, 2.0f},
    };
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++)
        for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
            check(&variants[i], k, shapes[k]);
}
