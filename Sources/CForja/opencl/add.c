// Launches kernels/add.cl.
#include "rows.h"

forja_status forja__opencl_add(forja_queue *queue, const forja_add_args *args) {
    static const char name[] = "forja_add";
    forja__rows rows =
        forja__rows_choose(queue->device, args->dtype, args->count,
                           args->a.offset | args->b.offset | args->y.offset | args->count);
    cl_kernel kernel;
    FORJA__TRY(forja__rows_kernel(&kernel, queue->device, FORJA__SOURCE_ADD, rows, "", name));
    forja__rows_range range =
        forja__rows_groups(rows, forja__ceil_groups(args->count, forja__rows_block(rows)));
    return FORJA__LAUNCH(queue, kernel, name, 1, range.global, range.local,
                         FORJA__ARG_SPAN(args->a), FORJA__ARG_SPAN(args->b),
                         FORJA__ARG_SPAN(args->y), FORJA__ARG(args->count));
}
