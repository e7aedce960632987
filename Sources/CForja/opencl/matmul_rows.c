// Launches the products of few rows with B[N,K], which read B once: matmul_cpu.cl and matmul.cl,
// ROWS.
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
    return args->m <= 48; // above, packing pays
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
