// Conversions between f32, bf16 and f16, all through f32.
//
// f16 is converted in integer code, so that no target needs half instructions or the compiler's
// helpers.
#include "storage.h"

/// Widens f16: the magnitude's bits, moved into f32's place, are 2^-112 of the value, subnormals
/// included.
FORJA__INLINE void f32_from_f16_16(forja__f32x16 *x, const forja__u16x16 *halves) {
    forja__u32x16 bits = __builtin_convertvector(*halves, forja__u32x16);
    forja__u32x16 sign = (bits & 0x8000u) << 16, magnitude = (bits & 0x7fffu) << 13;
    forja__u32x16 is_special = (forja__u32x16)((bits & 0x7c00u) == 0x7c00u);
    *x = (forja__f32x16)magnitude * 0x1p112f;
    // Infinity and NaN keep their fraction; NaN becomes quiet.
    forja__u32x16 is_nan = (forja__u32x16)((bits & 0x7fffu) > 0x7c00u);
    forja__u32x16 special = magnitude | 0x7f800000u | (is_nan & 0x400000u);
    *x = (forja__f32x16)((is_special & special) | (~is_special & (forja__u32x16)*x) | sign);
}

/// Rounds to nearest even; what rounds past 65504 becomes infinity, NaN stays NaN.
FORJA__INLINE void f16_from_f32_16(forja__u16x16 *halves, const forja__f32x16 *x) {
    forja__u32x16 bits = (forja__u32x16)*x, sign = (bits >> 16) & 0x8000u;
    bits &= 0x7fffffffu;
    forja__u32x16 normal = ((bits + 0xfffu + ((bits >> 13) & 1u)) >> 13) - (112u << 10);
    // Below 2^-14 a half counts in 2^-24, which is the last place of a float in [0.5, 1).
    forja__u32x16 small = (forja__u32x16)((forja__f32x16)bits + 0.5f) - 0x3f000000u;
    forja__u32x16 is_small = (forja__u32x16)(bits < 0x38800000u);
    forja__u32x16 is_large = (forja__u32x16)(bits >= 0x477ff000u);
    forja__u32x16 is_nan = (forja__u32x16)(bits > 0x7f800000u);
    forja__u32x16 half = (is_small & small) | (~is_small & normal);
    half = (is_large & 0x7c00u) | (~is_large & half);
    half |= is_nan & (((bits >> 13) & 0x3ffu) | 0x200u);
    *halves = __builtin_convertvector(half | sign, forja__u16x16);
}

FORJA__INLINE void load_16(forja__f32x16 *x, const void *base, uint64_t i, uint32_t count,
                           forja_dtype dtype) {
    if (dtype != FORJA_DTYPE_F16) {
        forja__load_16(x, base, i, count, dtype == FORJA_DTYPE_BF16);
        return;
    }
    forja__u16x16 halves = {0};
    memcpy(&halves, (const uint16_t *)base + i, count * sizeof(uint16_t));
    f32_from_f16_16(x, &halves);
}

FORJA__INLINE void store_16(void *base, uint64_t i, uint32_t count, forja_dtype dtype,
                            const forja__f32x16 *x) {
    if (dtype != FORJA_DTYPE_F16) {
        forja__store_16(base, i, count, dtype == FORJA_DTYPE_BF16, x);
        return;
    }
    forja__u16x16 halves;
    f16_from_f32_16(&halves, x);
    memcpy((uint16_t *)base + i, &halves, count * sizeof(uint16_t));
}

/// 16 elements past the caches, at a multiple of their size.
FORJA__INLINE void stream_16(void *base, uint64_t i, forja_dtype dtype, const forja__f32x16 *x) {
    forja__u16x16 halves;
    if (dtype == FORJA_DTYPE_F32) {
        forja__stream_f32_16((float *)base + i, x);
        return;
    }
    if (dtype == FORJA_DTYPE_BF16)
        forja__bf16_from_16(&halves, x);
    else
        f16_from_f32_16(&halves, x);
    forja__stream_u16_16((uint16_t *)base + i, &halves);
}

typedef struct cast_context {
    const void *source;
    void *destination;
    uint64_t count;
    size_t size;
    bool streams;
} cast_context;

FORJA__INLINE void cast_block(const cast_context *c, uint64_t index, forja_dtype from,
                              forja_dtype to) {
    uint64_t start = index * FORJA__BLOCK_ELEMENTS;
    uint64_t end = forja__min(c->count, start + FORJA__BLOCK_ELEMENTS);
    if (c->streams) {
        for (; start + 16 <= end; start += 16) {
            forja__f32x16 x;
            load_16(&x, c->source, start, 16, from);
            stream_16(c->destination, start, to, &x);
        }
        forja__stream_end();
    }
    FORJA__FOR_VECTORS(i, start, end, {
        forja__f32x16 x;
        load_16(&x, c->source, i, count, from);
        store_16(c->destination, i, count, to, &x);
    });
}

#define DEFINE_CAST(name, from, to)                                             \
    FORJA__INLINE void name##_body(const void *context, uint64_t index) {       \
        cast_block(context, index, from, to);                                   \
    }                                                                           \
    FORJA__DEFINE_TASK(name)

DEFINE_CAST(bf16_from_f32, FORJA_DTYPE_F32, FORJA_DTYPE_BF16)
DEFINE_CAST(f16_from_f32, FORJA_DTYPE_F32, FORJA_DTYPE_F16)
DEFINE_CAST(f32_from_bf16, FORJA_DTYPE_BF16, FORJA_DTYPE_F32)
DEFINE_CAST(f16_from_bf16, FORJA_DTYPE_BF16, FORJA_DTYPE_F16)
DEFINE_CAST(f32_from_f16, FORJA_DTYPE_F16, FORJA_DTYPE_F32)
DEFINE_CAST(bf16_from_f16, FORJA_DTYPE_F16, FORJA_DTYPE_BF16)

static void copy_block(void *context, uint64_t index, uint32_t thread) {
    (void)thread;
    const cast_context *c = context;
    uint64_t start = index * FORJA__BLOCK_ELEMENTS;
    memmove((char *)c->destination + start * c->size, (const char *)c->source + start * c->size,
            forja__min(FORJA__BLOCK_ELEMENTS, c->count - start) * c->size);
}

static forja__task *cast_task(forja_dtype from, forja_dtype to) {
    switch (from) {
    case FORJA_DTYPE_F32:
        return to == FORJA_DTYPE_BF16 ? bf16_from_f32_task() : f16_from_f32_task();
    case FORJA_DTYPE_BF16:
        return to == FORJA_DTYPE_F32 ? f32_from_bf16_task() : f16_from_bf16_task();
    default:
        return to == FORJA_DTYPE_F32 ? f32_from_f16_task() : bf16_from_f16_task();
    }
}

forja_status forja__cpu_cast(forja_queue *queue, const forja_cast_args *args) {
    cast_context context = {
        .source = forja__host_at(args->source, args->from),
        .destination = forja__host_at(args->destination, args->to),
        .count = args->count,
        .size = forja_dtype_size(args->from),
    };
    context.streams =
        forja__streams(context.destination, args->count * forja_dtype_size(args->to));
    forja__pool_run(queue->device->pool, forja__ceil_divide(args->count, FORJA__BLOCK_ELEMENTS),
                    args->from == args->to ? copy_block : cast_task(args->from, args->to),
                    &context);
    return FORJA_OK;
}
