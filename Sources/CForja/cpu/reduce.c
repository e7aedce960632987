// Sums in a fixed order, in chunks.
#include <math.h>

#include "storage.h"

typedef struct chunk_context {
    const float *x;
    float *partials;
    uint64_t count;
} chunk_context;

/// Short runs in f32 vectors, their sums in double: a chunk's error stays near one rounding.
FORJA__INLINE void reduce_chunk(const chunk_context *c, uint64_t index, bool squares) {
    enum { RUN = 4096 };
    double total = 0;
    uint64_t end = forja__min(c->count, (index + 1) * FORJA_SUM_SQUARES_CHUNK);
    for (uint64_t first = index * FORJA_SUM_SQUARES_CHUNK; first < end; first += RUN) {
        uint64_t run_end = forja__min(end, first + RUN);
        forja__f32x16 sums[4] = {0}, x;
        FORJA__FOR_VECTORS_IN_4(i, k, first, run_end, {
            forja__load_16(&x, c->x, i, count, false);
            sums[k] += squares ? x * x : x;
        });
        total += forja__sum_4x16(sums);
    }
    c->partials[index] = (float)total;
}

FORJA__INLINE void sum_chunk_body(const void *context, uint64_t index) {
    reduce_chunk(context, index, false);
}
FORJA__DEFINE_TASK(sum_chunk)

FORJA__INLINE void sum_squares_chunk_body(const void *context, uint64_t index) {
    reduce_chunk(context, index, true);
}
FORJA__DEFINE_TASK(sum_squares_chunk)

static double add_in_order(const float *partials, uint64_t count) {
    double sum = 0;
    for (uint64_t i = 0; i < count; i++)
        sum += partials[i];
    return sum;
}

forja_status forja__cpu_sum(forja_queue *queue, const forja_sum_args *args) {
    uint64_t chunks = forja__ceil_divide(args->count, FORJA_SUM_SQUARES_CHUNK);
    forja_buffer *workspace;
    FORJA__TRY(forja__queue_workspace(&workspace, queue, chunks * sizeof(float)));
    chunk_context context = {forja__ptr(args->x, float), workspace->host, args->count};
    forja__pool_run(queue->device->pool, chunks, sum_chunk_task(), &context);
    float *out = forja__ptr(args->out, float);
    double sum = args->scale * add_in_order(context.partials, chunks);
    *out = (float)(args->accumulate ? *out + sum : sum);
    return FORJA_OK;
}

forja_status forja__cpu_sum_squares(forja_queue *queue, const forja_sum_squares_args *args) {
    chunk_context context = {forja__ptr(args->x, float), forja__ptr(args->partials, float),
                             args->count};
    forja__pool_run(queue->device->pool, forja__ceil_divide(args->count, FORJA_SUM_SQUARES_CHUNK),
                    sum_squares_chunk_task(), &context);
    return FORJA_OK;
}

forja_status forja__cpu_gradient_norm(forja_queue *queue, const forja_gradient_norm_args *args) {
    (void)queue;
    float *scalars = forja__ptr(args->scalars, float);
    float scale = scalars[FORJA_STEP_GRADIENT_SCALE], max_norm = scalars[FORJA_STEP_MAX_NORM];
    // Rounded to f32 so that a sum past its range is infinite here as on OpenCL devices.
    float squares = (float)add_in_order(forja__ptr(args->partials, float), args->partial_count);
    float norm = sqrtf(squares) * fabsf(scale);
    float clip = max_norm > 0 ? max_norm / (norm + 1e-6f) : 1.0f;
    scalars[FORJA_STEP_GRADIENT_NORM] = norm;
    scalars[FORJA_STEP_UPDATE_SCALE] = scale * (clip < 1 ? clip : 1.0f);
    scalars[FORJA_STEP_IS_FINITE] = isfinite(norm) && isfinite(scalars[FORJA_STEP_LOSS_SUM]);
    return FORJA_OK;
}
