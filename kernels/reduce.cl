// Sums in a fixed order, and the step scalars made from a gradient's squares.
//
// Precision float32; runs of vectors, whose sums are added with compensation (Neumaier, 1974)
// Twin      cpu/reduce.c

// What a sum lost so far is kept beside it.
typedef struct compensated {
    float sum, lost;
} compensated;

static inline void add_compensated(compensated *total, float x) {
    float sum = total->sum + x;
    total->lost += fabs(total->sum) >= fabs(x) ? (total->sum - sum) + x : (x - sum) + total->sum;
    total->sum = sum;
}

// Past infinity the lost part is NaN and says nothing.
static inline float compensated_value(compensated total) {
    return isfinite(total.sum) ? total.sum + total.lost : total.sum;
}

// All work-items' totals, in the order of the lanes; valid in the first work-item.
#if LANES == 1
#define TOTAL_SCRATCH
#define group_total(total) compensated_value(total)
#else
#define TOTAL_SCRATCH __local float total_scratch[2 * LANES];
#define group_total(total) add_lanes((total), total_scratch)
static inline float add_lanes(compensated total, __local float *scratch) {
    uint lane = get_local_id(0);
    scratch[lane] = total.sum;
    scratch[LANES + lane] = total.lost;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (lane > 0)
        return 0.0f;
    for (uint other = 1; other < LANES; other++) {
        add_compensated(&total, scratch[other]);
        total.lost += scratch[LANES + other];
    }
    return compensated_value(total);
}
#endif

// forja_reduce_chunks: partials[g] = Σ over chunk g of x, or of x² with -DSQUARES.
//
// Launch    one work-group per CHUNK elements
#define RUN (LANES == 1 ? 4096 : 4 * LANES * VEC) // elements added without compensation
#ifdef CHUNK
ROW_KERNEL void forja_reduce_chunks(__global const float *x, ulong x_offset,
                                    __global float *partials, ulong partials_offset, ulong count) {
    TOTAL_SCRATCH
    x += x_offset;
    ulong start = get_group_id(0) * (ulong)CHUNK, end = min(count, start + CHUNK);
    compensated total = {0.0f, 0.0f};
    for (ulong first = start; first < end; first += RUN) {
        ulong last = min(end, first + RUN), i = first + get_local_id(0) * VEC;
        float_v sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#if LANES == 1
        for (; i + 4 * VEC <= last; i += 4 * VEC)
            for (uint k = 0; k < 4; k++) {
                float_v v = load_f32_v(x + i + k * VEC, VEC);
#ifdef SQUARES
                v *= v;
#endif
                sums[k] += v;
            }
#endif
        for (; i < last; i += LANES * VEC) {
            float_v v = load_f32_v(x + i, last - i);
#ifdef SQUARES
            v *= v;
#endif
            sums[0] += v;
        }
        add_compensated(&total, sum_v((sums[0] + sums[1]) + (sums[2] + sums[3])));
    }
    float sum = group_total(total);
    if (get_local_id(0) == 0)
        partials[partials_offset + get_group_id(0)] = sum;
}
#endif

static inline compensated lane_total(__global const float *partials, ulong count) {
    compensated total = {0.0f, 0.0f};
    for (ulong i = get_local_id(0); i < count; i += LANES)
        add_compensated(&total, partials[i]);
    return total;
}

// forja_sum_partials: out = scale · Σ partials (+ out). Launch: one work-group.
ROW_KERNEL void forja_sum_partials(__global const float *partials, ulong partials_offset,
                                   __global float *out, ulong out_offset, ulong count, float scale,
                                   int accumulate) {
    TOTAL_SCRATCH
    float sum = scale * group_total(lane_total(partials + partials_offset, count));
    if (get_local_id(0) == 0)
        out[out_offset] = accumulate ? out[out_offset] + sum : sum;
}

// forja_gradient_norm: fills the step scalars (include/forja_optimizer.h). Launch: one work-group.
#define GRADIENT_SCALE 3
#define MAX_NORM 4
#define LOSS_SUM 8
#define GRADIENT_NORM 9
#define UPDATE_SCALE 10
#define IS_FINITE 11
ROW_KERNEL void forja_gradient_norm(__global const float *partials, ulong partials_offset,
                                    __global float *scalars, ulong scalars_offset, ulong count) {
    TOTAL_SCRATCH
    float squares = group_total(lane_total(partials + partials_offset, count));
    if (get_local_id(0) == 0) {
        scalars += scalars_offset;
        float scale = scalars[GRADIENT_SCALE], max_norm = scalars[MAX_NORM];
        float norm = sqrt(squares) * fabs(scale);
        float clip = max_norm > 0.0f ? max_norm / (norm + 1e-6f) : 1.0f;
        scalars[GRADIENT_NORM] = norm;
        scalars[UPDATE_SCALE] = scale * (clip < 1.0f ? clip : 1.0f);
        scalars[IS_FINITE] = isfinite(norm) && isfinite(scalars[LOSS_SUM]) ? 1.0f : 0.0f;
    }
}
