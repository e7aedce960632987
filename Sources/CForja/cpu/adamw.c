// One AdamW update in one pass over weight, gradient and both moments.
#include <math.h>

#include "storage.h"

typedef struct adamw_context {
    float *weight, *m, *v;
    forja__bf16 *weight_bf16; // NULL: no copy
    const float *gradient;
    uint64_t count;
    float update_scale, decay, beta1, beta2, step_size, root_correction2, epsilon;
} adamw_context;

FORJA__INLINE void square_root_16(forja__f32x16 *x) {
#if __has_builtin(__builtin_elementwise_sqrt)
    *x = __builtin_elementwise_sqrt(*x);
#else
    for (uint32_t lane = 0; lane < 16; lane++)
        (*x)[lane] = __builtin_sqrtf((*x)[lane]);
#endif
}

FORJA__INLINE void update_body(const void *context, uint64_t index) {
    const adamw_context *c = context;
    uint64_t end = forja__min(c->count, (index + 1) * FORJA__BLOCK_ELEMENTS);
    FORJA__FOR_VECTORS(i, index * FORJA__BLOCK_ELEMENTS, end, {
        forja__f32x16 w, g, m, v;
        forja__load_16(&w, c->weight, i, count, false);
        forja__load_16(&g, c->gradient, i, count, false);
        forja__load_16(&m, c->m, i, count, false);
        forja__load_16(&v, c->v, i, count, false);
        g *= c->update_scale;
        m = m * c->beta1 + g * (1.0f - c->beta1);
        v = v * c->beta2 + g * g * (1.0f - c->beta2);
        forja__f32x16 root = v;
        square_root_16(&root);
        w = w * c->decay - c->step_size * (m / (root / c->root_correction2 + c->epsilon));
        forja__store_16(c->weight, i, count, false, &w);
        forja__store_16(c->m, i, count, false, &m);
        forja__store_16(c->v, i, count, false, &v);
        if (c->weight_bf16)
            forja__store_16(c->weight_bf16, i, count, true, &w);
    });
}
FORJA__DEFINE_TASK(update)

forja_status forja__cpu_adamw(forja_queue *queue, const forja_adamw_args *args) {
    const float *scalars = forja__ptr(args->scalars, float);
    if (scalars[FORJA_STEP_IS_FINITE] == 0)
        return FORJA_OK;
    float rate = scalars[FORJA_STEP_LEARNING_RATE];
    adamw_context context = {
        .weight = forja__ptr(args->weight, float),
        .m = forja__ptr(args->m, float),
        .v = forja__ptr(args->v, float),
        .weight_bf16 = forja__ptr(args->weight_bf16, forja__bf16),
        .gradient = forja__ptr(args->gradient, float),
        .count = args->count,
        .update_scale = scalars[FORJA_STEP_UPDATE_SCALE],
        .decay = 1.0f - rate * args->weight_decay,
        .beta1 = args->beta1,
        .beta2 = args->beta2,
        .step_size = rate / scalars[FORJA_STEP_BIAS_CORRECTION1],
        .root_correction2 = sqrtf(scalars[FORJA_STEP_BIAS_CORRECTION2]),
        .epsilon = args->epsilon,
    };
    forja__pool_run(queue->device->pool, forja__ceil_divide(args->count, FORJA__BLOCK_ELEMENTS),
                    update_task(), &context);
    return FORJA_OK;
}
