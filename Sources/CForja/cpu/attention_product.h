/// Loads, stores and the matrix product of attention's tiles, for the instruction set of the
/// including file.
///
/// The including file defines FORJA__LANES (4, 8 or 16), PRODUCT_ROWS and PRODUCT_VECTORS (the
/// register tile), and sets the target of every function that follows.

#include <float.h>
#include <string.h>

#include "attention.h"
#include "vector_math.h"

#define FORJA__JOIN_(a, b) a##b
#define FORJA__JOIN(a, b) FORJA__JOIN_(a, b)
#define TILE FORJA__ATTENTION_TILE
#define LANES FORJA__LANES
#define exp2_flush FORJA__JOIN(forja__exp2_flush_, FORJA__LANES)

typedef FORJA__JOIN(forja__f32x, FORJA__LANES) vec;
typedef FORJA__JOIN(forja__i32x, FORJA__LANES) ivec;
typedef uint32_t uvec __attribute__((vector_size(4 * LANES)));
typedef uint16_t hvec __attribute__((vector_size(2 * LANES)));
typedef float quad __attribute__((vector_size(16)));

#define LOG2_E 1.44269504088896341f
#define LN_2 0.693147180559945309f

FORJA__INLINE vec load(const float *p) {
    vec x;
    memcpy(&x, p, sizeof x);
    return x;
}
FORJA__INLINE void store(float *p, vec x) {
    memcpy(p, &x, sizeof x);
}
FORJA__INLINE vec splat(float x) {
    return (vec){0} + x;
}
FORJA__INLINE vec choose(ivec mask, vec a, vec b) {
    return (vec)((mask & (ivec)a) | (~mask & (ivec)b));
}
FORJA__INLINE uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

FORJA__INLINE vec load_bf16(const forja__bf16 *p) {
    hvec x;
    memcpy(&x, p, sizeof x);
    return (vec)(__builtin_convertvector(x, uvec) << 16);
}
FORJA__INLINE void store_bf16(forja__bf16 *p, vec x) {
    uvec bits = (uvec)x;
    uvec rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    ivec nan = x != x;
    hvec half =
        __builtin_convertvector(((uvec)nan & ((bits >> 16) | 0x40)) | (~(uvec)nan & rounded), hvec);
    memcpy(p, &half, sizeof half);
}

/// destination[rows, padded] = factor · source rows of `width` elements, `stride` apart, from
/// element `offset` of the span on; columns from width to padded are 0.
static void load_rows(float *restrict destination, uint64_t padded, forja_span span,
                      forja_dtype dtype, uint64_t offset, uint64_t stride, uint64_t rows,
                      uint64_t width, float factor) {
    const uint64_t whole = width / LANES * LANES;
    for (uint64_t i = 0; i < rows; i++, destination += padded) {
        if (dtype == FORJA_DTYPE_F32) {
            const float *row = forja__ptr(span, float) + offset + i * stride;
            for (uint64_t d = 0; d < whole; d += LANES)
                store(destination + d, load(row + d) * factor);
            for (uint64_t d = whole; d < width; d++)
                destination[d] = row[d] * factor;
        } else {
            const forja__bf16 *row = forja__ptr(span, forja__bf16) + offset + i * stride;
            for (uint64_t d = 0; d < whole; d += LANES)
                store(destination + d, load_bf16(row + d) * factor);
            for (uint64_t d = whole; d < width; d++)
                destination[d] = forja__float_from_bf16(row[d]) * factor;
        }
        for (uint64_t d = width; d < padded; d++)
            destination[d] = 0.0f;
    }
}

/// Writes factor · source[width] to one row that starts at element `offset` of the span.
static void store_row(forja_span span, forja_dtype dtype, uint64_t offset, const float *source,
                      uint64_t width, float factor) {
    const uint64_t whole = width / LANES * LANES;
    if (dtype == FORJA_DTYPE_F32) {
        float *row = forja__ptr(span, float) + offset;
        for (uint64_t d = 0; d < whole; d += LANES)
            store(row + d, load(source + d) * factor);
        for (uint64_t d = whole; d < width; d++)
            row[d] = source[d] * factor;
    } else {
        forja__bf16 *row = forja__ptr(span, forja__bf16) + offset;
        for (uint64_t d = 0; d < whole; d += LANES)
            store_bf16(row + d, load(source + d) * factor);
        for (uint64_t d = whole; d < width; d++)
            row[d] = forja__bf16_from_float(source[d] * factor);
    }
}

