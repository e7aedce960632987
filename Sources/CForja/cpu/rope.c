// Rotary position embedding, in place.
#include "storage.h"

/// Rows may lie a page apart, where the hardware's own prefetching stops: each head asks for the same head of
/// the row that comes so many later.
enum { ROWS_AHEAD = 2 };

typedef struct rope_context {
    void *x;
    const float *cosine, *sine;
    const int32_t *positions;
    uint64_t rows, sequence_length, row_stride, position_count, block_rows;
    uint32_t heads, half;
    float sign; // of the angle
} rope_context;

/// The row of the tables that row n reads.
FORJA__INLINE uint64_t position_of(const rope_context *c, uint64_t n) {
    uint64_t position = n % c->sequence_length;
    if (c->positions)
        position = c->positions[n] < 0 ? 0 : (uint64_t)c->positions[n];
    return forja__min(position, c->position_count - 1);
}

FORJA__INLINE void rope_body(const void *context, uint64_t index, bool bf16) {
    const rope_context *c = context;
    uint64_t end = forja__min(c->rows, (index + 1) * c->block_rows);
    for (uint64_t n = index * c->block_rows; n < end; n++) {
        uint64_t table = position_of(c, n) * c->half;
        uint64_t low = n * c->row_stride;
        for (uint32_t head = 0; head < c->heads; head++, low += 2 * c->half) {
            const uint64_t high = low + c->half, ahead = low + ROWS_AHEAD * c->row_stride;
            for (uint64_t i = 0; i < 2 * c->half; i += 16)
                forja__prefetch_to_write(c->x, ahead + i, bf16);
            FORJA__FOR_VECTORS(i, 0, c->half, {
                forja__f32x16 a, b, cosine, sine;
                forja__load_16(&cosine, c->cosine, table + i, count, false);
                forja__load_16(&sine, c->sine, table + i, count, false);
                sine *= c->sign;
                forja__load_16(&a, c->x, low + i, count, bf16);
                forja__load_16(&b, c->x, high + i, count, bf16);
                forja__f32x16 turned_a = a * cosine - b * sine, turned_b = b * cosine + a * sine;
                forja__store_16(c->x, low + i, count, bf16, &turned_a);
                forja__store_16(c->x, high + i, count, bf16, &turned_b);
            });
        }
    }
}
FORJA__DEFINE_STORAGE_TASK(rope)

forja_status forja__cpu_rope(forja_queue *queue, const forja_rope_args *args) {
    rope_context context = {
        .x = forja__host_at(args->x, args->dtype),
        .cosine = forja__ptr(args->cosine, float),
        .sine = forja__ptr(args->sine, float),
        .positions = forja__ptr(args->positions, int32_t),
        .rows = args->rows,
        .sequence_length = args->sequence_length ? args->sequence_length : args->rows,
        .row_stride = args->row_stride,
        .position_count = args->position_count,
        .block_rows = forja__block_rows((uint64_t)args->heads * args->head_dim),
        .heads = args->heads,
        .half = args->head_dim / 2,
        .sign = args->inverse ? -1.0f : 1.0f,
    };
    forja__pool_run(queue->device->pool, forja__ceil_divide(args->rows, context.block_rows),
                    rope_task(args->dtype == FORJA_DTYPE_BF16), &context);
    return FORJA_OK;
}
