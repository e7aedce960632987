// The matrix product on OpenCL CPU devices: operands are packed into panels, panels are multiplied
// by a register tile.
//
// Work is cut into blocks so that the panels stay within a few tens of megabytes whatever the
// matrices are. Each block is two launches. Blocks of k follow each other in ascending order and
// carry float32 sums, so they change no bits.
#include <stdio.h>

#include "matmul.h"

enum { BLOCK_M = 2048, BLOCK_N = 4096, BLOCK_K = 1024 };

/// Tunables whose meaning kernels/matmul_cpu.cl gives.
enum { PANELS_PER_ITEM = 8, PACK_DEPTH = 256, PANELS_PER_PACK = 4 };

typedef struct blocking {
    uint32_t tile_m, tile_n;
    uint64_t block_m, block_n, block_k;
    cl_ulong a_place, b_place, sum_place; // in floats from the start of the workspace
    uint64_t total_floats;
} blocking;

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t round_up(uint64_t a, uint64_t b) { return forja__ceil_div(a, b) * b; }

/// Extent ÷ ⌈extent / limit⌉, rounded up to `unit`: equal blocks instead of a small last one.
static uint64_t even_block(uint64_t extent, uint64_t limit, uint64_t unit) {
    return round_up(forja__ceil_div(extent, forja__ceil_div(extent, limit)), unit);
}

static blocking block(const forja__variant *row, const forja_matmul_args *args) {
    blocking b = {.tile_m = row->tile.m, .tile_n = row->tile.n};
    b.block_m = even_block(args->m, BLOCK_M, b.tile_m);
    b.block_n = even_block(args->n, BLOCK_N, b.tile_n);
    b.block_k = even_block(args->k, BLOCK_K, 16);
    uint64_t depth = least(b.block_k, args->k);
    b.b_place = b.block_m * depth;
    b.sum_place = b.b_place + b.block_n * depth;
    b.total_floats = b.sum_place + (b.block_k < args->k ? b.block_m * b.block_n : 0);
    return b;
}

static uint64_t workspace_bytes(const forja_device *device, const forja__variant *row,
                                const forja_matmul_args *args) {
    (void)device;
    return block(row, args).total_floats * sizeof(float);
}

/// Vectors as wide as the device's registers, half as wide where a result's rows fit one of them. Of
/// the rows that have them the table's first is the default: 24 of 32 registers with AVX-512, 12 of
/// 16 elsewhere.
static bool suits(const forja_device *device, const forja__variant *row,
                  const forja_matmul_args *args) {
    const uint32_t vector = forja__opencl_vector_width(device);
    return row->tile.n == (args->n <= vector && vector > 4 ? vector : 2 * vector);
}

typedef struct kernels {
    cl_kernel pack, multiply;
} kernels;

static forja_status get_kernels(kernels *out, forja_device *device, const forja__variant *row,
                                const forja_matmul_args *args) {
    char options[FORJA__OPTIONS_SIZE];
    snprintf(options, sizeof options,
             "-DMATMUL_PACK%s -DPACK_DEPTH=%d -DPANELS_PER_PACK=%d%s", row->options, PACK_DEPTH,
             PANELS_PER_PACK,
             args->input_dtype == FORJA_DTYPE_BF16 ? " -DSTORAGE_BF16" : "");
    FORJA__TRY(forja__kernel_get(&out->pack, device, FORJA__SOURCE_MATMUL_CPU, options,
                                 "forja_matmul_pack"));
    snprintf(options, sizeof options, "-DMATMUL_PANELS%s -DPANELS_PER_ITEM=%d%s", row->options,
             PANELS_PER_ITEM,
             args->output_dtype == FORJA_DTYPE_BF16 ? " -DOUTPUT_BF16" : "");
    return forja__kernel_get(&out->multiply, device, FORJA__SOURCE_MATMUL_CPU, options,
                             "forja_matmul_panels");
}