/// destination[padded, TILE] = transpose of source[rows, padded]; columns from `rows` to TILE are
/// 0.
static void transpose(float *restrict destination, const float *restrict source, uint64_t rows,
                      uint64_t padded) {
    const quad zero = {0};
    for (uint64_t j = 0; j < TILE; j += 4) {
        for (uint64_t d = 0; d < padded; d += 4) {
            quad a = zero, b = zero, c = zero, e = zero;
            const float *from = source + j * padded + d;
            if (j < rows)
                memcpy(&a, from, sizeof a);
            if (j + 1 < rows)
                memcpy(&b, from + padded, sizeof b);
            if (j + 2 < rows)
                memcpy(&c, from + 2 * padded, sizeof c);
            if (j + 3 < rows)
                memcpy(&e, from + 3 * padded, sizeof e);
            quad ac = __builtin_shufflevector(a, c, 0, 4, 1, 5);
            quad ac_high = __builtin_shufflevector(a, c, 2, 6, 3, 7);
            quad be = __builtin_shufflevector(b, e, 0, 4, 1, 5);
            quad be_high = __builtin_shufflevector(b, e, 2, 6, 3, 7);
            quad row[4] = {__builtin_shufflevector(ac, be, 0, 4, 1, 5),
                           __builtin_shufflevector(ac, be, 2, 6, 3, 7),
                           __builtin_shufflevector(ac_high, be_high, 0, 4, 1, 5),
                           __builtin_shufflevector(ac_high, be_high, 2, 6, 3, 7)};
            for (int i = 0; i < 4; i++)
                memcpy(destination + (d + i) * TILE + j, &row[i], sizeof(quad));
        }
    }
}

/// One register tile of `product`. `rows` and `vectors` are constants after inlining.
FORJA__INLINE void product_tile(float *restrict c, uint64_t c_row, const float *restrict a,
                                uint64_t a_row, uint64_t a_step, const float *restrict b,
                                uint64_t b_row, uint64_t depth, bool accumulate, const int rows,
                                const int vectors) {
    vec sum[PRODUCT_ROWS][PRODUCT_VECTORS];
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 16
        for (int j = 0; j < vectors; j++)
            sum[i][j] = accumulate ? load(c + i * c_row + j * LANES) : (vec){0};
    for (uint64_t k = 0; k < depth; k++, a += a_step, b += b_row) {
        vec right[PRODUCT_VECTORS];
#pragma GCC unroll 16
        for (int j = 0; j < vectors; j++)
            right[j] = load(b + j * LANES);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            vec left = splat(a[i * a_row]);
#pragma GCC unroll 16
            for (int j = 0; j < vectors; j++)
                sum[i][j] += left * right[j];
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 16
        for (int j = 0; j < vectors; j++)
            store(c + i * c_row + j * LANES, sum[i][j]);
}

#define PRODUCT_CASE(r, v)                                                                         \
    case (r) * 8 + (v):                                                                            \
        if ((r) <= PRODUCT_ROWS && (v) <= PRODUCT_VECTORS)                                         \
            product_tile(c, c_row, a, a_row, a_step, b, b_row, depth, accumulate,                  \
                         (r) <= PRODUCT_ROWS ? (r) : 1, (v) <= PRODUCT_VECTORS ? (v) : 1);         \
        break;
#define PRODUCT_CASES(r) PRODUCT_CASE(r, 1) PRODUCT_CASE(r, 2) PRODUCT_CASE(r, 3) PRODUCT_CASE(r, 4)

/// C[rows, columns] (+)= A[rows, depth] B[depth, columns] with rows ≤ PRODUCT_ROWS and columns a
/// multiple of LANES. Element (i, k) of A is a[i·a_row + k·a_step], so A may be a transpose; B and
/// C are row-major. Every element sums k in ascending order.
static void product(float *c, uint64_t c_row, const float *a, uint64_t a_row, uint64_t a_step,
                    const float *b, uint64_t b_row, uint64_t rows, uint64_t columns, uint64_t depth,
                    bool accumulate) {
    while (columns > 0) {
        uint64_t vectors = least(columns / LANES, PRODUCT_VECTORS);
        switch (rows * 8 + vectors) {
            PRODUCT_CASES(1)
            PRODUCT_CASES(2)
            PRODUCT_CASES(3)
            PRODUCT_CASES(4)
            PRODUCT_CASES(5)
            PRODUCT_CASES(6)
        }
        columns -= vectors * LANES;
        b += vectors * LANES;
        c += vectors * LANES;
    }
}
#undef PRODUCT_CASES
#undef PRODUCT_CASE

/// Which keys the rows of one query tile see.
typedef struct visibility {
    int32_t first[TILE], last[TILE]; /// per row; rows past the end of the tensor see none
    int64_t first_min, first_max, last_min, last_max;
    int64_t base; /// causal limit of row 0; row m's is base + m
} visibility;

static void find_visible(visibility *out, const forja_attention_args *x, uint64_t batch,
                         uint64_t row, uint64_t rows) {
    const int32_t *start = forja__ptr(x->document_start, int32_t);
    const int32_t *offset = forja__ptr(x->query_offset, int32_t);
    out->base = (int64_t)row + (offset ? offset[batch] : 0);
    out->first_min = out->last_min = INT32_MAX;
    out->first_max = out->last_max = -1;
    for (uint64_t m = 0; m < TILE; m++) {
        int64_t first = 0, last = -1;
        if (m < rows) {
            first = start ? start[batch * x->query_length + row + m] : 0;
            first = first < 0 ? 0 : first;
            last = out->base + (int64_t)m;
            last = last < (int64_t)x->key_length ? last : (int64_t)x->key_length - 1;
            out->first_min = first < out->first_min ? first : out->first_min;
            out->first_max = first > out->first_max ? first : out->first_max;
            out->last_min = last < out->last_min ? last : out->last_min;
            out->last_max = last > out->last_max ? last : out->last_max;
        }
        out->first[m] = (int32_t)first;
        out->last[m] = (int32_t)last;
    }
}
