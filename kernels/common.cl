// Prepended to every kernel file: storage types and their conversions.
//
// storage_t is what tensors are made of in memory: float, or with -DSTORAGE_BF16 the upper half of
// a float in a ushort. OpenCL C has no bf16 type, so loads widen and stores round to nearest even
// here. Sums are float32 everywhere.

static inline float bf16_to_float(ushort x) { return as_float((uint)x << 16); }

static inline ushort float_to_bf16(float x) {
    uint bits = as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (ushort)((bits >> 16) | 0x40u); // NaN stays NaN, and quiet
    return (ushort)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

#ifdef STORAGE_BF16
typedef ushort storage_t;
static inline float storage_load(ushort x) { return bf16_to_float(x); }
static inline ushort storage_store(float x) { return float_to_bf16(x); }
#else
typedef float storage_t;
static inline float storage_load(float x) { return x; }
static inline float storage_store(float x) { return x; }
#endif

// Asks for the line at an address, where the host says that the device is a processor (-DPREFETCHES):
// there an address is the same number in every address space. OpenCL's own prefetch does nothing on
// PoCL 3.1 and is a slow call on Intel's runtime.
#ifdef PREFETCHES
#if __has_builtin(__builtin_prefetch)
#define PREFETCH(address) __builtin_prefetch((const void *)(ulong)(address), 0, 2)
#define PREFETCH_TO_WRITE(address) __builtin_prefetch((const void *)(ulong)(address), 1)
#endif
#endif
#ifndef PREFETCH
#define PREFETCH(address)
#define PREFETCH_TO_WRITE(address)
#endif

#ifdef LANES
// ── Walking rows ─────────────────────────────────────────────────────────────────────────────────
//
// A work-group of LANES work-items walks a row (or a block of elements) together, VEC elements each
// at a time: work-item `lane` takes the vectors lane, lane + LANES, … of the row. One body serves
// both kinds of device: on CPU devices LANES is 1 and a vector is a register; on GPUs LANES is a
// power of two, and neighbours read neighbouring vectors.
//
// With LANES > 1 the host chooses VEC so that it divides every width and offset: loads are aligned
// and there are no tails. With LANES = 1 any width goes; the last vector of a row is loaded in
// part. Chosen in opencl/rows.c.

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define ROW_KERNEL __kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
#define FOR_LANE(i, start, end) \
    for (ulong i = (start) + get_local_id(0) * VEC; i < (end); i += LANES * VEC)

#if VEC == 1
#define VECTOR(name) name
#else
#define VECTOR(name) JOIN(name, VEC)
#endif
typedef VECTOR(float) float_v;
typedef VECTOR(uint) uint_v;
typedef VECTOR(ushort) ushort_v;
#define as_float_v VECTOR(as_float)
#define as_uint_v VECTOR(as_uint)
#define convert_float_v VECTOR(convert_float)
#define convert_uint_v VECTOR(convert_uint)
#define convert_ushort_v VECTOR(convert_ushort)

static inline float_v widen_bf16_v(ushort_v x) { return as_float_v(convert_uint_v(x) << 16); }

static inline ushort_v narrow_bf16_v(float_v x) {
    uint_v bits = as_uint_v(x);
    uint_v rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return convert_ushort_v(x != x ? (bits >> 16) | 0x40u : rounded);
}

// `left` elements are left from p to the end of the row.
#if LANES > 1 || VEC == 1
#define DEFINE_MEMORY(name, type, vector, widen, narrow)                                  \
    static inline float_v load_##name(__global const type *p, ulong left) {               \
        return widen(*(__global const vector *)p);                                        \
    }                                                                                     \
    static inline void store_##name(float_v x, __global type *p, ulong left) {            \
        *(__global vector *)p = narrow(x);                                                \
    }
