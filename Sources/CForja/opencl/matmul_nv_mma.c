// The matrix product on NVIDIA's tensor cores: matmul_nv_mma.cl.
#include <string.h>

#include "device.h"
#include "matmul.h"
#include "nv_mma.h"

bool forja__opencl_has_nv_mma(const forja_device *device) {
    return device->opencl && device->opencl->has_nv_mma;
}

/// The row's config is the tile's name.
static const forja__matmul_nv_mma_tile *tile_of(const forja__variant *row) {
    const forja__matmul_nv_mma_tile *tile = forja__matmul_nv_mma_tiles;
    while (strcmp(tile->name, row->config) != 0)
        tile++;
    return tile;
}

/// bf16 operands of every layout, size and stride.
static bool runs(const forja_device *device, const forja__variant *row,
                 const forja_matmul_args *args) {
    const forja__matmul_nv_mma_tile *tile = tile_of(row);
    return forja__opencl_has_nv_mma(device) && args->input_dtype == FORJA_DTYPE_BF16 &&
           forja__matmul_nv_mma_local_bytes(tile) <= device->info.local_memory_bytes &&
           forja__matmul_nv_mma_work_items(tile) <= forja__opencl_max_work_group(device);
}

static uint64_t block_count(const forja__matmul_nv_mma_tile *tile, const forja_matmul_args *args) {
    return forja__product(forja__ceil_div(args->m, tile->block_m),
                          forja__ceil_div(args->n, tile->block_n));
}

/// Large tiles read less; small ones keep every compute unit busy. A handful of rows is a matter of
/// reading B once, not of multiplying.
static bool suits(const forja_device *device, const forja__variant *row,
                  const forja_matmul_args *args) {
    enum { FEW_ROWS = 16, FLAT = 32, SMALL = 64 * 64 };
    const forja__matmul_nv_mma_tile *tile = tile_of(row);
    if (args->layout == FORJA_MATMUL_NT && args->m <= FEW_ROWS)
        return false;
    if (args->m <= FLAT)
        return tile->block_m <= FLAT;
    return tile->block_m * tile->block_n <= SMALL ||
           forja__product(block_count(tile, args), args->batch_count) >=
               device->info.compute_units;
}

static forja_status launch(forja_queue *queue, const forja__variant *row,
                           const forja_matmul_args *args) {
    const forja__matmul_nv_mma_tile *tile = tile_of(row);
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
    const size_t global[2] = {block_count(tile, args) * local[0], args->batch_count};
    return FORJA__LAUNCH(
        queue, kernel, name, 2, global, local, FORJA__ARG_SPAN(args->a), FORJA__ARG(args->lda),
        FORJA__ARG(args->a_stride), FORJA__ARG_SPAN(args->b), FORJA__ARG(args->ldb),
        FORJA__ARG(args->b_stride), FORJA__ARG_SPAN(args->c), FORJA__ARG(args->ldc),
        FORJA__ARG(args->c_stride), FORJA__ARG(args->m), FORJA__ARG(args->n), FORJA__ARG(args->k),
        FORJA__ARG(args->alpha), FORJA__ARG(accumulate));
}

const forja__matmul_family forja__opencl_matmul_nv_mma = {
    .runs = runs, .suits = suits, .launch = launch};
