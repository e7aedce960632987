/// Appending keys and values to a cache on the host: one task per batch, a copy per row.

#include <string.h>

#include "../internal.h"

static void append_batch(void *context, uint64_t batch, uint32_t thread) {
    (void)thread;
    const forja_cache_append_args *x = context;
    const size_t element = forja_dtype_size(x->dtype), bytes = x->width * element;
    const char *source = (const char *)x->source.buffer->host + x->source.offset * element;
    char *cache = (char *)x->cache.buffer->host + x->cache.offset * element;
    const int64_t first = forja__ptr(x->position, int32_t)[batch];
    for (int64_t t = 0; t < x->rows; t++) {
        if (first + t < 0 || first + t >= x->capacity)
            continue;
        memcpy(cache + (batch * x->capacity + (uint64_t)(first + t)) * bytes,
               source + (batch * x->rows + (uint64_t)t) * x->source_row_stride * element, bytes);
    }
}

forja_status forja__cpu_cache_append(forja_queue *queue, const forja_cache_append_args *args) {
    forja_cache_append_args copy = *args;
    forja__pool_run(queue->device->pool, args->batch, append_batch, &copy);
    return FORJA_OK;
}
