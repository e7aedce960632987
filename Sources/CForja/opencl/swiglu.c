// Launches kernels/swiglu.cl.
#include "rows.h"

forja_status forja__opencl_swiglu_forward(forja_queue *queue, const forja_swiglu_args *args) {
    static const char name[] = "forja_swiglu_forward";
    forja__rows rows = forja__rows_choose(queue->device, args->dtype, args->width,
                                          args->x.offset | args->y.offset);
    forja__rows_launch launch;
    FORJA__TRY(forja__rows_prepare(&launch, queue->device, FORJA__SOURCE_SWIGLU, rows, "", name,
                                   args->rows, args->width));
    return FORJA__LAUNCH(queue, launch.kernel, name, 1, launch.range.global, launch.range.local,
                         FORJA__ARG_SPAN(args->x), FORJA__ARG_SPAN(args->y), FORJA__ARG(args->rows),
                         FORJA__ARG(args->width), FORJA__ARG(launch.group_rows));
}

forja_status forja__opencl_swiglu_backward(forja_queue *queue,
                                           const forja_swiglu_backward_args *args) {
    static const char name[] = "forja_swiglu_backward";
    forja__rows rows = forja__rows_choose(queue->device, args->dtype, args->width,
                                          args->x.offset | args->dy.offset | args->dx.offset);
    forja__rows_launch launch;
    FORJA__TRY(forja__rows_prepare(&launch, queue->device, FORJA__SOURCE_SWIGLU, rows, "", name,
                                   args->rows, args->width));
    return FORJA__LAUNCH(queue, launch.kernel, name, 1, launch.range.global, launch.range.local,
                         FORJA__ARG_SPAN(args->x), FORJA__ARG_SPAN(args->dy),
                         FORJA__ARG_SPAN(args->dx), FORJA__ARG(args->rows), FORJA__ARG(args->width),
                         FORJA__ARG(launch.group_rows));
}
