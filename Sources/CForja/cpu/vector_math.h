/// Vector exponentials in compiler vector extensions, for any x86-64 or AArch64 target.
///
/// Everything works in place through a pointer and is always inlined, so one definition serves
/// callers compiled for different targets (`__attribute__((target("avx512f")))` and the like): a
/// vector passed by value between functions of different targets changes the ABI and clang refuses
/// it.
///
///     forja__f32x16 x;
///     __builtin_memcpy(&x, source, sizeof x); // unaligned load
///     forja__exp_16(&x);
///
/// Use 16 lanes under AVX-512, 8 elsewhere (the compiler splits what the target lacks). Errors,
/// measured against float64 over every 97th float: exp below 1.0 ulp, exp_flush below 1.3 ulp,
/// exp2_flush below 1.3 ulp.
#pragma once

#include <stdint.h>

typedef float forja__f32x4 __attribute__((vector_size(16)));
typedef float forja__f32x8 __attribute__((vector_size(32)));
typedef float forja__f32x16 __attribute__((vector_size(64)));
typedef int32_t forja__i32x4 __attribute__((vector_size(16)));
typedef int32_t forja__i32x8 __attribute__((vector_size(32)));
typedef int32_t forja__i32x16 __attribute__((vector_size(64)));

#define FORJA__INLINE static inline __attribute__((always_inline, unused))

/// 1.5 · 2^23: adding it rounds a float of magnitude below 2^22 to an integer, kept in the low
/// bits.
#define FORJA__ROUNDER 12582912.0f
#define FORJA__ROUNDER_BITS 0x4b400000

