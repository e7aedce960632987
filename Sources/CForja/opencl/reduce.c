// Launches kernels/reduce.cl.
#include "rows.h"

#include <stdio.h>

static forja_status reduce_chunks(forja_queue *queue, forja_span x, forja_span partials,
                                  uint64_t count, bool squares) {
    static const char name[] = "forja_reduce_chunks";
    forja__rows rows = forja__rows_choose(queue->device, FORJA_DTYPE_F32, count, x.offset);
    char options[48];
    snprintf(options, sizeof options, " -DCHUNK=%d%s", FORJA_SUM_SQUARES_CHUNK,
             squares ? " -DSQUARES" : "");
    cl_kernel kernel;
    FORJA__TRY(
        forja__rows_kernel(&kernel, queue->device, FORJA__SOURCE_REDUCE, rows, options, name));
    forja__rows_range range =
        forja__rows_groups(rows, forja__ceil_groups(count, FORJA_SUM_SQUARES_CHUNK));
    return FORJA__LAUNCH(queue, kernel, name, 1, range.global, range.local, FORJA__ARG_SPAN(x),
                         FORJA__ARG_SPAN(partials), FORJA__ARG(count));
}

/// The kernel of one work-group that adds `count` partial sums.
static forja_status partials_kernel(cl_kernel *out, forja__rows *rows, forja_queue *queue,
                                    uint64_t count, const char *name) {
    *rows = forja__rows_choose(queue->device, FORJA_DTYPE_F32, count, 1);
    return forja__rows_kernel(out, queue->device, FORJA__SOURCE_REDUCE, *rows, "", name);
}

forja_status forja__opencl_sum(forja_queue *queue, const forja_sum_args *args) {
    static const char name[] = "forja_sum_partials";
    cl_ulong chunks = forja__ceil_groups(args->count, FORJA_SUM_SQUARES_CHUNK);
    forja_span partials = {0};
    FORJA__TRY(forja__queue_workspace(&partials.buffer, queue, chunks * sizeof(float)));
    FORJA__TRY(reduce_chunks(queue, args->x, partials, args->count, false));
    forja__rows rows;
    cl_kernel kernel;
    FORJA__TRY(partials_kernel(&kernel, &rows, queue, chunks, name));
    forja__rows_range range = forja__rows_groups(rows, 1);
    cl_int accumulate = args->accumulate;
    return FORJA__LAUNCH(queue, kernel, name, 1, range.global, range.local,
                         FORJA__ARG_SPAN(partials), FORJA__ARG_SPAN(args->out), FORJA__ARG(chunks),
                         FORJA__ARG(args->scale), FORJA__ARG(accumulate));
}

forja_status forja__opencl_sum_squares(forja_queue *queue, const forja_sum_squares_args *args) {
    return reduce_chunks(queue, args->x, args->partials, args->count, true);
}

forja_status forja__opencl_gradient_norm(forja_queue *queue,
                                         const forja_gradient_norm_args *args) {
    static const char name[] = "forja_gradient_norm";
    forja__rows rows;
    cl_kernel kernel;
    FORJA__TRY(partials_kernel(&kernel, &rows, queue, args->partial_count, name));
    forja__rows_range range = forja__rows_groups(rows, 1);
    return FORJA__LAUNCH(queue, kernel, name, 1, range.global, range.local,
                         FORJA__ARG_SPAN(args->partials), FORJA__ARG_SPAN(args->scalars),
                         FORJA__ARG(args->partial_count));
}
