/// Maximum and sum of exponentials of a row in one pass over memory, shared by softmax and
/// log-probability.
#pragma once

#include "storage.h"

enum { FORJA__MAX_EXP_BLOCKS = 64 };

/// With t = scale · x: the greatest t, Σ exp(t − maximum) and Σ exp(t − maximum) · (t − maximum).
typedef struct forja__log_sum_exp {
    float maximum;
    double sum, weighted_sum;
    /// Where the exponentials are kept: those of a block of `block_width` were taken relative to its
    /// number in here.
    uint64_t block_width;
    float block_maxima[FORJA__MAX_EXP_BLOCKS];
} forja__log_sum_exp;

/// Adds exp(exponent), and its product with the exponent; −infinity adds 0 to both. `exponent` is
/// replaced by its exponential.
FORJA__INLINE void forja__add_exponentials(forja__f32x16 *sums, forja__f32x16 *weighted_sums,
                                           forja__f32x16 *exponent, bool with_weighted_sum) {
    forja__f32x16 t = *exponent;
    forja__exp_flush_16(exponent);
    *sums += *exponent;
    if (with_weighted_sum) {
        forja__clamp_16(&t, -110.0f, 0.0f);
        *weighted_sums += *exponent * t;
    }
}

/// The greatest scale · x over [first, end), at least `maximum`.
FORJA__INLINE float forja__block_maximum(const void *base, uint64_t first, uint64_t end,
                                         float scale, float maximum, bool bf16) {
    forja__f32x16 x, greatest[4];
    for (uint32_t k = 0; k < 4; k++)
        greatest[k] = (forja__f32x16){0} + maximum;
    FORJA__FOR_VECTORS_IN_4(i, k, first, end, {
        forja__load_16(&x, base, i, count, bf16);
        x *= scale;
        // Lanes past the end hold 0, which may be greater than the row.
        for (uint32_t lane = count; lane < 16; lane++)
            x[lane] = maximum;
        forja__max_16(&x, &greatest[k]);
        greatest[k] = x;
    });
    forja__max_16(&greatest[0], &greatest[1]);
    forja__max_16(&greatest[2], &greatest[3]);
    forja__max_16(&greatest[0], &greatest[2]);
    return forja__max_lane_16(&greatest[0]);
}

/// Whether any lane is greater than `limit`.
FORJA__INLINE bool forja__any_above_16(const forja__f32x16 *x, float limit) {
    typedef int8_t bytes_16 __attribute__((vector_size(16)));
    forja__i32x16 above = *x > ((forja__f32x16){0} + limit);
    bytes_16 narrow = __builtin_convertvector(above, bytes_16);
    uint64_t words[2];
    memcpy(words, &narrow, sizeof words);
    return (words[0] | words[1]) != 0;
}

/// scale · x of the `left` elements from i on, 16 at most; the other lanes are −infinity.
FORJA__INLINE void forja__load_scaled_16(forja__f32x16 *x, const void *base, uint64_t i,
                                         uint64_t left, float scale, bool bf16) {
    if (left >= 16) {
        forja__load_16(x, base, i, 16, bf16);
        *x *= scale;
        return;
    }
    for (uint64_t lane = 0; lane < 16; lane++)
        (*x)[lane] = lane < left ? forja__load_1(base, i + lane, bf16) * scale : -__builtin_inff();
}

/// Of a row that is only read, maximum and sum in one pass: 64 numbers are compared and then, still in
/// registers, become exponentials.
///
/// `out->maximum` is what these are relative to. It is raised only where a number passes it by more than
/// HEADROOM, which happens once or twice in a row, so it may be that much below the greatest: that moves
/// the sum's exponent and not its precision.
FORJA__INLINE void forja__row_sum_exp(forja__log_sum_exp *out, const void *base, uint64_t start,
                                      uint64_t width, float scale, bool bf16) {
    enum { BLOCK = 2048, AHEAD = 512, HEADROOM = 16 };
    float maximum = -__FLT_MAX__, limit = -__FLT_MAX__;
    double sum = 0;
    for (uint64_t first = 0; first < width; first += BLOCK) {
        const uint64_t end = forja__min(width, first + BLOCK);
        forja__f32x16 sums[4] = {0};
        for (uint64_t i = first; i < end; i += 64) {
            forja__f32x16 x[4];
            for (uint32_t k = 0; k < 4; k++) {
                const uint64_t at = forja__min(end, i + 16 * k);
                forja__prefetch(base, start + at + AHEAD, bf16);
                forja__load_scaled_16(&x[k], base, start + at, end - at, scale, bf16);
            }
            forja__f32x16 greatest = x[0], other = x[2];
            forja__max_16(&greatest, &x[1]);
            forja__max_16(&other, &x[3]);
            forja__max_16(&greatest, &other);
            if (forja__any_above_16(&greatest, limit)) {
                const float raised = forja__max_lane_16(&greatest);
                forja__f32x16 shrink = {maximum - raised};
                forja__exp_flush_16(&shrink);
                sum = (sum + forja__sum_4x16(sums)) * shrink[0];
                memset(sums, 0, sizeof sums);
                maximum = raised;
                limit = raised + HEADROOM;
            }
            for (uint32_t k = 0; k < 4; k++) {
                x[k] -= maximum;
                forja__exp_flush_16(&x[k]);
                sums[k] += x[k];
            }
        }
        sum += forja__sum_4x16(sums);
    }
    out->maximum = maximum;
    out->sum = sum;
    out->weighted_sum = 0;
}

