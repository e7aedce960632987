// Chains of multiply-adds in registers: the twin of kernels/peak.cl.
#include "storage.h"

/// Elements of one task: a multiple of 16 times every number of chains below.
enum { BLOCK = 960 };

typedef struct multiply_add_context {
    float *out;
    uint64_t count, steps;
    float factor, addend;
} multiply_add_context;

/// `chains` vectors of 16 advance by turns: a constant where this is inlined.
FORJA__INLINE void multiply_add_body(const void *context, uint64_t index, uint32_t chains) {
    const multiply_add_context *c = context;
    const forja__f32x16 factor = (forja__f32x16){0} + c->factor;
    const forja__f32x16 addend = (forja__f32x16){0} + c->addend;
    const uint64_t end = forja__min(c->count, (index + 1) * BLOCK);
    for (uint64_t first = index * BLOCK; first < end; first += 16 * chains) {
        forja__f32x16 x[12];
        for (uint32_t k = 0; k < chains; k++)
            for (uint32_t lane = 0; lane < 16; lane++)
                x[k][lane] = (float)((first + 16 * k + lane) % 1024);
        for (uint64_t step = 0; step < c->steps; step++)
#pragma GCC unroll 16
            for (uint32_t k = 0; k < chains; k++)
                x[k] = x[k] * factor + addend;
        for (uint32_t k = 0; k < chains; k++) {
            const uint64_t at = first + 16 * k;
            if (at < end)
                memcpy(c->out + at, &x[k], forja__min(16, end - at) * sizeof(float));
        }
    }
}

// Registers of 16, 8 and 4 floats, of which there are 32, 16 and 16.
FORJA__DEFINE_TASK_FOR(multiply_add, FORJA__TARGET_AVX512, avx512, (context, index, 12))
FORJA__DEFINE_TASK_FOR(multiply_add, FORJA__TARGET_AVX2, avx2, (context, index, 5))
FORJA__DEFINE_TASK_FOR(multiply_add, , baseline, (context, index, 3))

forja_status forja__cpu_multiply_add(forja_queue *queue, const forja_multiply_add_args *args) {
    multiply_add_context context = {forja__ptr(args->out, float), args->count, args->steps,
                                    args->factor, args->addend};
    forja__pool_run(queue->device->pool, forja__ceil_divide(args->count, BLOCK),
                    forja__best_task(multiply_add_avx512, multiply_add_avx2, multiply_add_baseline),
                    &context);
    return FORJA_OK;
}
