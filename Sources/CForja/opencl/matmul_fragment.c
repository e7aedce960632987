// Launches the matrix product on matrix units: matmul_fragment.cl.
#include <stdio.h>

#include "matmul.h"

static bool runs(const forja_device *device, const forja__variant *row,
                 const forja_matmul_args *args) {
    return args->input_dtype == FORJA_DTYPE_BF16 && forja__fragment_runs(device, row->fragment) &&
           row->local_bytes +
                   forja__fragment_scratch_bytes(device, row->fragment, row->group.x) <=
               device->info.local_memory_bytes;
}

/// Large tiles read less; small ones keep every compute unit busy. A handful of rows is a matter of
/// reading B once, not of multiplying.
static bool suits(const forja_device *device, const forja__variant *row,
                  const forja_matmul_args *args) {
    enum { SMALL = 64 * 64, FEW_ROWS = 16 };
    if (args->layout == FORJA_MATMUL_NT && args->m <= FEW_ROWS)
        return false;
    uint64_t tiles = forja__product(forja__product(forja__ceil_div(args->m, row->tile.m),
                                                   forja__ceil_div(args->n, row->tile.n)),
                                    args->batch_count);
    return row->tile.m * row->tile.n <= SMALL || tiles >= device->info.compute_units;
}

/// Rows of A and B start at multiples of 16 bytes, so that they are read as vectors.
static bool is_aligned(const forja_matmul_args *args) {
    return (args->a.offset | args->lda | args->a_stride | args->b.offset | args->ldb |
            args->b_stride) % 8 == 0;
}

static forja_status launch(forja_queue *queue, const forja__variant *row,
                           const forja_matmul_args *args) {
    static const char name[] = "forja_matmul_fragment";
    char options[256];
    snprintf(options, sizeof options, "-DA_K_MAJOR=%d -DB_K_MAJOR=%d%s%s%s%s",
             args->layout == FORJA_MATMUL_TN, args->layout != FORJA_MATMUL_NT,
             is_aligned(args) ? " -DALIGNED" : "", row->options,
             forja__matmul_storage_options(args),
             forja__fragment_options(queue->device, row->fragment));
    cl_kernel kernel;
    FORJA__TRY(forja__kernel_get(&kernel, queue->device,
                                 forja__fragment_source(row->fragment, FORJA__SOURCE_MATMUL_XMX,
                                                        FORJA__SOURCE_MATMUL_AMD),
                                 options, name));
    cl_int accumulate = args->accumulate;
    size_t global[3] = {forja__ceil_div(args->n, row->tile.n) * row->group.x,
                        forja__ceil_div(args->m, row->tile.m), args->batch_count};
    const size_t local[3] = {row->group.x, 1, 1};
    return FORJA__LAUNCH(queue, kernel, name, 3, global, local, FORJA__ARG_SPAN(args->a),
                         FORJA__ARG(args->lda), FORJA__ARG(args->a_stride),
                         FORJA__ARG_SPAN(args->b), FORJA__ARG(args->ldb),
                         FORJA__ARG(args->b_stride), FORJA__ARG_SPAN(args->c),
                         FORJA__ARG(args->ldc), FORJA__ARG(args->c_stride), FORJA__ARG(args->m),
                         FORJA__ARG(args->n), FORJA__ARG(args->k), FORJA__ARG(args->alpha),
                         FORJA__ARG(accumulate));
}

const forja__matmul_family forja__opencl_matmul_fragment = {
    .runs = runs, .suits = suits, .launch = launch};