/// A block is read again from the first-level cache. Where it raises the maximum, what was summed
/// before shrinks by exp(old − new) (Milakov and Gimelshein, 2018, arXiv:1805.02867). The maximum
/// starts at −FLT_MAX and not at −infinity, so that a row of −infinity gives sums of 0 and no NaN; a
/// NaN in the row makes the sums NaN.
///
/// `exponentials` [width], where not NULL, keeps them for forja__scale_exponentials: a second
/// exponential costs more than a store and a load. It may be the row itself.
FORJA__INLINE void forja__row_log_sum_exp(forja__log_sum_exp *out, const void *base, uint64_t start,
                                          uint64_t width, float scale, bool with_weighted_sum,
                                          bool bf16, float *exponentials) {
    enum { BLOCK = 2048 };
    const uint64_t fewest = forja__ceil_divide(width, FORJA__MAX_EXP_BLOCKS);
    const uint64_t block = fewest > BLOCK ? forja__ceil_divide(fewest, 16) * 16 : BLOCK;
    // A block's exponentials take as long as the next one needs from memory, behind a row's last block
    // the first of the next row; the hardware's own prefetching stops while nothing new is read.
    const uint64_t ahead = forja__min(block, width);
    float maximum = -__FLT_MAX__;
    double sum = 0, weighted_sum = 0;
    out->block_width = block;
    for (uint64_t first = 0; first < width; first += block) {
        uint64_t end = forja__min(width, first + block);
        float block_maximum =
            forja__block_maximum(base, start + first, start + end, scale, maximum, bf16);
        if (block_maximum > maximum && first > 0) {
            forja__f32x16 shrink = {maximum - block_maximum};
            forja__exp_flush_16(&shrink);
            weighted_sum = sum == 0 ? 0 : weighted_sum + ((double)maximum - block_maximum) * sum;
            weighted_sum *= shrink[0];
            sum *= shrink[0];
        }
        maximum = block_maximum;
        out->block_maxima[first / block] = maximum;

        // Scaled and shifted in two statements, which clang does not fuse: a fused product would
        // differ from the one the maximum was taken of. GCC may (docs/numerics.md).
        forja__f32x16 sums = {0}, weighted_sums = {0}, x;
        FORJA__FOR_VECTORS(i, first, end, {
            forja__prefetch(base, start + i + ahead, bf16);
            forja__load_16(&x, base, start + i, count, bf16);
            x *= scale;
            x -= maximum;
            for (uint32_t lane = count; lane < 16; lane++)
                x[lane] = -__builtin_inff();
            forja__add_exponentials(&sums, &weighted_sums, &x, with_weighted_sum);
            if (exponentials)
                forja__store_16(exponentials, i, count, false, &x);
        });
        sum += forja__sum_16(&sums);
        weighted_sum += forja__sum_16(&weighted_sums);
    }
    out->maximum = maximum;
    out->sum = sum;
    out->weighted_sum = weighted_sum;
}

/// Kept exponentials become exp(t − maximum) · factor.
FORJA__INLINE void forja__scale_exponentials(float *exponentials, uint64_t width,
                                             const forja__log_sum_exp *row, float factor) {
    for (uint64_t first = 0; first < width; first += row->block_width) {
        uint64_t end = forja__min(width, first + row->block_width);
        forja__f32x16 x, shrink = {row->block_maxima[first / row->block_width] - row->maximum};
        forja__exp_flush_16(&shrink);
        const float block_factor = shrink[0] * factor;
        FORJA__FOR_VECTORS(i, first, end, {
            forja__load_16(&x, exponentials, i, count, false);
            x *= block_factor;
            forja__store_16(exponentials, i, count, false, &x);
        });
    }
}
