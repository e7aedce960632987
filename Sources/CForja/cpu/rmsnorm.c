// Root-mean-square normalisation of rows.
#include <math.h>

#include "storage.h"

typedef struct forward_context {
    const void *x, *weight;
    void *y;
    float *rstd;
    uint64_t rows, width, block_rows;
    float epsilon;
} forward_context;

FORJA__INLINE void forward_body(const void *context, uint64_t index, bool bf16) {
    const forward_context *c = context;
    uint64_t end = forja__min(c->rows, (index + 1) * c->block_rows);
    for (uint64_t n = index * c->block_rows; n < end; n++) {
        uint64_t row = n * c->width;
        forja__f32x16 squares[4] = {0}, x, w;
        FORJA__FOR_VECTORS_IN_4(i, k, 0, c->width, {
            forja__load_16(&x, c->x, row + i, count, bf16);
            squares[k] += x * x;
        });
        float rstd = 1.0f / sqrtf(forja__sum_4x16(squares) / (float)c->width + c->epsilon);
        c->rstd[n] = rstd;
        FORJA__FOR_VECTORS(i, 0, c->width, {
            forja__load_16(&x, c->x, row + i, count, bf16);
            forja__load_16(&w, c->weight, i, count, bf16);
            x = x * rstd * w;
            forja__store_16(c->y, row + i, count, bf16, &x);
        });
    }
}
FORJA__DEFINE_STORAGE_TASK(forward)

forja_status forja__cpu_rmsnorm_forward(forja_queue *queue, const forja_rmsnorm_args *args) {
    forward_context context = {
        .x = forja__host_at(args->x, args->dtype),
        .weight = forja__host_at(args->weight, args->dtype),
        .y = forja__host_at(args->y, args->dtype),
        .rstd = forja__ptr(args->rstd, float),
        .rows = args->rows,
        .width = args->width,
        .block_rows = forja__block_rows(args->width),
        .epsilon = args->epsilon,
    };
    forja__pool_run(queue->device->pool, forja__ceil_divide(args->rows, context.block_rows),
                    forward_task(args->dtype == FORJA_DTYPE_BF16), &context);
    return FORJA_OK;
}

// The weight's gradient is summed per block of rows into a row of the workspace, then over the
// blocks in order. The blocks depend on N alone.
enum { MIN_BLOCK_ROWS = 32, MAX_BLOCKS = 128 };

typedef struct backward_context {
    const void *x, *weight, *dy;
    const float *rstd;
    void *dx;
    float *d_weight;
    float *partials; // [block_count, width]
    uint64_t rows, width, block_rows, block_count;
    bool accumulate_dx, accumulate_d_weight;
} backward_context;

static uint64_t backward_block_rows(uint64_t rows) {
    uint64_t block_rows = forja__ceil_divide(rows, MAX_BLOCKS);
    return block_rows > MIN_BLOCK_ROWS ? block_rows : MIN_BLOCK_ROWS;
}

FORJA__INLINE void backward_body(const void *context, uint64_t index, bool bf16) {
    const backward_context *c = context;
    float *partial = c->partials + index * c->width;
    memset(partial, 0, c->width * 4);
    uint64_t end = forja__min(c->rows, (index + 1) * c->block_rows);
    for (uint64_t n = index * c->block_rows; n < end; n++) {
        uint64_t row = n * c->width;
        float rstd = c->rstd[n];
        forja__f32x16 dots[4] = {0}, x, dy, w, sum;
        FORJA__FOR_VECTORS_IN_4(i, k, 0, c->width, {
            forja__load_16(&x, c->x, row + i, count, bf16);
            forja__load_16(&dy, c->dy, row + i, count, bf16);
            forja__load_16(&w, c->weight, i, count, bf16);
            forja__load_16(&sum, partial, i, count, false);
            x *= dy;
            dots[k] += w * x;
            sum += x * rstd;
            forja__store_16(partial, i, count, false, &sum);
        });
        float slope = forja__sum_4x16(dots) / (float)c->width * rstd * rstd;
        FORJA__FOR_VECTORS(i, 0, c->width, {
            forja__load_16(&x, c->x, row + i, count, bf16);
            forja__load_16(&dy, c->dy, row + i, count, bf16);
            forja__load_16(&w, c->weight, i, count, bf16);
            x = (w * dy - x * slope) * rstd;
            if (c->accumulate_dx) {
                forja__load_16(&sum, c->dx, row + i, count, bf16);
                x += sum;
            }
            forja__store_16(c->dx, row + i, count, bf16, &x);
        });
    }
}
FORJA__DEFINE_STORAGE_TASK(backward)

enum { COLUMN_BLOCK = 256 };

FORJA__INLINE void add_partials_body(const void *context, uint64_t index) {
    const backward_context *c = context;
    uint64_t end = forja__min(c->width, (index + 1) * COLUMN_BLOCK);
    FORJA__FOR_VECTORS(i, index * COLUMN_BLOCK, end, {
        forja__f32x16 sum = {0}, partial;
        for (uint64_t block = 0; block < c->block_count; block++) {
            forja__load_16(&partial, c->partials, block * c->width + i, count, false);
            sum += partial;
        }
        if (c->accumulate_d_weight) {
            forja__load_16(&partial, c->d_weight, i, count, false);
            sum += partial;
        }
        forja__store_16(c->d_weight, i, count, false, &sum);
    });
}
FORJA__DEFINE_TASK(add_partials)

uint64_t forja__cpu_rmsnorm_backward_workspace_bytes(const forja_device *device,
                                                     const forja_rmsnorm_backward_args *args) {
    (void)device;
    return forja__product(
        forja__ceil_divide(args->rows, backward_block_rows(args->rows)),
        forja__product(args->width, sizeof(float)));
}

forja_status forja__cpu_rmsnorm_backward(forja_queue *queue,
                                         const forja_rmsnorm_backward_args *args) {
    forja_buffer *workspace;
    FORJA__TRY(forja__queue_workspace(
        &workspace, queue, forja__cpu_rmsnorm_backward_workspace_bytes(queue->device, args)));
    uint64_t block_rows = backward_block_rows(args->rows);
    backward_context context = {
        .x = forja__host_at(args->x, args->dtype),
        .weight = forja__host_at(args->weight, args->dtype),
        .dy = forja__host_at(args->dy, args->dtype),
        .rstd = forja__ptr(args->rstd, float),
        .dx = forja__host_at(args->dx, args->dtype),
        .d_weight = forja__ptr(args->d_weight, float),
        .partials = workspace->host,
        .rows = args->rows,
        .width = args->width,
        .block_rows = block_rows,
        .block_count = forja__ceil_divide(args->rows, block_rows),
        .accumulate_dx = args->accumulate_dx,
        .accumulate_d_weight = args->accumulate_d_weight,
    };
    forja__pool_run(queue->device->pool, context.block_count,
                    backward_task(args->dtype == FORJA_DTYPE_BF16), &context);
    forja__pool_run(queue->device->pool, forja__ceil_divide(args->width, COLUMN_BLOCK),
                    add_partials_task(), &context);
    return FORJA_OK;
}
