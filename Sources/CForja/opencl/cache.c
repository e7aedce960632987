/// Launches the append to a key-value cache.

#include "opencl.h"

forja_status forja__opencl_cache_append(forja_queue *queue, const forja_cache_append_args *args) {
    const forja_cache_append_args x = *args;
    static const char name[] = "forja_cache_append";
    cl_kernel kernel;
    FORJA__TRY(forja__kernel_get(&kernel, queue->device, FORJA__SOURCE_CACHE,
                                 x.dtype == FORJA_DTYPE_BF16 ? "-DSTORAGE_BF16" : "", name));
    const size_t global[3] = {x.width, x.rows, x.batch};
    return FORJA__LAUNCH(queue, kernel, name, 3, global, NULL, FORJA__ARG_SPAN(x.source),
                         FORJA__ARG_SPAN(x.cache), FORJA__ARG_SPAN(x.position),
                         FORJA__ARG(x.capacity), FORJA__ARG(x.width),
                         FORJA__ARG(x.source_row_stride));
}
