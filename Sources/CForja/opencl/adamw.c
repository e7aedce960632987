// Launches kernels/adamw.cl.
#include "rows.h"

forja_status forja__opencl_adamw(forja_queue *queue, const forja_adamw_args *args) {
    static const char name[] = "forja_adamw";
    uint64_t copy_offset = args->weight_bf16.buffer ? args->weight_bf16.offset : 0;
    forja__rows rows = forja__rows_choose(queue->device, FORJA_DTYPE_F32, args->count,
                                          args->weight.offset | args->gradient.offset |
                                              args->m.offset | args->v.offset | copy_offset);
    cl_kernel kernel;
    FORJA__TRY(forja__rows_kernel(&kernel, queue->device, FORJA__SOURCE_ADAMW, rows, "", name));
    forja__rows_range range =
        forja__rows_groups(rows, forja__ceil_groups(args->count, forja__rows_block(rows)));
    return FORJA__LAUNCH(queue, kernel, name, 1, range.global, range.local,
                         FORJA__ARG_SPAN(args->weight), FORJA__ARG_SPAN(args->weight_bf16),
                         FORJA__ARG_SPAN(args->gradient), FORJA__ARG_SPAN(args->m),
                         FORJA__ARG_SPAN(args->v), FORJA__ARG_SPAN(args->scalars),
                         FORJA__ARG(args->count), FORJA__ARG(args->beta1), FORJA__ARG(args->beta2),
                         FORJA__ARG(args->epsilon), FORJA__ARG(args->weight_decay));
}
