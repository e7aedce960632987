/// Sums over the lanes of vectors, one or many vectors at a time, in one order for all of them:
/// the upper half is added to the lower, until one lane is left.
///
/// Many at a time share the additions. Where two vectors meet, the halves of both lie side by side:
///
///     a  a0 a1 | a2 a3        a0+a2 a1+a3 | b0+b2 b1+b3
///     b  b0 b1 | b2 b3   →    and the same again on halves of halves
///
/// so 16 vectors of 16 lanes take 15 additions and 30 shuffles instead of 64 of each.
#pragma once

#include "vector_math.h"

#define FORJA__LOW_8(a, b)                                                                         \
    __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#define FORJA__HIGH_8(a, b)                                                                        \
    __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)
#define FORJA__LOW_4(a, b)                                                                         \
    __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
#define FORJA__HIGH_4(a, b)                                                                        \
    __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31)
#define FORJA__LOW_2(a, b)                                                                         \
    __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define FORJA__HIGH_2(a, b)                                                                        \
    __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define FORJA__LOW_1(a, b)                                                                         \
    __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
#define FORJA__HIGH_1(a, b)                                                                        \
    __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31)

/// sum[i] = the sum of x[i]'s lanes, i < 16; below, the same for as many vectors of as many lanes as
/// each name says.
FORJA__INLINE void forja__sum_16_of_16(float *sum, const forja__f32x16 *x) {
    forja__f32x16 eight[8], four[4], two[2], one;
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        eight[i] = FORJA__LOW_8(x[i], x[i + 8]) + FORJA__HIGH_8(x[i], x[i + 8]);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        four[i] = FORJA__LOW_4(eight[i], eight[i + 4]) + FORJA__HIGH_4(eight[i], eight[i + 4]);
    two[0] = FORJA__LOW_2(four[0], four[2]) + FORJA__HIGH_2(four[0], four[2]);
    two[1] = FORJA__LOW_2(four[1], four[3]) + FORJA__HIGH_2(four[1], four[3]);
    one = FORJA__LOW_1(two[0], two[1]) + FORJA__HIGH_1(two[0], two[1]);
    __builtin_memcpy(sum, &one, sizeof one);
}

FORJA__INLINE void forja__sum_4_of_16(float *sum, const forja__f32x16 *x) {
    forja__f32x16 two[2], one;
    two[0] = FORJA__LOW_8(x[0], x[2]) + FORJA__HIGH_8(x[0], x[2]);
    two[1] = FORJA__LOW_8(x[1], x[3]) + FORJA__HIGH_8(x[1], x[3]);
    one = FORJA__LOW_4(two[0], two[1]) + FORJA__HIGH_4(two[0], two[1]);
    one = FORJA__LOW_2(one, one) + FORJA__HIGH_2(one, one);
    one = FORJA__LOW_1(one, one) + FORJA__HIGH_1(one, one);
    for (int i = 0; i < 4; i++)
        sum[i] = one[4 * i];
}

FORJA__INLINE void forja__sum_1_of_16(float *sum, const forja__f32x16 *x) {
    float lane[16];
    __builtin_memcpy(lane, x, sizeof lane);
    for (int width = 8; width > 0; width /= 2)
        for (int i = 0; i < width; i++)
            lane[i] += lane[i + width];
    *sum = lane[0];
}

FORJA__INLINE void forja__sum_8_of_8(float *sum, const forja__f32x8 *x) {
    forja__f32x8 four[4], two[2], one;
#define LOW_4(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define HIGH_4(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15)
#define LOW_2(a, b) __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define HIGH_2(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        four[i] = LOW_4(x[i], x[i + 4]) + HIGH_4(x[i], x[i + 4]);
    two[0] = LOW_2(four[0], four[2]) + HIGH_2(four[0], four[2]);
    two[1] = LOW_2(four[1], four[3]) + HIGH_2(four[1], four[3]);
    one = __builtin_shufflevector(two[0], two[1], 0, 8, 2, 10, 4, 12, 6, 14) +
          __builtin_shufflevector(two[0], two[1], 1, 9, 3, 11, 5, 13, 7, 15);
    __builtin_memcpy(sum, &one, sizeof one);
#undef LOW_4
#undef HIGH_4
#undef LOW_2
#undef HIGH_2
}

FORJA__INLINE void forja__sum_4_of_4(float *sum, const forja__f32x4 *x) {
    forja__f32x4 two[2], one;
    two[0] = __builtin_shufflevector(x[0], x[2], 0, 1, 4, 5) +
             __builtin_shufflevector(x[0], x[2], 2, 3, 6, 7);
    two[1] = __builtin_shufflevector(x[1], x[3], 0, 1, 4, 5) +
             __builtin_shufflevector(x[1], x[3], 2, 3, 6, 7);
    one = __builtin_shufflevector(two[0], two[1], 0, 4, 2, 6) +
          __builtin_shufflevector(two[0], two[1], 1, 5, 3, 7);
    __builtin_memcpy(sum, &one, sizeof one);
}
