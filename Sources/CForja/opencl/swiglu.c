// Launches kernels/swiglu.cl.
#include "rows.h"

forja_status forja__opencl_swiglu_forward(forja_queue *queue, const forja_swiglu_args *args) {
    static const char name[] = "forja_swiglu_forward";
    forja__rows rows = forja__rows_choose(queue->device, args->dtype, args->width,
                                          args->x.offset | args->y.offset);
    cl_kernel kernel;
    FORJA__TRY(forja__rows_kernel(&kernel, queue->device, FORJA__SOURCE_SWIGLU, rows, "", name));
    cl_ulong group_rows = forja__rows_per_group(rows, args->width);
    forja__rows_range range =
        forja__rows_groups(rows, forja__ceil_groups(args->rows, group_rows));
    return FORJA__LAUNCH(queue, kernel, name, 1, range.global, range.local,
                         FORJA__ARG_SPAN(args->x), FORJA__ARG_SPAN(args->y),
                         FORJA__ARG(args->rows), FORJA__ARG(args->width), FORJA__ARG(group_rows));
}

forja_status forja__opencl_swiglu_backward(forja_queue *queue,
                                           const forja_swiglu_backward_args *args) {
    static const char name[] = "forja_swiglu_backward";
    forja__rows rows =
        forja__rows_choose(queue->device, args->dtype, args->width,
                           args->x.offset | args->dy.offset | args->dx.offset);
    cl_kernel kernel;
    FORJA__TRY(forja__rows_kernel(&kernel, queue->device, FORJA__SOURCE_SWIGLU, rows, "", name));
    cl_ulong group_rows = forja__rows_per_group(rows, args->width);
    forja__rows_range range =
        forja__rows_groups(rows, forja__ceil_groups(args->rows, group_rows));
    return FORJA__LAUNCH(queue, kernel, name, 1, range.global, range.local,
                         FORJA__ARG_SPAN(args->x), FORJA__ARG_SPAN(args->dy),
                         FORJA__ARG_SPAN(args->dx), FORJA__ARG(args->rows),
                         FORJA__ARG(args->width), FORJA__ARG(group_rows));
}
