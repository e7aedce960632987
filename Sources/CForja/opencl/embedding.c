// Launches kernels/embedding.cl.
#include "rows.h"

forja_status forja__opencl_embedding_forward(forja_queue *queue, const forja_embedding_args *args) {
    static const char name[] = "forja_embedding_forward";
    forja__rows rows = forja__rows_choose(queue->device, args->dtype, args->width,
                                          args->table.offset | args->y.offset);
    forja__rows_launch launch;
    FORJA__TRY(forja__rows_prepare(&launch, queue->device, FORJA__SOURCE_EMBEDDING, rows, "", name,
                                   args->rows, args->width));
    return FORJA__LAUNCH(queue, launch.kernel, name, 1, launch.range.global, launch.range.local,
                         FORJA__ARG_SPAN(args->table), FORJA__ARG_SPAN(args->ids),
                         FORJA__ARG_SPAN(args->y), FORJA__ARG(args->rows), FORJA__ARG(args->width),
                         FORJA__ARG(args->table_rows), FORJA__ARG(args->first_row),
                         FORJA__ARG(args->total_rows), FORJA__ARG(launch.group_rows));
}

static forja_status clear_table(forja_queue *queue, const forja_embedding_backward_args *args) {
    static const char name[] = "forja_embedding_clear";
    cl_ulong count = args->table_rows * args->width;
    forja__rows rows =
        forja__rows_choose(queue->device, FORJA_DTYPE_F32, count, args->d_table.offset);
    cl_kernel kernel;
    FORJA__TRY(forja__rows_kernel(&kernel, queue->device, FORJA__SOURCE_EMBEDDING, rows, "", name));
    forja__rows_range range =
        forja__rows_groups(rows, forja__ceil_groups(count, forja__rows_block(rows)));
    return FORJA__LAUNCH(queue, kernel, name, 1, range.global, range.local,
                         FORJA__ARG_SPAN(args->d_table), FORJA__ARG(count));
}

forja_status forja__opencl_embedding_backward(forja_queue *queue,
                                              const forja_embedding_backward_args *args) {
    static const char name[] = "forja_embedding_backward";
    enum { SHARES = 64 }; // owners of table rows on CPU devices, as in cpu/embedding.c
    if (!args->accumulate)
        FORJA__TRY(clear_table(queue, args));
    if (args->rows == 0)
        return FORJA_OK;
    forja__rows rows = forja__rows_choose(queue->device, args->dtype, args->width,
                                          args->dy.offset | args->d_table.offset);
    cl_kernel kernel;
    FORJA__TRY(forja__rows_kernel(&kernel, queue->device, FORJA__SOURCE_EMBEDDING, rows, "", name));
    forja__rows_range range = forja__rows_groups(rows, rows.lanes == 1 ? SHARES : args->rows);
    return FORJA__LAUNCH(queue, kernel, name, 1, range.global, range.local,
                         FORJA__ARG_SPAN(args->dy), FORJA__ARG_SPAN(args->ids),
                         FORJA__ARG_SPAN(args->d_table), FORJA__ARG(args->rows),
                         FORJA__ARG(args->width), FORJA__ARG(args->table_rows),
                         FORJA__ARG(args->first_row));
}