#else
// Of a part, the other lanes are 0. Whole vectors go through a type of element alignment: vstore is
// a scalar store per lane on PoCL 3.1.
#define DEFINE_MEMORY(name, type, vector, widen, narrow)                                  \
    typedef vector __attribute__((aligned(sizeof(type)))) name##_unaligned;               \
    static inline float_v load_##name(__global const type *p, ulong left) {               \
        if (left >= VEC)                                                                  \
            return widen(*(__global const name##_unaligned *)p);                          \
        type part[VEC];                                                                   \
        for (uint k = 0; k < VEC; k++)                                                    \
            part[k] = k < left ? p[k] : (type)0;                                          \
        return widen(JOIN(vload, VEC)(0, part));                                          \
    }                                                                                     \
    static inline void store_##name(float_v x, __global type *p, ulong left) {            \
        if (left >= VEC) {                                                                \
            *(__global name##_unaligned *)p = narrow(x);                                  \
            return;                                                                       \
        }                                                                                 \
        type part[VEC];                                                                   \
        JOIN(vstore, VEC)(narrow(x), 0, part);                                            \
        for (uint k = 0; k < left; k++)                                                   \
            p[k] = part[k];                                                               \
    }
#endif
DEFINE_MEMORY(f32_v, float, float_v, , )
DEFINE_MEMORY(bf16_v, ushort, ushort_v, widen_bf16_v, narrow_bf16_v)
#ifdef STORAGE_BF16
#define load_v load_bf16_v
#define store_v store_bf16_v
#else
#define load_v load_f32_v
#define store_v store_f32_v
#endif

// A dot product and not x.s0 + x.s1 + …, which clang turns into a shuffle with undefined lanes:
// Oclgrind 21.10 reads those with --uninitialized and dies.
static inline float sum_4(float4 x) { return dot(x, (float4)(1.0f)); }
static inline float max_4(float4 x) { return fmax(fmax(x.s0, x.s2), fmax(x.s1, x.s3)); }
#if VEC == 1
#define sum_v(x) (x)
#define max_v(x) (x)
#elif VEC == 4
#define sum_v sum_4
#define max_v max_4
#elif VEC == 8
static inline float sum_v(float8 x) { return sum_4(x.lo + x.hi); }
static inline float max_v(float8 x) { return max_4(fmax(x.lo, x.hi)); }
#else
static inline float sum_v(float16 x) { return sum_4((x.lo.lo + x.hi.lo) + (x.lo.hi + x.hi.hi)); }
static inline float max_v(float16 x) {
    return max_4(fmax(fmax(x.lo.lo, x.hi.lo), fmax(x.lo.hi, x.hi.hi)));
}
#endif

#if VEC == 1
#define LANE_NUMBERS 0u
#elif VEC == 4
#define LANE_NUMBERS (uint4)(0, 1, 2, 3)
#elif VEC == 8
#define LANE_NUMBERS (uint8)(0, 1, 2, 3, 4, 5, 6, 7)
#else
#define LANE_NUMBERS (uint16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#endif

// x with `filler` in place of the elements past the end of the row.
#if LANES > 1 || VEC == 1
#define fill_v(x, left, filler) (x)
#else
static inline float_v fill_v(float_v x, ulong left, float filler) {
    return left >= VEC ? x : LANE_NUMBERS < (uint)left ? x : (float_v)(filler);
}
#endif

// Sum and maximum over the work-group, the same in every work-item, and a barrier for global
// memory; reached by all of them together.
#if LANES == 1
#define ROW_SCRATCH
#define row_barrier()
#define row_sum(x) (x)
#define row_max(x) (x)
#else
#define ROW_SCRATCH __local float row_scratch[LANES];
#define row_barrier() barrier(CLK_GLOBAL_MEM_FENCE)
#define row_sum(x) row_reduce((x), false, row_scratch)
#define row_max(x) row_reduce((x), true, row_scratch)
static inline float row_reduce(float x, bool greatest, __local float *scratch) {
    uint lane = get_local_id(0);
    scratch[lane] = x;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint reach = LANES / 2; reach > 0; reach /= 2) {
        if (lane < reach)
            scratch[lane] = greatest ? fmax(scratch[lane], scratch[lane + reach])
                                     : scratch[lane] + scratch[lane + reach];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    x = scratch[0];
    barrier(CLK_LOCAL_MEM_FENCE); // before the next reduction writes
    return x;
}
#endif

// ── Exponentials ─────────────────────────────────────────────────────────────────────────────────
//
// exp_v(x) = e^x for x ≤ 88, NaN kept; results below 2^-126.5 may be 0. CPU runtimes' own exp serves
// the whole range and costs up to three times this polynomial, whose error is below 1.3 units;
// derivation in cpu/vector_math.h. GPUs have an instruction for it.
#if LANES == 1 && VEC > 1
#define ROUNDER 12582912.0f // 1.5 · 2^23: adding it rounds to an integer, kept in the low bits
#define ROUNDER_BITS 0x4b400000u
static inline float_v exp_v(float_v x) {
    x = x < -88.0f ? (float_v)(-88.0f) : x;
    float_v shifted = fma(x, (float_v)(0x1.715476p+0f), (float_v)(ROUNDER));
    float_v n = shifted - ROUNDER;
    float_v r = fma(n, (float_v)(-0x1.63p-1f), x);
    r = fma(n, (float_v)(0x1.bd0106p-13f), r);
    float_v p = fma(r, (float_v)(0x1.6a2430p-10f), (float_v)(0x1.1239e4p-7f));
    p = fma(p, r, (float_v)(0x1.5558f2p-5f));
    p = fma(p, r, (float_v)(0x1.555492p-3f));
    p = fma(p, r, (float_v)(0x1.fffffcp-2f));
    p = fma(p, r, (float_v)(1.0f));
    p = fma(p, r, (float_v)(1.0f));
    return p * as_float_v((as_uint_v(shifted) - (ROUNDER_BITS - 127u)) << 23);
}
#else
#define exp_v exp
#endif

// ── log Σ exp of a row ───────────────────────────────────────────────────────────────────────────
//
// With t = scale · x: the greatest t, Σ exp(t − maximum) and Σ exp(t − maximum) · (t − maximum).
// One pass over memory: a block is read again from cache. Where it raises the maximum, what was
// summed before shrinks by exp(old − new) (Milakov and Gimelshein, 2018, arXiv:1805.02867). The
// maximum starts at -MAXFLOAT and not at -INFINITY, so that a row of -INFINITY gives sums of 0 and
// no NaN; a NaN in the row makes the sums NaN.
//
// On CPU devices an f32 row's exponentials can be kept, in `kept` where it is not NULL: each block's
// relative to its number in block_maxima, until scale_exponentials. A second exponential costs more
// than a store and a load there.
#ifdef LOG_SUM_EXP
// A work-item's share of a block stays in the first-level cache.
#define LOG_SUM_EXP_BLOCK (LANES == 1 ? 2048 : BLOCK)
#if LANES == 1 && !defined(STORAGE_BF16)
#define KEEPS_EXPONENTIALS
#define MAX_EXP_BLOCKS 64
#endif

typedef struct log_sum_exp {
    float maximum, sum, weighted_sum;
#ifdef KEEPS_EXPONENTIALS
    ulong block_width;
    float block_maxima[MAX_EXP_BLOCKS];
#endif
} log_sum_exp;

static inline float rescaled_weight(const log_sum_exp *s, float maximum) {
    return s->sum == 0.0f ? 0.0f : s->weighted_sum + (s->maximum - maximum) * s->sum;
}

// Of this work-item's vectors.
static inline void lane_log_sum_exp(log_sum_exp *s, __global const storage_t *x, ulong width,
                                    float scale, __global storage_t *kept) {
    ulong block = LOG_SUM_EXP_BLOCK;
#ifdef KEEPS_EXPONENTIALS
    ulong fewest = (width + MAX_EXP_BLOCKS - 1) / MAX_EXP_BLOCKS;
    block = max(block, (fewest + VEC - 1) / VEC * VEC);
    s->block_width = block;
#endif
#if LANES == 1
    ulong ahead = min(block, width); // the next block, or the next row
#endif
    s->maximum = -MAXFLOAT;
    s->sum = s->weighted_sum = 0.0f;
    for (ulong first = 0; first < width; first += block) {
        ulong end = min(width, first + block);
        float_v greatest = s->maximum;
        FOR_LANE(i, first, end) {
            float_v t = fill_v(load_v(x + i, end - i) * scale, end - i, -MAXFLOAT);
            greatest = t > greatest ? t : greatest;
        }
        float maximum = max_v(greatest);
        float shrink = exp(s->maximum - maximum);
        s->weighted_sum = rescaled_weight(s, maximum) * shrink;
        s->sum *= shrink;
        s->maximum = maximum;
        float_v sums = 0.0f, weighted_sums = 0.0f;
        FOR_LANE(i, first, end) {
#if LANES == 1
            if (!kept) // what also stores gains nothing
                PREFETCH(x + i + ahead);
#endif
            // As for the maximum: a product fused with the subtraction would differ from it.
            float_v t = fill_v(load_v(x + i, end - i) * scale, end - i, -INFINITY);
            t -= maximum;
            float_v e = exp_v(t);
            sums += e;
#ifdef WITH_WEIGHTED_SUM
            weighted_sums += e * (t < -110.0f ? (float_v)(-110.0f) : t);
#endif
#ifdef KEEPS_EXPONENTIALS
            if (kept)
                store_v(e, kept + i, end - i);
#endif
        }
#ifdef KEEPS_EXPONENTIALS
        s->block_maxima[first / block] = maximum;
#endif
        s->sum += sum_v(sums);
        s->weighted_sum += sum_v(weighted_sums);
    }
}

#ifdef KEEPS_EXPONENTIALS
// Kept exponentials become exp(t − maximum) · factor.
static inline void scale_exponentials(__global float *kept, ulong width, const log_sum_exp *s,
                                      float factor) {
    for (ulong first = 0; first < width; first += s->block_width) {
        ulong end = min(width, first + s->block_width);
        float block_factor = exp(s->block_maxima[first / s->block_width] - s->maximum) * factor;
        FOR_LANE(i, first, end)
            store_v(load_v(kept + i, end - i) * block_factor, kept + i, end - i);
    }
}
#endif

#define row_log_sum_exp(s, x, width, scale, kept)                                                \
    do {                                                                                         \
        lane_log_sum_exp((s), (x), (width), (scale), (kept));                                    \
        float maximum_ = row_max((s)->maximum), shrink_ = exp((s)->maximum - maximum_);          \
        float weight_ = row_sum(rescaled_weight((s), maximum_) * shrink_);                       \
        (s)->sum = row_sum((s)->sum * shrink_);                                                  \
        (s)->weighted_sum = weight_;                                                             \
        (s)->maximum = maximum_;                                                                 \
    } while (0)
#endif
#endif
