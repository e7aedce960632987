/// Maximum and sum of exponentials of a row in one pass over memory, shared by softmax and
/// log-probability.
#pragma once

#include "storage.h"

/// With t = scale · x: the greatest t, Σ exp(t − maximum) and Σ exp(t − maximum) · (t − maximum).
typedef struct forja__log_sum_exp {
    float maximum;
    double sum, weighted_sum;
} forja__log_sum_exp;

/// Adds exp(exponent), and its product with the exponent; −infinity adds 0 to both. `exponent` is
/// overwritten.
FORJA__INLINE void forja__add_exponentials(forja__f32x16 *sums, forja__f32x16 *weighted_sums,
                                           forja__f32x16 *exponent, bool with_weighted_sum) {
    forja__f32x16 e = *exponent;
    forja__exp_16(&e);
    *sums += e;
    if (with_weighted_sum) {
        forja__clamp_16(exponent, -110.0f, 0.0f);
        *weighted_sums += e * *exponent;
    }
}

/// Blocks are read twice, the second time from the first-level cache. When a block raises the
/// maximum, what was summed before shrinks by exp(old − new) (Milakov and Gimelshein, 2018,
/// arXiv:1805.02867). The maximum starts at −FLT_MAX and not at −infinity, so that a row of
/// −infinity gives sums of 0 and no NaN; a NaN in the row makes the sums NaN.
FORJA__INLINE void forja__row_log_sum_exp(forja__log_sum_exp *out, const void *base, uint64_t start,
                                          uint64_t width, float scale, bool with_weighted_sum,
                                          bool bf16) {
    enum { BLOCK = 2048 };
    float maximum = -__FLT_MAX__;
    double sum = 0, weighted_sum = 0;
    for (uint64_t first = 0; first < width; first += BLOCK) {
        uint64_t end = forja__min(width, first + BLOCK);
        forja__f32x16 x, greatest = (forja__f32x16){0} + maximum;
        uint64_t i = first;
        for (; i + 16 <= end; i += 16) {
            forja__load_16(&x, base, start + i, 16, bf16);
            x *= scale;
            forja__max_16(&x, &greatest);
            greatest = x;
        }
        float block_maximum = forja__max_lane_16(&greatest);
        for (; i < end; i++) {
            float t = forja__load_1(base, start + i, bf16) * scale;
            block_maximum = t > block_maximum ? t : block_maximum;
        }
        if (block_maximum > maximum && first > 0) {
            forja__f32x16 shrink = {maximum - block_maximum};
            forja__exp_16(&shrink);
            weighted_sum = sum == 0 ? 0 : weighted_sum + ((double)maximum - block_maximum) * sum;
            weighted_sum *= shrink[0];
            sum *= shrink[0];
        }
        maximum = block_maximum;

        // Scaled and shifted in two statements: a fused product would differ from the one the
        // maximum was taken of.
        forja__f32x16 sums = {0}, weighted_sums = {0};
        for (i = first; i + 16 <= end; i += 16) {
            forja__load_16(&x, base, start + i, 16, bf16);
            x *= scale;
            x -= maximum;
            forja__add_exponentials(&sums, &weighted_sums, &x, with_weighted_sum);
        }
        if (i < end) {
            float lanes[16];
            for (uint32_t lane = 0; lane < 16; lane++) {
                float t = i + lane < end ? forja__load_1(base, start + i + lane, bf16) * scale
                                         : -__builtin_inff();
                lanes[lane] = t - maximum;
            }
            memcpy(&x, lanes, sizeof x);
            forja__add_exponentials(&sums, &weighted_sums, &x, with_weighted_sum);
        }
        sum += forja__sum_16(&sums);
        weighted_sum += forja__sum_16(&weighted_sums);
    }
    *out = (forja__log_sum_exp){maximum, sum, weighted_sum};
}
