// Launches the kernels of matmul.cl and matmul_cpu.cl: which variant, with which
// tunables.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "matmul.h"

uint64_t forja__ceil_div(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }

forja__matmul_variant forja__matmul_choose(const forja_device *device) {
    const char *name = getenv("FORJA_MATMUL_VARIANT");
    if (name && strcmp(name, "ref") == 0)
        return FORJA__MATMUL_REFERENCE;
    if (name && strcmp(name, "cpu") == 0)
        return FORJA__MATMUL_PANELS;
    if (name && strcmp(name, "gpu") == 0)
        return FORJA__MATMUL_LOCAL;
    return forja__opencl_is_cpu(device) ? FORJA__MATMUL_PANELS : FORJA__MATMUL_LOCAL;
}

uint32_t forja__matmul_vector_width(const forja_device *device) {
    cl_uint width = 0;
    forja__opencl()->clGetDeviceInfo(device->opencl->id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT,
                                     sizeof width, &width, NULL);
    return width >= 16 ? 16 : width >= 8 ? 8 : 4;
}

const char *forja__matmul_storage_options(const forja_matmul_args *args) {
    bool input = args->input_dtype == FORJA_DTYPE_BF16;
    bool output = args->output_dtype == FORJA_DTYPE_BF16;
    if (input && output)
        return " -DSTORAGE_BF16 -DOUTPUT_BF16";
    return input ? " -DSTORAGE_BF16" : output ? " -DOUTPUT_BF16" : "";
}

static forja_status launch_reference(forja_queue *queue, const forja_matmul_args *args) {
    char options[96];
    snprintf(options, sizeof options, "-DMATMUL_REFERENCE%s", forja__matmul_storage_options(args));
    cl_kernel kernel;
    FORJA__TRY(forja__kernel_get(&kernel, queue->device, FORJA__SOURCE_MATMUL, options,
                                 "forja_matmul_reference"));
    bool a_transposed = args->layout == FORJA_MATMUL_TN;
    bool b_transposed = args->layout == FORJA_MATMUL_NT;
    cl_ulong a_row = a_transposed ? 1 : args->lda, a_depth = a_transposed ? args->lda : 1;
    cl_ulong b_column = b_transposed ? args->ldb : 1, b_depth = b_transposed ? 1 : args->ldb;
    cl_int accumulate = args->accumulate;
    size_t global[3] = {args->n, args->m, args->batch_count};
    return FORJA__LAUNCH(queue, kernel, "forja_matmul_reference", 3, global, NULL,
                         FORJA__ARG_SPAN(args->a), FORJA__ARG(a_row), FORJA__ARG(a_depth),
                         FORJA__ARG(args->a_stride), FORJA__ARG_SPAN(args->b),
                         FORJA__ARG(b_column), FORJA__ARG(b_depth), FORJA__ARG(args->b_stride),
                         FORJA__ARG_SPAN(args->c), FORJA__ARG(args->ldc),
                         FORJA__ARG(args->c_stride), FORJA__ARG(args->k), FORJA__ARG(args->alpha),
                         FORJA__ARG(accumulate));
}

/// The kernels for few rows of A and B[N,K] take at most this many; above it tiles are faster.
enum { ROW_LIMIT_CPU = 48, ROW_LIMIT_GPU = 16 };

static bool has_few_rows(const forja_matmul_args *args, uint64_t limit) {
    return args->layout == FORJA_MATMUL_NT && args->m <= limit;
}

