// Attention and its gradients against float64: every tile and head width, ragged lengths,
// documents, grouped heads, offsets, padded rows; rows that nobody may read hold NaN.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../Sources/CForja/opencl/nv_mma.h"
#include "emulator.h"
#include "support.h"

typedef void forward_kernel(const uint16_t *q, uint64_t q_at, const uint16_t *k, uint64_t k_at,
                            const uint16_t *v, uint64_t v_at, uint16_t *out, uint64_t out_at,
                            float *lse, uint64_t lse_at, const int32_t *document_start,
                            uint64_t start_at, const int32_t *query_offset, uint64_t offset_at,
                            uint32_t t, uint32_t s, uint32_t h, uint32_t g, uint64_t q_row,
                            uint64_t k_row, uint64_t v_row, uint64_t out_row, float scale);
typedef void dq_kernel(const uint16_t *q, uint64_t q_at, const uint16_t *k, uint64_t k_at,
                       const uint16_t *v, uint64_t v_at, const uint16_t *d_out, uint64_t d_out_at,
                       const float *lse, uint64_t lse_at, const float *delta, uint64_t delta_at,
                       const int32_t *document_start, uint64_t start_at, uint16_t *dq,
                       uint64_t dq_at, uint32_t t, uint32_t h, uint32_t g, uint64_t q_row,
                       uint64_t k_row, uint64_t v_row, uint64_t out_row, uint64_t dq_row,
                       float scale);
typedef void dkv_kernel(const uint16_t *q, uint64_t q_at, const uint16_t *k, uint64_t k_at,
                        const uint16_t *v, uint64_t v_at, const uint16_t *d_out, uint64_t d_out_at,
                        const float *lse, uint64_t lse_at, const float *delta, uint64_t delta_at,
                        const int32_t *document_start, uint64_t start_at, uint16_t *dk,
                        uint64_t dk_at, uint16_t *dv, uint64_t dv_at, uint32_t t, uint32_t h,
                        uint32_t g, uint64_t q_row, uint64_t k_row, uint64_t v_row,
                        uint64_t out_row, uint64_t dk_row, uint64_t dv_row, float scale);

#define MATMUL_VARIANT(...)
#define FORWARD_VARIANT(symbol, ...) forward_kernel K_##symbol;
#define DQ_VARIANT(symbol, ...) dq_kernel K_##symbol;
#define DKV_VARIANT(symbol, ...) dkv_kernel K_##symbol;
#include "variants.inc"
#undef FORWARD_VARIANT
#undef DQ_VARIANT
#undef DKV_VARIANT

