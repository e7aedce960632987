/// What the bandwidth-bound operations of the host share: storage types as vectors of 16 floats,
/// and one body compiled for every instruction set.
///
/// Vectors go through pointers, as in vector_math.h. `bf16` is a constant where these are called,
/// so that no branch on it is left, and so is `count` inside FORJA__FOR_VECTORS.
#pragma once

#include <string.h>

#include "../internal.h"
#include "instruction_set.h"
#include "vector_math.h"

typedef uint16_t forja__u16x16 __attribute__((vector_size(32)));
typedef uint32_t forja__u32x16 __attribute__((vector_size(64)));

/// ── Instruction sets ──────────────────────────────────────────────────────────────────────────

#if defined(__x86_64__)
#define FORJA__TARGET_AVX512 __attribute__((target("avx512f")))
#define FORJA__TARGET_AVX2 __attribute__((target("avx2,fma")))

#else
#define FORJA__TARGET_AVX512
#define FORJA__TARGET_AVX2
#endif

FORJA__INLINE forja__task *forja__best_task(forja__task *avx512, forja__task *avx2,
                                            forja__task *baseline) {
    const forja__instruction_set set = forja__host_instruction_set();
    return set == FORJA__AVX512 ? avx512 : set == FORJA__AVX2 ? avx2 : baseline;
}

/// From `static inline void name_body(const void *context, uint64_t index)` makes `name_task()`,
/// the pool task for this processor.
#define FORJA__DEFINE_TASK(name)                                                             \
    FORJA__DEFINE_TASK_FOR(name, FORJA__TARGET_AVX512, avx512, (context, index))             \
    FORJA__DEFINE_TASK_FOR(name, FORJA__TARGET_AVX2, avx2, (context, index))                 \
    FORJA__DEFINE_TASK_FOR(name, , baseline, (context, index))                               \
    static forja__task *name##_task(void) {                                                  \
        return forja__best_task(name##_avx512, name##_avx2, name##_baseline);                \
    }

/// From `static inline void name_body(const void *context, uint64_t index, bool bf16)` makes
/// `name_task(bf16)`.
#define FORJA__DEFINE_STORAGE_TASK(name)                                                     \
    FORJA__DEFINE_TASK_FOR(name, FORJA__TARGET_AVX512, avx512_f32, (context, index, false))  \
    FORJA__DEFINE_TASK_FOR(name, FORJA__TARGET_AVX512, avx512_bf16, (context, index, true))  \
    FORJA__DEFINE_TASK_FOR(name, FORJA__TARGET_AVX2, avx2_f32, (context, index, false))      \
    FORJA__DEFINE_TASK_FOR(name, FORJA__TARGET_AVX2, avx2_bf16, (context, index, true))      \
    FORJA__DEFINE_TASK_FOR(name, , baseline_f32, (context, index, false))                    \
    FORJA__DEFINE_TASK_FOR(name, , baseline_bf16, (context, index, true))                    \
    static forja__task *name##_task(bool bf16) {                                             \
        return bf16 ? forja__best_task(name##_avx512_bf16, name##_avx2_bf16,                 \
                                       name##_baseline_bf16)                                 \
                    : forja__best_task(name##_avx512_f32, name##_avx2_f32,                   \
                                       name##_baseline_f32);                                 \
    }

#define FORJA__DEFINE_TASK_FOR(name, target, suffix, arguments)                              \
    target static void name##_##suffix(void *context, uint64_t index, uint32_t thread) {     \
        (void)thread;                                                                        \
        name##_body arguments;                                                               \
    }

/// ── Blocks: how many elements or rows one task takes, whatever the number of threads ───────────

enum { FORJA__BLOCK_ELEMENTS = 16384 };

FORJA__INLINE uint64_t forja__ceil_divide(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }

FORJA__INLINE uint64_t forja__min(uint64_t a, uint64_t b) { return a < b ? a : b; }

FORJA__INLINE uint64_t forja__block_rows(uint64_t width) {
    return width < FORJA__BLOCK_ELEMENTS ? FORJA__BLOCK_ELEMENTS / width : 1;
}

/// Host pointer of a span whose element type is known at run time; NULL for an absent span.
FORJA__INLINE void *forja__host_at(forja_span span, forja_dtype dtype) {
    return span.buffer ? (char *)span.buffer->host + span.offset * forja_dtype_size(dtype) : NULL;
}

/// ── Vectors of storage ────────────────────────────────────────────────────────────────────────

/// Runs the block for i = start, start + 16, … below `end`. `count`, which the block passes to
/// loads and stores, is the constant 16 in a first copy of it and what is left in a second, so that
/// the loop holds no code for tails: calls to memcpy there would push its registers through memory.
#define FORJA__FOR_VECTORS(i, start, end, ...)                                               \
    do {                                                                                     \
        uint64_t i = (start);                                                                \
        for (; i + 16 <= (end); i += 16) {                                                   \
            const uint32_t count = 16;                                                       \
            __VA_ARGS__                                                                      \
        }                                                                                    \
        if (i < (end)) {                                                                     \
            const uint32_t count = (uint32_t)((end) - i);                                    \
            __VA_ARGS__                                                                      \
        }                                                                                    \
    } while (0)

/// As above, four vectors at a time while there are four: `k` is 0, 1, 2, 3 in them and 0 in the
/// rest, so that what the block adds to sums[k] makes four chains instead of one that waits for
/// itself.
#define FORJA__FOR_VECTORS_IN_4(i, k, start, end, ...)                                       \
    do {                                                                                     \
        uint64_t quad_ = (start);                                                            \
        for (; quad_ + 64 <= (end); quad_ += 64)                                             \
            for (uint32_t k = 0; k < 4; k++) {                                               \
                const uint32_t count = 16;                                                   \
                const uint64_t i = quad_ + 16 * k;                                           \
                __VA_ARGS__                                                                  \
            }                                                                                \
        const uint32_t k = 0;                                                                \
        FORJA__FOR_VECTORS(i, quad_, end, __VA_ARGS__);                                      \
    } while (0)