static forja_status launch_rows(forja_queue *queue, const forja_matmul_args *args, bool is_local) {
    enum { COLUMNS = 4, COLUMNS_PER_ITEM = 32, WORK_GROUP = 64 }; // as in the kernels
    const char *name = is_local ? "forja_matmul_rows_local" : "forja_matmul_rows";
    int row_group = args->m >= 3 ? 4 : (int)args->m;
    char options[128];
    if (is_local)
        snprintf(options, sizeof options, "-DMATMUL_ROWS_LOCAL -DROWS=%d%s", row_group,
                 forja__matmul_storage_options(args));
    else
        snprintf(options, sizeof options, "-DMATMUL_ROWS -DROWS=%d -DVEC=%u%s", row_group,
                 forja__matmul_vector_width(queue->device), forja__matmul_storage_options(args));
    cl_kernel kernel;
    forja__source source = is_local ? FORJA__SOURCE_MATMUL : FORJA__SOURCE_MATMUL_CPU;
    FORJA__TRY(forja__kernel_get(&kernel, queue->device, source, options, name));
    cl_int accumulate = args->accumulate;
    size_t global[2] = {is_local ? forja__ceil_div(args->n, COLUMNS) * WORK_GROUP
                                 : forja__ceil_div(args->n, COLUMNS_PER_ITEM),
                        args->batch_count};
    size_t local[2] = {is_local ? WORK_GROUP : 1, 1};
    return FORJA__LAUNCH(queue, kernel, name, 2, global, local, FORJA__ARG_SPAN(args->a),
                         FORJA__ARG(args->lda), FORJA__ARG(args->a_stride),
                         FORJA__ARG_SPAN(args->b), FORJA__ARG(args->ldb),
                         FORJA__ARG(args->b_stride), FORJA__ARG_SPAN(args->c),
                         FORJA__ARG(args->ldc), FORJA__ARG(args->c_stride), FORJA__ARG(args->m),
                         FORJA__ARG(args->n), FORJA__ARG(args->k), FORJA__ARG(args->alpha),
                         FORJA__ARG(accumulate));
}

static forja_status launch_local(forja_queue *queue, const forja_matmul_args *args) {
    enum { SIDE = 16 };
    if (forja__opencl_max_work_group(queue->device) < SIDE * SIDE)
        return launch_reference(queue, args);
    // Large tiles read less; small ones keep every compute unit busy.
    uint64_t large_tiles = forja__product(
        forja__product(forja__ceil_div(args->m, 128), forja__ceil_div(args->n, 128)),
        args->batch_count);
    uint64_t tile = large_tiles >= queue->device->info.compute_units ? 128 : 64;
    char options[96];
    snprintf(options, sizeof options, "-DMATMUL_LOCAL -DTILE=%d%s", (int)tile,
             forja__matmul_storage_options(args));
    cl_kernel kernel;
    FORJA__TRY(forja__kernel_get(&kernel, queue->device, FORJA__SOURCE_MATMUL, options,
                                 "forja_matmul_local"));
    cl_int a_k_major = args->layout == FORJA_MATMUL_TN;
    cl_int b_k_major = args->layout != FORJA_MATMUL_NT;
    cl_int accumulate = args->accumulate;
    size_t global[3] = {forja__ceil_div(args->n, tile) * SIDE,
                        forja__ceil_div(args->m, tile) * SIDE, args->batch_count};
    const size_t local[3] = {SIDE, SIDE, 1};
    return FORJA__LAUNCH(queue, kernel, "forja_matmul_local", 3, global, local,
                         FORJA__ARG_SPAN(args->a), FORJA__ARG(args->lda), FORJA__ARG(a_k_major),
                         FORJA__ARG(args->a_stride), FORJA__ARG_SPAN(args->b),
                         FORJA__ARG(args->ldb), FORJA__ARG(b_k_major), FORJA__ARG(args->b_stride),
                         FORJA__ARG_SPAN(args->c), FORJA__ARG(args->ldc),
                         FORJA__ARG(args->c_stride), FORJA__ARG(args->m), FORJA__ARG(args->n),
                         FORJA__ARG(args->k), FORJA__ARG(args->alpha), FORJA__ARG(accumulate));
}

uint64_t forja__opencl_matmul_workspace_bytes(const forja_device *device,
                                              const forja_matmul_args *args) {
    if (args->k == 0 || has_few_rows(args, ROW_LIMIT_CPU) ||
        forja__matmul_choose(device) != FORJA__MATMUL_PANELS)
        return 0;
    return forja__matmul_panels_bytes(device, args);
}

forja_status forja__opencl_matmul(forja_queue *queue, const forja_matmul_args *args) {
    if (args->k == 0)
        return args->accumulate ? FORJA_OK : launch_reference(queue, args);
    switch (forja__matmul_choose(queue->device)) {
    case FORJA__MATMUL_PANELS:
        return has_few_rows(args, ROW_LIMIT_CPU) ? launch_rows(queue, args, false)
                                                 : forja__matmul_launch_panels(queue, args);
    case FORJA__MATMUL_LOCAL:
        return has_few_rows(args, ROW_LIMIT_GPU) ? launch_rows(queue, args, true)
                                                 : launch_local(queue, args);
    case FORJA__MATMUL_REFERENCE:
        break;
    }
    return launch_reference(queue, args);
}
