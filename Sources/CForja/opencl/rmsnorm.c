// Launches kernels/rmsnorm.cl.
#include "rows.h"

forja_status forja__opencl_rmsnorm_forward(forja_queue *queue, const forja_rmsnorm_args *args) {
    static const char name[] = "forja_rmsnorm_forward";
    forja__rows rows = forja__rows_choose(queue->device, args->dtype, args->width,
                                          args->x.offset | args->weight.offset | args->y.offset);
    forja__rows_launch launch;
    FORJA__TRY(forja__rows_prepare(&launch, queue->device, FORJA__SOURCE_RMSNORM, rows, "", name,
                                   args->rows, args->width));
    return FORJA__LAUNCH(queue, launch.kernel, name, 1, launch.range.global, launch.range.local,
                         FORJA__ARG_SPAN(args->x), FORJA__ARG_SPAN(args->weight),
                         FORJA__ARG_SPAN(args->y), FORJA__ARG_SPAN(args->rstd),
                         FORJA__ARG(args->rows), FORJA__ARG(args->width), FORJA__ARG(args->epsilon),
                         FORJA__ARG(launch.group_rows));
}

/// Rows of one partial sum of the weight's gradient. Depends on N and the device class alone: a CPU
/// wants few partials, a GPU many work-groups.
static uint64_t backward_group_rows(const forja_device *device, uint64_t rows) {
    bool is_cpu = forja__rows_choose(device, FORJA_DTYPE_F32, 1, 0).lanes == 1;
    uint64_t least = is_cpu ? 32 : 8, group_rows = forja__ceil_groups(rows, is_cpu ? 128 : 512);
    return group_rows > least ? group_rows : least;
}

uint64_t forja__opencl_rmsnorm_backward_workspace_bytes(const forja_device *device,
                                                        const forja_rmsnorm_backward_args *args) {
    return forja__product(forja__ceil_groups(args->rows, backward_group_rows(device, args->rows)),
                          forja__product(args->width, sizeof(float)));
}

static forja_status add_partials(forja_queue *queue, const forja_rmsnorm_backward_args *args,
                                 forja_span partials, cl_ulong blocks) {
    static const char name[] = "forja_rmsnorm_backward_weight";
    enum { STRIP_VECTORS = 4, GROUP_COLUMNS = 32 }; // COLUMNS in kernels/rmsnorm.cl
    // The partials are dense rows, read one column to a work-item on GPUs: no vectors, the most
    // lanes.
    forja__rows rows = forja__rows_choose(queue->device, FORJA_DTYPE_F32, UINT64_MAX, 1);
    cl_kernel kernel;
    FORJA__TRY(forja__rows_kernel(&kernel, queue->device, FORJA__SOURCE_RMSNORM, rows, "", name));
    uint64_t columns = rows.lanes == 1              ? STRIP_VECTORS * rows.vec
                       : rows.lanes < GROUP_COLUMNS ? rows.lanes
                                                    : GROUP_COLUMNS;
    forja__rows_range range = forja__rows_groups(rows, forja__ceil_groups(args->width, columns));
    cl_int accumulate = args->accumulate_d_weight;
    return FORJA__LAUNCH(queue, kernel, name, 1, range.global, range.local,
                         FORJA__ARG_SPAN(partials), FORJA__ARG_SPAN(args->d_weight),
                         FORJA__ARG(blocks), FORJA__ARG(args->width), FORJA__ARG(accumulate));
}

forja_status forja__opencl_rmsnorm_backward(forja_queue *queue,
                                            const forja_rmsnorm_backward_args *args) {
    static const char name[] = "forja_rmsnorm_backward_rows";
    forja_span partials = {0};
    FORJA__TRY(forja__queue_workspace(
        &partials.buffer, queue,
        forja__opencl_rmsnorm_backward_workspace_bytes(queue->device, args)));
    forja__rows rows = forja__rows_choose(queue->device, args->dtype, args->width,
                                          args->x.offset | args->weight.offset | args->dy.offset |
                                              args->dx.offset);
    cl_kernel kernel;
    FORJA__TRY(forja__rows_kernel(&kernel, queue->device, FORJA__SOURCE_RMSNORM, rows, "", name));
    cl_ulong group_rows = backward_group_rows(queue->device, args->rows);
    uint64_t blocks = forja__ceil_groups(args->rows, group_rows);
    forja__rows_range range = forja__rows_groups(rows, blocks);
    cl_int accumulate = args->accumulate_dx;
    FORJA__TRY(FORJA__LAUNCH(
        queue, kernel, name, 1, range.global, range.local, FORJA__ARG_SPAN(args->x),
        FORJA__ARG_SPAN(args->weight), FORJA__ARG_SPAN(args->rstd), FORJA__ARG_SPAN(args->dy),
        FORJA__ARG_SPAN(args->dx), FORJA__ARG_SPAN(partials), FORJA__ARG(args->rows),
        FORJA__ARG(args->width), FORJA__ARG(accumulate), FORJA__ARG(group_rows)));
    return add_partials(queue, args, partials, blocks);
}
