// Launches the products of few rows, which read B where it lies: for B[N,K] matmul_cpu.cl ROWS and
// matmul.cl ROWS_LOCAL, for B[K,N] matmul_cpu.cl COLUMNS. On CPUs ROWS also serves few columns.
#include <stdio.h>

#include "matmul.h"

static bool is_nt(const forja_device *device, const forja__variant *row,
                  const forja_matmul_args *args) {
    (void)device, (void)row;
    return args->layout == FORJA_MATMUL_NT;
}

static bool suits_cpu(const forja_device *device, const forja__variant *row,
                      const forja_matmul_args *args) {
    (void)device, (void)row;
    return args->m <= 48 || args->n <= 48; // above, packing pays
}

static bool suits_gpu(const forja_device *device, const forja__variant *row,
                      const forja_matmul_args *args) {
    (void)device, (void)row;
    return args->m <= 16; // above, tiles are faster
}

static forja_status launch_rows(forja_queue *queue, const forja_matmul_args *args, bool is_local) {
    enum { COLUMNS = 4, COLUMNS_PER_ITEM = 32, WORK_GROUP = 64 }; // as in the kernels
    const char *name = is_local ? "forja_matmul_rows_local" : "forja_matmul_rows";
    int row_group = args->m >= 3 ? 4 : (int)args->m;
    char options[FORJA__OPTIONS_SIZE];
    if (is_local)
        snprintf(options, sizeof options, "-DMATMUL_ROWS_LOCAL -DROWS=%d%s", row_group,
                 forja__matmul_storage_options(args));
    else
        snprintf(options, sizeof options, "-DMATMUL_ROWS -DROWS=%d -DVEC=%u%s", row_group,
                 forja__opencl_vector_width(queue->device), forja__matmul_storage_options(args));
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

static forja_status launch_cpu(forja_queue *queue, const forja__variant *row,
                               const forja_matmul_args *args) {
    (void)row;
    return launch_rows(queue, args, false);
}

static forja_status launch_gpu(forja_queue *queue, const forja__variant *row,
                               const forja_matmul_args *args) {
    (void)row;
    return launch_rows(queue, args, true);
}

const forja__matmul_family forja__opencl_matmul_rows_cpu = {
    .runs = is_nt, .suits = suits_cpu, .launch = launch_cpu};
const forja__matmul_family forja__opencl_matmul_rows_gpu = {
    .runs = is_nt, .suits = suits_gpu, .launch = launch_gpu};

/// B[K,N], with rows that hold a vector.
static bool runs_columns(const forja_device *device, const forja__variant *row,
                         const forja_matmul_args *args) {
    (void)row;
    return args->layout != FORJA_MATMUL_NT && args->n >= forja__opencl_vector_width(device);
}

static bool suits_columns(const forja_device *device, const forja__variant *row,
                          const forja_matmul_args *args) {
    (void)device, (void)row;
    return args->m <= 48; // above, packing pays
}

static forja_status launch_columns(forja_queue *queue, const forja__variant *row,
                                   const forja_matmul_args *args) {
    static const char name[] = "forja_matmul_columns";
    (void)row;
    const uint32_t vector = forja__opencl_vector_width(queue->device);
    const uint32_t row_group = args->m >= 3 ? 4 : (uint32_t)args->m;
    const uint32_t vectors = // VECTORS in the kernel
        vector == 16 ? (row_group == 4 ? 6 : 8) : (row_group == 4 ? 2 : 8 / row_group);
    char options[FORJA__OPTIONS_SIZE];
    snprintf(options, sizeof options, "-DMATMUL_COLUMNS -DROWS=%u -DVEC=%u%s", row_group, vector,
             forja__matmul_storage_options(args));
    cl_kernel kernel;
    FORJA__TRY(forja__kernel_get(&kernel, queue->device, FORJA__SOURCE_MATMUL_CPU, options, name));
    const bool a_transposed = args->layout == FORJA_MATMUL_TN;
    cl_ulong a_row = a_transposed ? 1 : args->lda, a_depth = a_transposed ? args->lda : 1;
    cl_int accumulate = args->accumulate;
    const size_t global[2] = {forja__ceil_div(args->n, (uint64_t)vectors * vector),
                              args->batch_count};
    const size_t local[2] = {1, 1};
    return FORJA__LAUNCH(queue, kernel, name, 2, global, local, FORJA__ARG_SPAN(args->a),
                         FORJA__ARG(a_row), FORJA__ARG(a_depth), FORJA__ARG(args->a_stride),
                         FORJA__ARG_SPAN(args->b), FORJA__ARG(args->ldb),
                         FORJA__ARG(args->b_stride), FORJA__ARG_SPAN(args->c),
                         FORJA__ARG(args->ldc), FORJA__ARG(args->c_stride), FORJA__ARG(args->m),
                         FORJA__ARG(args->n), FORJA__ARG(args->k), FORJA__ARG(args->alpha),
                         FORJA__ARG(accumulate));
}

const forja__matmul_family forja__opencl_matmul_columns_cpu = {
    .runs = runs_columns, .suits = suits_columns, .launch = launch_columns};
