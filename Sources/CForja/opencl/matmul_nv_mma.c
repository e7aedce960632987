// Launches kernels/matmul_nv_mma.cl.
#include "device.h"
#include "matmul.h"
#include "nv_mma.h"

bool forja__opencl_has_nv_mma(const forja_device *device) {
    return device->opencl && device->opencl->has_nv_mma;
}

bool forja__matmul_nv_mma_runs(const forja_device *device, const forja_matmul_args *args) {
    return forja__opencl_has_nv_mma(device) && args->input_dtype == FORJA_DTYPE_BF16 && args->k > 0;
}

uint64_t forja__matmul_nv_mma_workspace_bytes(const forja_device *device,
                                              const forja_matmul_args *args) {
    (void)device, (void)args;
    return 0;
}

forja_status forja__matmul_launch_nv_mma(forja_queue *queue, const forja_matmul_args *args,
                                         const forja__matmul_nv_mma_tile *tile) {
    const forja__matmul_nv_mma_shape shape = {
        .layout = args->layout,
        .output_is_bf16 = args->output_dtype == FORJA_DTYPE_BF16,
        .is_aligned = forja__starts_on(8, args->a, args->lda, args->a_stride) &&
                      forja__starts_on(8, args->b, args->ldb, args->b_stride),
        .c_has_pairs = forja__starts_on(2, args->c, args->ldc, args->c_stride),
    };
    static const char name[] = "forja_matmul_nv_mma";
    char options[FORJA__NV_MMA_OPTION_BYTES];
    forja__matmul_nv_mma_options(options, tile, shape);
    cl_kernel kernel;
    FORJA__TRY(
        forja__kernel_get(&kernel, queue->device, FORJA__SOURCE_MATMUL_NV_MMA, options, name));
    const cl_int accumulate = args->accumulate;
    const size_t local[2] = {forja__matmul_nv_mma_work_items(tile), 1};
    const size_t blocks =
        forja__ceil_div(args->m, tile->block_m) * forja__ceil_div(args->n, tile->block_n);
    const size_t global[2] = {blocks * local[0], args->batch_count};
    return FORJA__LAUNCH(
        queue, kernel, name, 2, global, local, FORJA__ARG_SPAN(args->a), FORJA__ARG(args->lda),
        FORJA__ARG(args->a_stride), FORJA__ARG_SPAN(args->b), FORJA__ARG(args->ldb),
        FORJA__ARG(args->b_stride), FORJA__ARG_SPAN(args->c), FORJA__ARG(args->ldc),
        FORJA__ARG(args->c_stride), FORJA__ARG(args->m), FORJA__ARG(args->n), FORJA__ARG(args->k),
        FORJA__ARG(args->alpha), FORJA__ARG(accumulate));
}
