// y = silu(gate) · up and its gradient.
#include "storage.h"

typedef struct swiglu_context {
    const void *x, *dy;
    void *y, *dx;
    uint64_t rows, width, block_rows;
} swiglu_context;

/// 1 / (1 + e^-x); 0 where e^-x would pass 2^127.
FORJA__INLINE void sigmoid_16(forja__f32x16 *x) {
    const forja__i32x16 is_zero = *x < -88.0f;
    *x = -*x;
    forja__at_most_16(x, 88.0f);
    forja__exp_flush_16(x);
    *x = 1.0f / (1.0f + *x);
    *x = (forja__f32x16)((forja__i32x16)*x & ~is_zero);
}

FORJA__INLINE void forward_body(const void *context, uint64_t index, bool bf16) {
    const swiglu_context *c = context;
    uint64_t end = forja__min(c->rows, (index + 1) * c->block_rows);
    for (uint64_t n = index * c->block_rows; n < end; n++) {
        uint64_t row = n * 2 * c->width;
        FORJA__FOR_VECTORS(i, 0, c->width, {
            forja__f32x16 gate, up, sigmoid;
            forja__load_16(&gate, c->x, row + i, count, bf16);
            forja__load_16(&up, c->x, row + c->width + i, count, bf16);
            sigmoid = gate;
            sigmoid_16(&sigmoid);
            gate = gate * sigmoid * up;
            forja__store_16(c->y, n * c->width + i, count, bf16, &gate);
        });
    }
}
FORJA__DEFINE_STORAGE_TASK(forward)

FORJA__INLINE void backward_body(const void *context, uint64_t index, bool bf16) {
    const swiglu_context *c = context;
    uint64_t end = forja__min(c->rows, (index + 1) * c->block_rows);
    for (uint64_t n = index * c->block_rows; n < end; n++) {
        uint64_t row = n * 2 * c->width;
        FORJA__FOR_VECTORS(i, 0, c->width, {
            forja__f32x16 gate, up, dy, sigmoid;
            forja__load_16(&gate, c->x, row + i, count, bf16);
            forja__load_16(&up, c->x, row + c->width + i, count, bf16);
            forja__load_16(&dy, c->dy, n * c->width + i, count, bf16);
            sigmoid = gate;
            sigmoid_16(&sigmoid);
            forja__f32x16 d_gate = dy * up * sigmoid * (1.0f + gate * (1.0f - sigmoid));
            forja__f32x16 d_up = dy * gate * sigmoid;
            forja__store_16(c->dx, row + i, count, bf16, &d_gate);
            forja__store_16(c->dx, row + c->width + i, count, bf16, &d_up);
        });
    }
}
FORJA__DEFINE_STORAGE_TASK(backward)

forja_status forja__cpu_swiglu_forward(forja_queue *queue, const forja_swiglu_args *args) {
    swiglu_context context = {
        .x = forja__host_at(args->x, args->dtype),
        .y = forja__host_at(args->y, args->dtype),
        .rows = args->rows,
        .width = args->width,
        .block_rows = forja__block_rows(args->width),
    };
    forja__pool_run(queue->device->pool, forja__ceil_divide(args->rows, context.block_rows),
                    forward_task(args->dtype == FORJA_DTYPE_BF16), &context);
    return FORJA_OK;
}

forja_status forja__cpu_swiglu_backward(forja_queue *queue,
                                        const forja_swiglu_backward_args *args) {
    swiglu_context context = {
        .x = forja__host_at(args->x, args->dtype),
        .dy = forja__host_at(args->dy, args->dtype),
        .dx = forja__host_at(args->dx, args->dtype),
        .rows = args->rows,
        .width = args->width,
        .block_rows = forja__block_rows(args->width),
    };
    forja__pool_run(queue->device->pool, forja__ceil_divide(args->rows, context.block_rows),
                    backward_task(args->dtype == FORJA_DTYPE_BF16), &context);
    return FORJA_OK;
}
