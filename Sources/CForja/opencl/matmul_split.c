// Launches the tiled product with k cut into parts, for results of too few tiles to keep a GPU busy:
// every part is a product of its own into the workspace, and a second kernel adds the parts in
// order. The number of parts follows from shape and device, so the bits do too.
#include <stdio.h>

#include "matmul.h"

enum {
    LEAST_DEPTH = 64,      // of a part, else adding costs more than it gains
    DEFAULT_DEPTH = 256,   // of a part, where nobody asked for this variant
    GROUPS_PER_UNIT = 2,   // work-groups that a compute unit should have
    MOST_PARTS = 32,
};

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

/// As many parts as keep the device busy, at least two.
static uint64_t part_count(const forja_device *device, const forja__variant *row,
                           const forja_matmul_args *args) {
    const uint64_t tiles = forja__matmul_tile_count(row, args); // 0 of an empty result
    uint64_t wanted = forja__ceil_div((uint64_t)GROUPS_PER_UNIT * device->info.compute_units,
                                      tiles ? tiles : 1);
    uint64_t parts = least(least(wanted, args->k / LEAST_DEPTH), MOST_PARTS);
    return parts < 2 ? 2 : parts;
}

static bool runs(const forja_device *device, const forja__variant *row,
                 const forja_matmul_args *args) {
    (void)device, (void)row;
    return args->k >= 2 * LEAST_DEPTH;
}

static bool suits(const forja_device *device, const forja__variant *row,
                  const forja_matmul_args *args) {
    return (row->tile.m >= 64 || args->m <= row->tile.m) &&
           2 * forja__matmul_tile_count(row, args) <= device->info.compute_units &&
           args->k >= part_count(device, row, args) * DEFAULT_DEPTH;
}

static uint64_t workspace_bytes(const forja_device *device, const forja__variant *row,
                                const forja_matmul_args *args) {
    return forja__product(forja__product(forja__product(args->m, args->n), args->batch_count),
                          part_count(device, row, args) * sizeof(float));
}

static forja_status launch(forja_queue *queue, const forja__variant *row,
                           const forja_matmul_args *args) {
    static const char name[] = "forja_matmul_add_parts";
    cl_ulong parts = part_count(queue->device, row, args);
    forja_span sums = {0};
    FORJA__TRY(forja__queue_workspace(&sums.buffer, queue,
                                      workspace_bytes(queue->device, row, args)));
    forja_matmul_args part = *args;
    part.output_dtype = FORJA_DTYPE_F32;
    part.c = sums;
    part.ldc = args->n;
    part.c_stride = args->m * args->n;
    part.alpha = 1.0f;
    part.accumulate = false;
    FORJA__TRY(forja__matmul_launch_tiles(queue, row, &part, parts,
                                          forja__ceil_div(args->k, parts)));

    char options[FORJA__OPTIONS_SIZE];
    snprintf(options, sizeof options, "-DMATMUL_PARTS%s", forja__matmul_storage_options(args));
    cl_kernel kernel;
    FORJA__TRY(forja__kernel_get(&kernel, queue->device, FORJA__SOURCE_MATMUL, options, name));
    cl_int accumulate = args->accumulate;
    const forja__arg sums_arg = {sizeof(cl_mem), forja__span_memory(&sums)};
    size_t global[3] = {args->n, args->m, args->batch_count};
    return FORJA__LAUNCH(queue, kernel, name, 3, global, NULL, sums_arg, FORJA__ARG_SPAN(args->c),
                         FORJA__ARG(args->ldc), FORJA__ARG(args->c_stride), FORJA__ARG(args->m),
                         FORJA__ARG(args->n), FORJA__ARG(parts), FORJA__ARG(args->alpha),
                         FORJA__ARG(accumulate));
}

const forja__matmul_family forja__opencl_matmul_split = {
    .runs = runs, .suits = suits, .launch = launch, .workspace_bytes = workspace_bytes};
