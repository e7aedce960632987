// Residual addition, in blocks of elements.
#include "storage.h"

typedef struct add_context {
    const void *a, *b;
    void *y;
    uint64_t count;
} add_context;

FORJA__INLINE void add_body(const void *context, uint64_t index, bool bf16) {
    const add_context *c = context;
    uint64_t end = forja__min(c->count, (index + 1) * FORJA__BLOCK_ELEMENTS);
    FORJA__FOR_VECTORS(i, index * FORJA__BLOCK_ELEMENTS, end, {
        forja__f32x16 a, b;
        forja__load_16(&a, c->a, i, count, bf16);
        forja__load_16(&b, c->b, i, count, bf16);
        a += b;
        forja__store_16(c->y, i, count, bf16, &a);
    });
}
FORJA__DEFINE_STORAGE_TASK(add)

forja_status forja__cpu_add(forja_queue *queue, const forja_add_args *args) {
    add_context context = {
        .a = forja__host_at(args->a, args->dtype),
        .b = forja__host_at(args->b, args->dtype),
        .y = forja__host_at(args->y, args->dtype),
        .count = args->count,
    };
    forja__pool_run(queue->device->pool,
                    forja__ceil_divide(args->count, FORJA__BLOCK_ELEMENTS),
                    add_task(args->dtype == FORJA_DTYPE_BF16), &context);
    return FORJA_OK;
}