FORJA__INLINE float forja__load_1(const void *base, uint64_t i, bool bf16) {
    return bf16 ? forja__float_from_bf16(((const forja__bf16 *)base)[i])
                : ((const float *)base)[i];
}

/// Elements i ..< i + count; the other lanes are 0.
FORJA__INLINE void forja__load_16(forja__f32x16 *x, const void *base, uint64_t i, uint32_t count,
                                  bool bf16) {
    if (count < 16) {
        float lanes[16] = {0};
        for (uint32_t lane = 0; lane < count; lane++)
            lanes[lane] = forja__load_1(base, i + lane, bf16);
        memcpy(x, lanes, sizeof *x);
    } else if (bf16) {
        forja__u16x16 halves;
        memcpy(&halves, (const forja__bf16 *)base + i, sizeof halves);
        *x = (forja__f32x16)(__builtin_convertvector(halves, forja__u32x16) << 16);
    } else {
        memcpy(x, (const float *)base + i, sizeof *x);
    }
}

FORJA__INLINE void forja__bf16_from_16(forja__u16x16 *halves, const forja__f32x16 *x) {
    forja__u32x16 bits = (forja__u32x16)*x;
    forja__u32x16 rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    forja__u32x16 is_nan = (forja__u32x16)(*x != *x);
    bits = (is_nan & ((bits >> 16) | 0x40u)) | (~is_nan & rounded);
    *halves = __builtin_convertvector(bits, forja__u16x16);
}

FORJA__INLINE void forja__store_16(void *base, uint64_t i, uint32_t count, bool bf16,
                                   const forja__f32x16 *x) {
    if (bf16) {
        forja__u16x16 halves;
        forja__bf16_from_16(&halves, x);
        memcpy((forja__bf16 *)base + i, &halves, count * sizeof(forja__bf16));
    } else {
        memcpy((float *)base + i, x, count * sizeof(float));
    }
}

/// Asks for the line that holds element i, whose place may be past the end of the buffer: a hint.
FORJA__INLINE void forja__prefetch(const void *base, uint64_t i, bool bf16) {
    __builtin_prefetch((const void *)((uintptr_t)base + i * (bf16 ? 2 : 4)));
}

/// The same for a line that will be written.
FORJA__INLINE void forja__prefetch_to_write(const void *base, uint64_t i, bool bf16) {
    __builtin_prefetch((const void *)((uintptr_t)base + i * (bf16 ? 2 : 4)), 1);
}

/// ── Stores past the caches ────────────────────────────────────────────────────────────────────

/// A result of this many bytes is not in the caches when its reader comes. Stored past them its lines
/// are not read before they are written: a third of what an operation with one input moves.
#define FORJA__STREAM_BYTES (UINT64_C(16) << 20)

/// Whether `size` bytes from `place` on are worth it, and lie as vectors have to.
FORJA__INLINE bool forja__streams(const void *place, uint64_t size) {
    return size >= FORJA__STREAM_BYTES && (uintptr_t)place % 64 == 0;
}

// Clang's; GCC has no such word for vectors of any width, and stores as always.
#if defined(__has_builtin) && __has_builtin(__builtin_nontemporal_store)
#define FORJA__STREAM(place, value) __builtin_nontemporal_store(value, place)
#else
#define FORJA__STREAM(place, value) (*(place) = (value))
#endif

FORJA__INLINE void forja__stream_f32_16(float *place, const forja__f32x16 *x) {
    FORJA__STREAM((forja__f32x16 *)place, *x);
}

FORJA__INLINE void forja__stream_u16_16(uint16_t *place, const forja__u16x16 *x) {
    FORJA__STREAM((forja__u16x16 *)place, *x);
}

/// Before another thread may read what was streamed.
FORJA__INLINE void forja__stream_end(void) {
#ifdef __x86_64__
    __builtin_ia32_sfence();
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/// Sum of the lanes, by halves.
FORJA__INLINE float forja__sum_16(const forja__f32x16 *x) {
    float lanes[16];
    memcpy(lanes, x, sizeof lanes);
    for (uint32_t half = 8; half > 0; half /= 2)
        for (uint32_t lane = 0; lane < half; lane++)
            lanes[lane] += lanes[lane + half];
    return lanes[0];
}

/// Sum of four vectors, those that FORJA__FOR_VECTORS_IN_4 adds to.
FORJA__INLINE float forja__sum_4x16(const forja__f32x16 *x) {
    forja__f32x16 sum = (x[0] + x[1]) + (x[2] + x[3]);
    return forja__sum_16(&sum);
}

/// a[i] where mask[i] is set, else b[i], into a.
FORJA__INLINE void forja__select_16(forja__f32x16 *a, const forja__f32x16 *b,
                                    const forja__i32x16 *mask) {
    *a = (forja__f32x16)((*mask & (forja__i32x16)*a) | (~*mask & (forja__i32x16)*b));
}

/// The greater of both into x; where x is NaN, `other`.
FORJA__INLINE void forja__max_16(forja__f32x16 *x, const forja__f32x16 *other) {
    forja__i32x16 greater = *x > *other;
    forja__select_16(x, other, &greater);
}

FORJA__INLINE float forja__max_lane_16(const forja__f32x16 *x) {
    float lanes[16];
    memcpy(lanes, x, sizeof lanes);
    float greatest = lanes[0];
    for (uint32_t lane = 1; lane < 16; lane++)
        greatest = lanes[lane] > greatest ? lanes[lane] : greatest;
    return greatest;
}
