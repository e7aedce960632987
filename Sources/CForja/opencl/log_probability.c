// Launches kernels/log_probability.cl.
#include "rows.h"

static forja__rows choose(const forja_queue *queue, const forja_log_probability_args *args) {
    // Rows a stride apart must each start on a vector; one row needs no stride.
    uint64_t stride = args->rows > 1 ? args->row_stride : 0;
    return forja__rows_choose(queue->device, args->dtype, args->vocabulary,
                              args->logits.offset | stride);
}

forja_status forja__opencl_log_probability(forja_queue *queue,
                                           const forja_log_probability_args *args) {
    static const char name[] = "forja_log_probability";
    forja__rows rows = choose(queue, args);
    forja__rows_launch launch;
    FORJA__TRY(forja__rows_prepare(&launch, queue->device, FORJA__SOURCE_LOG_PROBABILITY, rows,
                                   args->entropy.buffer ? " -DLOG_SUM_EXP -DWITH_WEIGHTED_SUM"
                                                        : " -DLOG_SUM_EXP",
                                   name, args->rows, args->vocabulary));
    return FORJA__LAUNCH(queue, launch.kernel, name, 1, launch.range.global, launch.range.local,
                         FORJA__ARG_SPAN(args->logits), FORJA__ARG_SPAN(args->labels),
                         FORJA__ARG_SPAN(args->log_probability), FORJA__ARG_SPAN(args->lse),
                         FORJA__ARG_SPAN(args->entropy), FORJA__ARG_SPAN(args->gradient),
                         FORJA__ARG(args->rows), FORJA__ARG(args->vocabulary),
                         FORJA__ARG(args->row_stride), FORJA__ARG(args->logit_scale),
                         FORJA__ARG(args->vocabulary_start), FORJA__ARG_SPAN(args->label_logit),
                         FORJA__ARG(launch.group_rows));
}

forja_status forja__opencl_log_probability_backward(forja_queue *queue,
                                                    const forja_log_probability_args *args) {
    static const char name[] = "forja_log_probability_backward";
    forja__rows rows = choose(queue, args);
    forja__rows_launch launch;
    FORJA__TRY(forja__rows_prepare(&launch, queue->device, FORJA__SOURCE_LOG_PROBABILITY, rows, "",
                                   name, args->rows, args->vocabulary));
    return FORJA__LAUNCH(
        queue, launch.kernel, name, 1, launch.range.global, launch.range.local,
        FORJA__ARG_SPAN(args->logits), FORJA__ARG_SPAN(args->labels), FORJA__ARG_SPAN(args->lse),
        FORJA__ARG_SPAN(args->gradient), FORJA__ARG(args->rows), FORJA__ARG(args->vocabulary),
        FORJA__ARG(args->row_stride), FORJA__ARG(args->logit_scale),
        FORJA__ARG(args->vocabulary_start), FORJA__ARG(launch.group_rows));
}

forja_status forja__opencl_log_probability_combine(forja_queue *queue,
                                                   const forja_log_probability_combine_args *args) {
    static const char name[] = "forja_log_probability_combine";
    const uint64_t unaligned = 1; // elements are loaded one by one
    forja__rows rows = forja__rows_choose(queue->device, FORJA_DTYPE_F32, args->rows, unaligned);
    cl_kernel kernel;
    FORJA__TRY(
        forja__rows_kernel(&kernel, queue->device, FORJA__SOURCE_LOG_PROBABILITY, rows, "", name));
    forja__rows_range range =
        forja__rows_groups(rows, forja__ceil_groups(args->rows, forja__rows_block(rows)));
    return FORJA__LAUNCH(queue, kernel, name, 1, range.global, range.local,
                         FORJA__ARG_SPAN(args->parts), FORJA__ARG_SPAN(args->labels),
                         FORJA__ARG_SPAN(args->log_probability), FORJA__ARG_SPAN(args->lse),
                         FORJA__ARG_SPAN(args->entropy), FORJA__ARG(args->rows),
                         FORJA__ARG(args->part_count), FORJA__ARG(args->vocabulary));
}
