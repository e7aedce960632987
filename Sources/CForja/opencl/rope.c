// Launches kernels/rope.cl.
#include "rows.h"

#include <stdio.h>

forja_status forja__opencl_rope(forja_queue *queue, const forja_rope_args *args) {
    static const char name[] = "forja_rope";
    const uint32_t half = args->head_dim / 2;
    const uint64_t width = (uint64_t)args->heads * args->head_dim;
    forja__rows rows =
        forja__rows_choose(queue->device, args->dtype, width / 2,
                           half | args->x.offset | args->cosine.offset | args->sine.offset |
                               (args->rows > 1 ? args->row_stride : 0));
    char options[32];
    snprintf(options, sizeof options, " -DHALF=%uu", half);
    forja__rows_launch launch;
    FORJA__TRY(forja__rows_prepare(&launch, queue->device, FORJA__SOURCE_ROPE, rows, options, name,
                                   args->rows, width));
    cl_ulong sequence_length = args->sequence_length ? args->sequence_length : 1;
    cl_float sign = args->inverse ? -1.0f : 1.0f;
    return FORJA__LAUNCH(queue, launch.kernel, name, 1, launch.range.global, launch.range.local,
                         FORJA__ARG_SPAN(args->x), FORJA__ARG_SPAN(args->cosine),
                         FORJA__ARG_SPAN(args->sine), FORJA__ARG_SPAN(args->positions),
                         FORJA__ARG(args->rows), FORJA__ARG(sequence_length),
                         FORJA__ARG(args->row_stride), FORJA__ARG(args->position_count),
                         FORJA__ARG(args->heads), FORJA__ARG(sign), FORJA__ARG(launch.group_rows));
}
