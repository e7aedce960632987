// Row softmax and its gradient.
#include "log_sum_exp.h"

typedef struct softmax_context {
    const void *x, *y, *dy;
    void *out;
    uint64_t rows, width, block_rows;
} softmax_context;

FORJA__INLINE void forward_body(const void *context, uint64_t index, bool bf16) {
    const softmax_context *c = context;
    uint64_t end = forja__min(c->rows, (index + 1) * c->block_rows);
    for (uint64_t n = index * c->block_rows; n < end; n++) {
        uint64_t start = n * c->width;
        float *y = bf16 ? NULL : (float *)c->out + start;
        forja__log_sum_exp row;
        forja__row_log_sum_exp(&row, c->x, start, c->width, 1.0f, false, bf16, y);
        float factor = row.sum == 0 ? 0.0f : (float)(1 / row.sum);
        if (y)
            forja__scale_exponentials(y, c->width, &row, factor);
        else
            FORJA__FOR_VECTORS(i, 0, c->width, {
                forja__f32x16 x;
                forja__load_16(&x, c->x, start + i, count, bf16);
                x -= row.maximum;
                forja__exp_flush_16(&x);
                x *= factor;
                forja__store_16(c->out, start + i, count, bf16, &x);
            });
    }
}
FORJA__DEFINE_STORAGE_TASK(forward)

FORJA__INLINE void backward_body(const void *context, uint64_t index, bool bf16) {
    const softmax_context *c = context;
    uint64_t end = forja__min(c->rows, (index + 1) * c->block_rows);
    for (uint64_t n = index * c->block_rows; n < end; n++) {
        forja__f32x16 dots[4] = {0}, y, dy;
        FORJA__FOR_VECTORS_IN_4(i, k, 0, c->width, {
            forja__load_16(&y, c->y, n * c->width + i, count, bf16);
            forja__load_16(&dy, c->dy, n * c->width + i, count, bf16);
            dots[k] += y * dy;
        });
        float dot = forja__sum_4x16(dots);
        FORJA__FOR_VECTORS(i, 0, c->width, {
            forja__load_16(&y, c->y, n * c->width + i, count, bf16);
            forja__load_16(&dy, c->dy, n * c->width + i, count, bf16);
            y *= dy - dot;
            forja__store_16(c->out, n * c->width + i, count, bf16, &y);
        });
    }
}
FORJA__DEFINE_STORAGE_TASK(backward)

forja_status forja__cpu_softmax_forward(forja_queue *queue, const forja_softmax_args *args) {
    softmax_context context = {
        .x = forja__host_at(args->x, args->dtype),
        .out = forja__host_at(args->y, args->dtype),
        .rows = args->rows,
        .width = args->width,
        .block_rows = forja__block_rows(args->width),
    };
    forja__pool_run(queue->device->pool, forja__ceil_divide(args->rows, context.block_rows),
                    forward_task(args->dtype == FORJA_DTYPE_BF16), &context);
    return FORJA_OK;
}

forja_status forja__cpu_softmax_backward(forja_queue *queue,
                                         const forja_softmax_backward_args *args) {
    softmax_context context = {
        .y = forja__host_at(args->y, args->dtype),
        .dy = forja__host_at(args->dy, args->dtype),
        .out = forja__host_at(args->dx, args->dtype),
        .rows = args->rows,
        .width = args->width,
        .block_rows = forja__block_rows(args->width),
    };
    forja__pool_run(queue->device->pool, forja__ceil_divide(args->rows, context.block_rows),
                    backward_task(args->dtype == FORJA_DTYPE_BF16), &context);
    return FORJA_OK;
}