typedef enum part { PART_FORWARD, PART_DQ, PART_DKV } part;
typedef struct variant {
    const char *name;
    part part;
    void (*kernel)(void);
    int tile;
    uint32_t head_dim;
} variant;
static const variant variants[] = {
#define FORWARD_VARIANT(symbol, ...)                                                               \
    {#symbol, PART_FORWARD, (void (*)(void))K_##symbol, __VA_ARGS__},
#define DQ_VARIANT(symbol, ...) {#symbol, PART_DQ, (void (*)(void))K_##symbol, __VA_ARGS__},
#define DKV_VARIANT(symbol, ...) {#symbol, PART_DKV, (void (*)(void))K_##symbol, __VA_ARGS__},
#include "variants.inc"
};

typedef struct problem {
    uint32_t b, t, s, h, g, d;
    int32_t offset;         /// of the queries among the keys
    uint32_t document_rows; /// mean length of a document; 0: no documents
    float scale;
} problem;

/// bf16 rows [batch, rows, heads, D] with an offset and padding between rows.
typedef struct rows {
    uint16_t *memory;
    uint64_t offset, stride, elements;
} rows;

/// Everything of one problem in float64, and the arguments of the kernels.
typedef struct data {
    problem p;
    variant variant;
    rows q, k, v, d_out;  /// inputs
    rows out, dq, dk, dv; /// results
    float *lse, *delta;   /// [B, H, T]
    float *written_lse;
    int32_t *document_start, *query_offset;
    double *weights;             /// P, [B, H, T, S]
    double *true_lse, *true_out; /// [B, H, T], [B, T, H, D]
} data;

static uint16_t *row_of(const rows *x, uint64_t row) {
    return x->memory + x->offset + row * x->stride;
}

static rows make_rows(uint64_t count, uint32_t width, uint64_t *seed) {
    rows x = {.offset = 16, .stride = width + 8};
    x.elements = x.offset + (count - 1) * x.stride + width;
    x.memory = guarded_alloc(x.elements * 2);
    for (uint64_t i = 0; i < x.elements; i++)
        x.memory[i] = 0x7fc0; // NaN, also what results start as
    for (uint64_t r = 0; seed && r < count; r++)
        for (uint32_t i = 0; i < width; i++)
            row_of(&x, r)[i] = to_bf16(2 * next_random(seed));
    return x;
}

static double dot(const uint16_t *a, const uint16_t *b, uint32_t d) {
    double sum = 0;
    for (uint32_t i = 0; i < d; i++)
        sum += (double)from_bf16(a[i]) * from_bf16(b[i]);
    return sum;
}

static bool is_visible(const data *x, uint32_t b, uint32_t i, uint32_t j) {
    return (int64_t)j <= (int64_t)i + x->p.offset && j < x->p.s &&
           (!x->document_start || x->document_start[b * x->p.t + i] <= (int32_t)j);
}

/// Head `h` of row `i` of batch `b` among queries, and of key `j`.
static uint16_t *query_at(const data *x, const rows *rows, uint32_t b, uint32_t i, uint32_t h) {
    return row_of(rows, (uint64_t)b * x->p.t + i) + h * x->p.d;
}
static uint16_t *key_at(const data *x, const rows *rows, uint32_t b, uint32_t j, uint32_t h) {
    return row_of(rows, (uint64_t)b * x->p.s + j) + h / (x->p.h / x->p.g) * x->p.d;
}
static double *weight_at(const data *x, uint32_t b, uint32_t h, uint32_t i) {
    return x->weights + (((uint64_t)b * x->p.h + h) * x->p.t + i) * x->p.s;
}

static void solve_row(data *x, uint32_t b, uint32_t h, uint32_t i) {
    const problem p = x->p;
    double *weights = weight_at(x, b, h, i), high = -INFINITY, sum = 0;
    for (uint32_t j = 0; j < p.s; j++) {
        weights[j] = is_visible(x, b, i, j) ? p.scale * dot(query_at(x, &x->q, b, i, h),
                                                            key_at(x, &x->k, b, j, h), p.d)
                                            : -INFINITY;
        high = fmax(high, weights[j]);
    }
    for (uint32_t j = 0; j < p.s; j++)
        sum += weights[j] = high == -INFINITY ? 0 : exp(weights[j] - high);
    double *out = x->true_out + (((uint64_t)b * p.t + i) * p.h + h) * p.d, delta = 0;
    for (uint32_t j = 0; j < p.s; j++) {
        weights[j] /= sum == 0 ? 1 : sum;
        for (uint32_t c = 0; c < p.d && weights[j] != 0; c++)
            out[c] += weights[j] * from_bf16(key_at(x, &x->v, b, j, h)[c]);
    }
    for (uint32_t c = 0; c < p.d; c++)
        delta += out[c] * from_bf16(query_at(x, &x->d_out, b, i, h)[c]);
    const uint64_t statistic = ((uint64_t)b * p.h + h) * p.t + i;
    x->true_lse[statistic] = high + log(sum);
    x->lse[statistic] = (float)x->true_lse[statistic];
    x->delta[statistic] = (float)delta;
}

static data make_data(problem p, variant v) {
    uint64_t seed = p.t * 7919 + p.s * 31 + p.d;
    const uint64_t queries = (uint64_t)p.b * p.t, keys = (uint64_t)p.b * p.s;
    data x = {.p = p, .variant = v};
    x.q = make_rows(queries, p.h * p.d, &seed);
    x.d_out = make_rows(queries, p.h * p.d, &seed);
    x.k = make_rows(keys, p.g * p.d, &seed);
    x.v = make_rows(keys, p.g * p.d, &seed);
    x.lse = guarded_alloc(queries * p.h * 4);
    x.delta = guarded_alloc(queries * p.h * 4);
    if (p.document_rows) {
        x.document_start = guarded_alloc(queries * 4);
        for (uint64_t i = 0; i < queries; i++)
            x.document_start[i] = i % p.t == 0 ? p.offset / 2
                                  : next_random(&seed) < 2.0f / (float)p.document_rows - 1.0f
                                      ? p.offset + (int32_t)(i % p.t)
                                      : x.document_start[i - 1];
    }
    if (p.offset) {
        x.query_offset = guarded_alloc(p.b * 4);
        for (uint32_t b = 0; b < p.b; b++) {
            x.query_offset[b] = p.offset;
            // A cache past its end: whatever memory held.
            const int32_t end = p.offset + (int32_t)p.t;
            for (uint32_t j = end > 0 ? (uint32_t)end : 0; j < p.s; j++)
                for (uint32_t c = 0; c < p.g * p.d; c++)
                    row_of(&x.k, b * p.s + j)[c] = row_of(&x.v, b * p.s + j)[c] = 0x7fc0;
        }
    }
    x.weights = calloc(queries * p.h * p.s, sizeof(double));
    x.true_lse = calloc(queries * p.h, sizeof(double));
    x.true_out = calloc(queries * p.h * p.d, sizeof(double));
    for (uint32_t b = 0; b < p.b; b++)
        for (uint32_t h = 0; h < p.h; h++)
            for (uint32_t i = 0; i < p.t; i++)
                solve_row(&x, b, h, i);
    return x;
}

static void free_rows(rows *x) {
    if (x->memory)
        guarded_free(x->memory, x->elements * 2);
    x->memory = NULL;
}

static void free_results(data *x) {
    free_rows(&x->out);
    free_rows(&x->dq);
    free_rows(&x->dk);
    free_rows(&x->dv);
    free(x->written_lse);
    x->written_lse = NULL;
}

static void free_data(data *x) {
    const uint64_t queries = (uint64_t)x->p.b * x->p.t;
    free_results(x);
    free_rows(&x->q);
    free_rows(&x->k);
    free_rows(&x->v);
    free_rows(&x->d_out);
    guarded_free(x->lse, queries * x->p.h * 4);
    guarded_free(x->delta, queries * x->p.h * 4);
    if (x->document_start)
        guarded_free(x->document_start, queries * 4);
    if (x->query_offset)
        guarded_free(x->query_offset, x->p.b * 4);
    free(x->weights);
    free(x->true_lse);
    free(x->true_out);
}

static void run(const void *arguments) {
    const data *x = arguments;
    const problem p = x->p;
#define ROWS_ARG(x) (x).memory, (x).offset
    if (x->variant.part == PART_FORWARD)
        ((forward_kernel *)x->variant.kernel)(
            ROWS_ARG(x->q), ROWS_ARG(x->k), ROWS_ARG(x->v), ROWS_ARG(x->out), x->written_lse, 0,
            x->document_start, 0, x->query_offset, 0, p.t, p.s, p.h, p.g, x->q.stride, x->k.stride,
            x->v.stride, x->out.stride, p.scale);
    else if (x->variant.part == PART_DQ)
        ((dq_kernel *)x->variant.kernel)(
            ROWS_ARG(x->q), ROWS_ARG(x->k), ROWS_ARG(x->v), ROWS_ARG(x->d_out), x->lse, 0, x->delta,
            0, x->document_start, 0, ROWS_ARG(x->dq), p.t, p.h, p.g, x->q.stride, x->k.stride,
            x->v.stride, x->d_out.stride, x->dq.stride, p.scale);
    else
        ((dkv_kernel *)x->variant.kernel)(
            ROWS_ARG(x->q), ROWS_ARG(x->k), ROWS_ARG(x->v), ROWS_ARG(x->d_out), x->lse, 0, x->delta,
            0, x->document_start, 0, ROWS_ARG(x->dk), ROWS_ARG(x->dv), p.t, p.h, p.g, x->q.stride,
            x->k.stride, x->v.stride, x->d_out.stride, x->dk.stride, x->dv.stride, p.scale);
}

/// Runs the variant into fresh results.
static void launch(data *x, emulated_order order) {
    const problem p = x->p;
    const uint64_t queries = (uint64_t)p.b * p.t, keys = (uint64_t)p.b * p.s;
    free_results(x);
    if (x->variant.part == PART_FORWARD) {
        x->out = make_rows(queries, p.h * p.d, NULL);
        x->written_lse = malloc(queries * p.h * 4);
        memset(x->written_lse, 0xff, queries * p.h * 4);
    } else if (x->variant.part == PART_DQ) {
        x->dq = make_rows(queries, p.h * p.d, NULL);
    } else {
        x->dk = make_rows(keys, p.g * p.d, NULL);
        x->dv = make_rows(keys, p.g * p.d, NULL);
    }
    const forja__attention_nv_mma_tile *tile =
        x->variant.part == PART_FORWARD ? &forja__attention_nv_mma_forward_tiles[x->variant.tile]
                                        : &forja__attention_nv_mma_backward_tiles[x->variant.tile];
    const uint32_t block = 16 * tile->warps;
    emulate(run, x,
            (uint32_t[]){(p.t + block - 1) / block, x->variant.part == PART_DKV ? p.g : p.h, p.b},
            forja__attention_nv_mma_work_items(tile), order);
}

/// bf16 keeps 8 bits, 2⁻⁸ relative a rounding: each weight before the second product
/// (Tolerance.attentionBF16 of Tests/CForjaTests), and the stored result.
static double rounding(double size) {
    return 0x1p-8 * size;
}

static void expect_stored(const char *name, size_t place, uint16_t value, double expected,
                          double size) {
    expect_near(name, place, from_bf16(value), expected, size + rounding(fabs(expected)));
}

static void check_forward(const data *x, const char *name) {
    const problem p = x->p;
    for (uint32_t b = 0; b < p.b; b++)
        for (uint32_t h = 0; h < p.h; h++)
            for (uint32_t i = 0; i < p.t; i++) {
                const uint64_t statistic = ((uint64_t)b * p.h + h) * p.t + i;
                const double lse = x->written_lse[statistic], true_lse = x->true_lse[statistic];
                if (lse != true_lse) // both are -∞ where a row sees nothing
                    expect_near(name, statistic, lse, true_lse,
                                isinf(true_lse) ? 0 : 0x1p-15 * (1 + fabs(true_lse)));
                for (uint32_t c = 0; c < p.d; c++) {
                    double size = 0;
                    for (uint32_t j = 0; j < p.s; j++)
                        if (weight_at(x, b, h, i)[j] != 0)
                            size += weight_at(x, b, h, i)[j] *
                                    fabs(from_bf16(key_at(x, &x->v, b, j, h)[c]));
                    expect_stored(name, c, query_at(x, &x->out, b, i, h)[c],
                                  x->true_out[(((uint64_t)b * p.t + i) * p.h + h) * p.d + c],
                                  rounding(size));
                }
            }
}

/// dS of one score, and how far it may be off before it is rounded: dP and delta are sums of about
/// this size.
static double score_gradient(const data *x, uint32_t b, uint32_t h, uint32_t i, uint32_t j,
                             double *slack) {
    const double weight = weight_at(x, b, h, i)[j];
    if (weight == 0) {
        *slack = 0;
        return 0;
    }
    const uint16_t *d_out = query_at(x, &x->d_out, b, i, h), *value = key_at(x, &x->v, b, j, h);
    double size = 0;
    for (uint32_t c = 0; c < x->p.d; c++)
        size += fabs(from_bf16(d_out[c]) * from_bf16(value[c]));
    *slack = 0x1p-15 * weight * size;
    return weight * (dot(d_out, value, x->p.d) - x->delta[((uint64_t)b * x->p.h + h) * x->p.t + i]);
}

static void check_dq(const data *x, const char *name) {
    const problem p = x->p;
    double *sums = malloc(p.d * sizeof(double)), *sizes = malloc(p.d * sizeof(double));
    for (uint32_t b = 0; b < p.b; b++)
        for (uint32_t h = 0; h < p.h; h++)
            for (uint32_t i = 0; i < p.t; i++) {
                memset(sums, 0, p.d * sizeof(double));
                memset(sizes, 0, p.d * sizeof(double));
                for (uint32_t j = 0; j < p.s; j++) {
                    double slack, gradient = score_gradient(x, b, h, i, j, &slack);
                    for (uint32_t c = 0; c < p.d && (gradient != 0 || slack != 0); c++) {
                        double key = from_bf16(key_at(x, &x->k, b, j, h)[c]);
                        sums[c] += p.scale * gradient * key;
                        sizes[c] += p.scale * fabs(key) * (rounding(fabs(gradient)) + slack);
                    }
                }
                for (uint32_t c = 0; c < p.d; c++)
                    expect_stored(name, c, query_at(x, &x->dq, b, i, h)[c], sums[c], sizes[c]);
            }
    free(sums);
    free(sizes);
}

static void check_dkv(const data *x, const char *name) {
    const problem p = x->p;
    const uint32_t group = p.h / p.g;
    double *sums = malloc(4 * p.d * sizeof(double)), *dk_size = sums + p.d;
    double *dv = dk_size + p.d, *dv_size = dv + p.d;
    for (uint32_t b = 0; b < p.b; b++)
        for (uint32_t g = 0; g < p.g; g++)
            for (uint32_t j = 0; j < p.s; j++) {
                memset(sums, 0, 4 * p.d * sizeof(double));
                for (uint32_t h = g * group; h < (g + 1) * group; h++)
                    for (uint32_t i = 0; i < p.t; i++) {
                        const double weight = weight_at(x, b, h, i)[j];
                        double slack, gradient = score_gradient(x, b, h, i, j, &slack);
                        for (uint32_t c = 0; c < p.d && weight != 0; c++) {
                            double query = from_bf16(query_at(x, &x->q, b, i, h)[c]);
                            double d_out = from_bf16(query_at(x, &x->d_out, b, i, h)[c]);
                            sums[c] += p.scale * gradient * query;
                            dk_size[c] +=
                                p.scale * fabs(query) * (rounding(fabs(gradient)) + slack);
                            dv[c] += weight * d_out;
                            dv_size[c] += rounding(weight * fabs(d_out));
                        }
                    }
                for (uint32_t c = 0; c < p.d; c++) {
                    const uint32_t first_head = g * group;
                    expect_stored(name, c, key_at(x, &x->dk, b, j, first_head)[c], sums[c],
                                  dk_size[c]);
                    expect_stored(name, c, key_at(x, &x->dv, b, j, first_head)[c], dv[c],
                                  dv_size[c]);
                }
            }
    free(sums);
}

/// Padding still holds what it started as.
static void check_padding(const rows *x, uint32_t width, const char *name) {
    for (uint64_t i = 0; x->memory && i < x->elements; i++)
        if ((i < x->offset || (i - x->offset) % x->stride >= width) && x->memory[i] != 0x7fc0)
            expect_near(name, i, x->memory[i], 0x7fc0, 0);
}

static void check(variant v, problem p) {
    p.d = v.head_dim;
    p.scale = 1.0f / sqrtf((float)p.d);
    char name[160];
    snprintf(name, sizeof name, "%s T=%u S=%u H=%u G=%u", v.name, p.t, p.s, p.h, p.g);
    data x = make_data(p, v);
    const uint64_t queries = (uint64_t)p.b * p.t;
    launch(&x, EMULATED_LAST_TO_FIRST);
    data other = x;
    x.out.memory = x.dq.memory = x.dk.memory = x.dv.memory = NULL;
    x.written_lse = NULL;
    launch(&x, EMULATED_FIRST_TO_LAST);
    if (v.part == PART_FORWARD) {
        expect_same(name, x.out.memory, other.out.memory, x.out.elements * 2);
        expect_same(name, x.written_lse, other.written_lse, queries * p.h * 4);
        check_forward(&x, name);
    } else if (v.part == PART_DQ) {
        expect_same(name, x.dq.memory, other.dq.memory, x.dq.elements * 2);
        check_dq(&x, name);
    } else {
        expect_same(name, x.dk.memory, other.dk.memory, x.dk.elements * 2);
        expect_same(name, x.dv.memory, other.dv.memory, x.dv.elements * 2);
        check_dkv(&x, name);
    }
    check_padding(&x.out, p.h * p.d, name);
    check_padding(&x.dq, p.h * p.d, name);
    check_padding(&x.dk, p.g * p.d, name);
    check_padding(&x.dv, p.g * p.d, name);
    free_results(&other);
    free_data(&x);
}

static bool is_for(const problem *p, part part) {
    const bool is_long = p->t > 1000, continues = p->s != p->t;
    return part == PART_FORWARD ? !is_long : part == PART_DQ ? !is_long && !continues : !continues;
}

void test_attention(void) {
    static const problem problems[] = {
        {.b = 2, .t = 1, .s = 1, .h = 2, .g = 2},
        {.b = 1, .t = 63, .s = 63, .h = 4, .g = 2},
        {.b = 1, .t = 64, .s = 64, .h = 1, .g = 1},
        {.b = 2, .t = 129, .s = 129, .h = 4, .g = 1, .document_rows = 30},
        {.b = 1, .t = 300, .s = 300, .h = 2, .g = 1, .document_rows = 90},
        // For the keys' gradients alone: more than 32 tiles of rows.
        {.b = 1, .t = 1100, .s = 1100, .h = 2, .g = 1, .document_rows = 700},
        // Forward only: queries that continue a cache, more keys than rows.
        {.b = 2, .t = 50, .s = 200, .h = 2, .g = 1, .offset = 37},
        {.b = 1, .t = 70, .s = 260, .h = 2, .g = 2, .offset = 190, .document_rows = 40},
        // Rows before the first key see nothing; then none sees anything.
        {.b = 1, .t = 150, .s = 160, .h = 2, .g = 1, .offset = -70},
        {.b = 1, .t = 70, .s = 80, .h = 1, .g = 1, .offset = -100},
    };
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++)
        for (size_t k = 0; k < sizeof problems / sizeof problems[0]; k++)
            if (is_for(&problems[k], variants[i].part))
                check(variants[i], problems[k]);
}