/// The block of C at (row, column), k from `k` on. `a_packed`: its A panels are already there.
static forja_status launch_block(forja_queue *queue, const kernels *kernels,
                                 const forja_matmul_args *args, const blocking *b,
                                 forja_span workspace, uint64_t batch, uint64_t row,
                                 uint64_t column, uint64_t k, bool a_packed) {
    cl_int a_k_major = args->layout == FORJA_MATMUL_TN;
    cl_int b_k_major = args->layout != FORJA_MATMUL_NT;
    cl_ulong rows = least(b->block_m, args->m - row);
    cl_ulong columns = least(b->block_n, args->n - column);
    cl_ulong depth = least(b->block_k, args->k - k);
    cl_ulong a_groups = a_packed ? 0 : forja__ceil_div(rows, b->tile_m * PANELS_PER_PACK);
    forja_span left = args->a, right = args->b, result = args->c;
    left.offset += batch * args->a_stride + (a_k_major ? k * args->lda + row : row * args->lda + k);
    right.offset +=
        batch * args->b_stride + (b_k_major ? k * args->ldb + column : column * args->ldb + k);
    result.offset += batch * args->c_stride + row * args->ldc + column;
    const void *panels = forja__span_memory(&workspace);
    const forja__arg panels_arg = {sizeof(cl_mem), panels};

    size_t pack_size[2] = {a_groups + forja__ceil_div(columns, b->tile_n * PANELS_PER_PACK),
                           forja__ceil_div(depth, PACK_DEPTH)};
    const size_t one[2] = {1, 1};
    FORJA__TRY(FORJA__LAUNCH(queue, kernels->pack, "forja_matmul_pack", 2, pack_size, one,
                             FORJA__ARG_SPAN(left), FORJA__ARG(args->lda), FORJA__ARG(a_k_major),
                             FORJA__ARG(rows), FORJA__ARG(a_groups), FORJA__ARG_SPAN(right),
                             FORJA__ARG(args->ldb), FORJA__ARG(b_k_major), FORJA__ARG(columns),
                             FORJA__ARG(depth), panels_arg, FORJA__ARG(b->a_place),
                             FORJA__ARG(b->b_place)));

    cl_int accumulate = args->accumulate, is_first = k == 0, is_last = k + depth == args->k;
    // The smaller operand is fastest: it stays in the second cache while the other passes once.
    cl_int a_is_fastest = rows <= columns;
    cl_ulong sum_stride = b->block_n;
    size_t b_panels = forja__ceil_div(columns, b->tile_n);
    size_t a_items = forja__ceil_div(rows, b->tile_m * PANELS_PER_ITEM);
    size_t size[2] = {a_is_fastest ? a_items : b_panels, a_is_fastest ? b_panels : a_items};
    return FORJA__LAUNCH(queue, kernels->multiply, "forja_matmul_panels", 2, size, one, panels_arg,
                         FORJA__ARG(b->a_place), FORJA__ARG(b->b_place), FORJA__ARG(b->sum_place),
                         FORJA__ARG(sum_stride),
                         FORJA__ARG_SPAN(result), FORJA__ARG(args->ldc), FORJA__ARG(rows),
                         FORJA__ARG(columns), FORJA__ARG(depth), FORJA__ARG(args->alpha),
                         FORJA__ARG(accumulate), FORJA__ARG(is_first), FORJA__ARG(is_last),
                         FORJA__ARG(a_is_fastest));
}

static forja_status launch(forja_queue *queue, const forja__variant *row,
                           const forja_matmul_args *args) {
    blocking b = block(row, args);
    kernels kernels;
    FORJA__TRY(get_kernels(&kernels, queue->device, row, args));
    forja_span workspace = {0};
    FORJA__TRY(forja__queue_workspace(&workspace.buffer, queue, b.total_floats * sizeof(float)));
    bool is_deep = b.block_k < args->k;
    for (uint64_t batch = 0; batch < args->batch_count; batch++)
        for (uint64_t m = 0; m < args->m; m += b.block_m)
            for (uint64_t n = 0; n < args->n; n += b.block_n)
                for (uint64_t k = 0; k < args->k; k += b.block_k)
                    FORJA__TRY(launch_block(queue, &kernels, args, &b, workspace, batch, m, n, k,
                                            n > 0 && !is_deep));
    return FORJA_OK;
}

const forja__matmul_family forja__opencl_matmul_panels = {
    .suits = suits, .launch = launch, .workspace_bytes = workspace_bytes};
