// Launches the tiled matrix product of GPUs: matmul.cl, LOCAL.
#include <stdio.h>

#include "matmul.h"

uint64_t forja__matmul_tile_count(const forja__variant *row, const forja_matmul_args *args) {
    return forja__product(forja__product(forja__ceil_div(args->m, row->tile.m),
                                         forja__ceil_div(args->n, row->tile.n)),
                          args->batch_count);
}

/// Large tiles read less, smaller ones keep every compute unit busy, thin ones waste less on thin
/// results.
static bool suits(const forja_device *device, const forja__variant *row,
                  const forja_matmul_args *args) {
    const bool is_large = row->tile.m * row->tile.n > 64 * 64;
    const bool is_thin = row->tile.m < 64 || row->tile.n < 64;
    if (is_large)
        return forja__matmul_tile_count(row, args) >= device->info.compute_units;
    return !is_thin || (row->tile.m < 64 ? args->m <= row->tile.m : args->n <= row->tile.n);
}

forja_status forja__matmul_launch_tiles(forja_queue *queue, const forja__variant *row,
                                        const forja_matmul_args *args, cl_ulong parts,
                                        cl_ulong part_depth) {
    static const char name[] = "forja_matmul_local";
    char options[FORJA__OPTIONS_SIZE];
    snprintf(options, sizeof options, "-DMATMUL_LOCAL%s%s", row->options,
             forja__matmul_storage_options(args));
    cl_kernel kernel;
    FORJA__TRY(forja__kernel_get(&kernel, queue->device, FORJA__SOURCE_MATMUL, options, name));
    cl_int a_k_major = args->layout == FORJA_MATMUL_TN;
    cl_int b_k_major = args->layout != FORJA_MATMUL_NT;
    cl_int accumulate = args->accumulate;
    size_t global[3] = {forja__ceil_div(args->n, row->tile.n) * row->group.x,
                        forja__ceil_div(args->m, row->tile.m) * row->group.y,
                        args->batch_count * parts};
    const size_t local[3] = {row->group.x, row->group.y, 1};
    return FORJA__LAUNCH(queue, kernel, name, 3, global, local, FORJA__ARG_SPAN(args->a),
                         FORJA__ARG(args->lda), FORJA__ARG(a_k_major), FORJA__ARG(args->a_stride),
                         FORJA__ARG_SPAN(args->b), FORJA__ARG(args->ldb), FORJA__ARG(b_k_major),
                         FORJA__ARG(args->b_stride), FORJA__ARG_SPAN(args->c),
                         FORJA__ARG(args->ldc), FORJA__ARG(args->c_stride), FORJA__ARG(args->m),
                         FORJA__ARG(args->n), FORJA__ARG(args->k), FORJA__ARG(parts),
                         FORJA__ARG(part_depth), FORJA__ARG(args->alpha), FORJA__ARG(accumulate));
}

static forja_status launch(forja_queue *queue, const forja__variant *row,
                           const forja_matmul_args *args) {
    return forja__matmul_launch_tiles(queue, row, args, 1, args->k);
}

const forja__matmul_family forja__opencl_matmul_tiles = {.suits = suits, .launch = launch};