/// Defines for `lanes` lanes, each on `forja__f32x<lanes> *x` in place:
///
/// forja__at_least_<lanes>(x, low), forja__at_most_<lanes>(x, high) and both as
/// forja__clamp_<lanes>(x, low, high)   NaN stays NaN.
/// forja__exp_<lanes>(x)         e^x over the whole range: gradual underflow, infinity, NaN kept.
///     x = n·ln 2 + r, e^x = 2^n · e^r, with ln 2 in two parts, the first short enough that its
///     product with n is exact with and without fused multiply-add. 2^n is applied as two factors
///     so that neither leaves the exponent's range before the product does.
/// forja__exp_flush_<lanes>(x)   e^x for x ≤ 88, results below 2^-126.5 flushed to 0, NaN kept:
///     three fifths of the instructions, for softmax and sigmoid, where so small a result adds
///     nothing to 1.
/// forja__exp2_flush_<lanes>(x)  2^x, results below 2^-126 flushed to 0, +infinity from 127.5 on,
///     NaN kept: the cheaper one for softmax, whose arguments are ≤ 0.
///
/// Both polynomials are minimax fits of relative error on |r| ≤ ln2/2 and |r| ≤ 1/2: 3e-9 and 2e-9
/// before their coefficients are rounded.
#define FORJA__DEFINE_VECTOR_MATH(lanes)                                                           \
    FORJA__INLINE void forja__at_least_##lanes(forja__f32x##lanes *x, float low) {                 \
        const forja__f32x##lanes low_v = (forja__f32x##lanes){0} + low;                            \
        forja__i32x##lanes under = *x < low_v;                                                     \
        *x = (forja__f32x##lanes)((under & (forja__i32x##lanes)low_v) |                            \
                                  (~under & (forja__i32x##lanes) * x));                            \
    }                                                                                              \
    FORJA__INLINE void forja__at_most_##lanes(forja__f32x##lanes *x, float high) {                 \
        const forja__f32x##lanes high_v = (forja__f32x##lanes){0} + high;                          \
        forja__i32x##lanes over = *x > high_v;                                                     \
        *x = (forja__f32x##lanes)((over & (forja__i32x##lanes)high_v) |                            \
                                  (~over & (forja__i32x##lanes) * x));                             \
    }                                                                                              \
    FORJA__INLINE void forja__clamp_##lanes(forja__f32x##lanes *x, float low, float high) {        \
        forja__at_least_##lanes(x, low);                                                           \
        forja__at_most_##lanes(x, high);                                                           \
    }                                                                                              \
    FORJA__INLINE void forja__exp_##lanes(forja__f32x##lanes *x) {                                 \
        forja__clamp_##lanes(x, -110.0f, 90.0f);                                                   \
        forja__f32x##lanes shifted = *x * 0x1.715476p+0f + FORJA__ROUNDER;                         \
        forja__f32x##lanes n = shifted - FORJA__ROUNDER;                                           \
        forja__f32x##lanes r = *x - n * 0x1.63p-1f;                                                \
        r = r - n * -0x1.bd0106p-13f;                                                              \
        forja__f32x##lanes p = r * 0x1.6a2430p-10f + 0x1.1239e4p-7f;                               \
        p = p * r + 0x1.5558f2p-5f;                                                                \
        p = p * r + 0x1.555492p-3f;                                                                \
        p = p * r + 0x1.fffffcp-2f;                                                                \
        p = p * (r * r) + r;                                                                       \
        p = p + 1.0f;                                                                              \
        forja__i32x##lanes power = (forja__i32x##lanes)shifted - FORJA__ROUNDER_BITS;              \
        forja__i32x##lanes half = power >> 1;                                                      \
        forja__i32x##lanes first = (half + 127) << 23;                                             \
        forja__i32x##lanes second = (power - half + 127) << 23;                                    \
        *x = p * (forja__f32x##lanes)first * (forja__f32x##lanes)second;                           \
    }                                                                                              \
    FORJA__INLINE void forja__exp_flush_##lanes(forja__f32x##lanes *x) {                           \
        forja__at_least_##lanes(x, -88.0f);                                                        \
        forja__f32x##lanes shifted = *x * 0x1.715476p+0f + FORJA__ROUNDER;                         \
        forja__f32x##lanes n = shifted - FORJA__ROUNDER;                                           \
        forja__f32x##lanes r = *x - n * 0x1.63p-1f;                                                \
        r = r - n * -0x1.bd0106p-13f;                                                              \
        forja__f32x##lanes p = r * 0x1.6a2430p-10f + 0x1.1239e4p-7f;                               \
        p = p * r + 0x1.5558f2p-5f;                                                                \
        p = p * r + 0x1.555492p-3f;                                                                \
        p = p * r + 0x1.fffffcp-2f;                                                                \
        p = p * r + 1.0f;                                                                          \
        p = p * r + 1.0f;                                                                          \
        forja__i32x##lanes power = (forja__i32x##lanes)shifted - (FORJA__ROUNDER_BITS - 127);      \
        forja__i32x##lanes scale = power << 23;                                                    \
        *x = p * (forja__f32x##lanes)scale;                                                        \
    }                                                                                              \
    FORJA__INLINE void forja__exp2_flush_##lanes(forja__f32x##lanes *x) {                          \
        forja__clamp_##lanes(x, -127.0f, 128.0f);                                                  \
        forja__f32x##lanes shifted = *x + FORJA__ROUNDER;                                          \
        forja__f32x##lanes r = *x - (shifted - FORJA__ROUNDER);                                    \
        forja__f32x##lanes p = r * 0x1.41fb9ep-13f + 0x1.5f3e80p-10f;                              \
        p = p * r + 0x1.3b2d4ep-7f;                                                                \
        p = p * r + 0x1.c6aee8p-5f;                                                                \
        p = p * r + 0x1.ebfbdcp-3f;                                                                \
        p = p * r + 0x1.62e430p-1f;                                                                \
        p = p * r + 1.0f;                                                                          \
        forja__i32x##lanes power = (forja__i32x##lanes)shifted - (FORJA__ROUNDER_BITS - 127);      \
        forja__i32x##lanes scale = power << 23;                                                    \
        *x = p * (forja__f32x##lanes)scale;                                                        \
    }

FORJA__DEFINE_VECTOR_MATH(4)
FORJA__DEFINE_VECTOR_MATH(8)
FORJA__DEFINE_VECTOR_MATH(16)
