// The key-value cache's public entry.
#include "ops.h"

forja_status forja_cache_append(forja_queue *queue, const forja_cache_append_args *args) {
    static const char operation[] = "forja_cache_append";
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(forja__check_storage_dtype(args->dtype, operation, "dtype"));
    if (args->batch == 0 || args->rows == 0 || args->capacity == 0 || args->width == 0)
        return FORJA_OK;
    FORJA__TRY(
        forja__check_stride(args->source_row_stride, args->width, operation, "source_row_stride"));
    const uint64_t source_rows = (uint64_t)args->batch * args->rows;
    const uint64_t cache_rows = (uint64_t)args->batch * args->capacity;
    FORJA__TRY(forja__check_span(queue, args->source,
                                 forja__extent(source_rows, args->source_row_stride, args->width),
                                 args->dtype, operation, "source"));
    FORJA__TRY(forja__check_span(queue, args->cache, forja__product(cache_rows, args->width),
                                 args->dtype, operation, "cache"));
    FORJA__TRY(forja__check_span(queue, args->position, args->batch, FORJA_DTYPE_I32, operation,
                                 "position"));
    return FORJA__DISPATCH(cache_append, queue, args);
}
