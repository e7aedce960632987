// The matrix product on OpenCL CPU devices: A is packed into panels, which a register tile multiplies
// with B. Each work-item packs the part of B that it is about to read.
//
// Work is cut into blocks so that the panels of A stay in the last cache. Each block is two launches.
// Blocks of k follow each other in ascending order and carry float32 sums, so they change no bits.
#include <stdio.h>

#include "matmul.h"

/// Floats of A that are packed at a time (8 MB), and the sides of a block that are never cut further.
enum { BLOCK_FLOATS = 1 << 21, BLOCK_M = 2048, BLOCK_K = 1024 };
/// Columns of a block where sums wait in memory between blocks of k.
enum { BLOCK_N = 4096 };

/// Tunables whose meaning kernels/matmul_cpu.cl gives.
enum { PACK_DEPTH = 256, PANELS_PER_PACK = 4 };

/// A work-item has at most ITEM_ROWS rows of A, or fewer, down to ITEM_PANELS_LEAST panels, where the
/// device would have fewer than ITEMS_PER_UNIT work-items for each compute unit.
enum { ITEM_ROWS = 512, ITEM_PANELS_LEAST = 8, ITEMS_PER_UNIT = 8 };

typedef struct blocking {
    uint32_t tile_m, tile_n;
    uint64_t block_m, block_n, block_k;
    cl_ulong sum_place; // in floats from the start of the workspace
    uint64_t total_floats;
} blocking;

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t most(uint64_t a, uint64_t b) { return a > b ? a : b; }
static uint64_t round_up(uint64_t a, uint64_t b) { return forja__ceil_div(a, b) * b; }

/// Extent ÷ ⌈extent / limit⌉, rounded up to `unit`: equal blocks instead of a small last one.
static uint64_t even_block(uint64_t extent, uint64_t limit, uint64_t unit) {
    return round_up(forja__ceil_div(extent, forja__ceil_div(extent, limit)), unit);
}

static blocking block(const forja__variant *row, const forja_matmul_args *args) {
    blocking b = {.tile_m = row->tile.m, .tile_n = row->tile.n};
    b.block_k = even_block(args->k, most(BLOCK_K, BLOCK_FLOATS / least(args->m, BLOCK_M)), 16);
    uint64_t depth = least(b.block_k, args->k);
    bool is_deep = depth < args->k;
    b.block_m = even_block(args->m, most(BLOCK_M, BLOCK_FLOATS / depth), b.tile_m);
    b.block_n = even_block(args->n, is_deep ? BLOCK_N : args->n, b.tile_n);
    b.sum_place = b.block_m * depth;
    b.total_floats = b.sum_place + (is_deep ? b.block_m * b.block_n : 0);
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
    const char *storage = args->input_dtype == FORJA_DTYPE_BF16 ? " -DSTORAGE_BF16" : "";
    char options[FORJA__OPTIONS_SIZE];
    snprintf(options, sizeof options, "-DMATMUL_PACK%s -DPACK_DEPTH=%d -DPANELS_PER_PACK=%d%s",
             row->options, PACK_DEPTH, PANELS_PER_PACK, storage);
    FORJA__TRY(forja__kernel_get(&out->pack, device, FORJA__SOURCE_MATMUL_CPU, options,
                                 "forja_matmul_pack"));
    snprintf(options, sizeof options, "-DMATMUL_PANELS%s -DPANELS_PER_ITEM=%u%s%s%s", row->options,
             ITEM_ROWS / row->tile.m, storage,
             forja__opencl_is_cpu(device) ? " -DPREFETCHES" : "", // a simulator has no such thing
             args->output_dtype == FORJA_DTYPE_BF16 ? " -DOUTPUT_BF16" : "");
    return forja__kernel_get(&out->multiply, device, FORJA__SOURCE_MATMUL_CPU, options,
                             "forja_matmul_panels");
}

/// How many work-items share `a_panels` panels of A for each of `b_panels`.
static uint64_t item_count(const forja_device *device, const blocking *b, uint64_t a_panels,
                           uint64_t b_panels) {
    const uint64_t fewest = forja__ceil_div(a_panels, ITEM_ROWS / b->tile_m);
    const uint64_t greatest = forja__ceil_div(a_panels, ITEM_PANELS_LEAST);
    const uint64_t wanted =
        forja__ceil_div((uint64_t)ITEMS_PER_UNIT * device->info.compute_units, b_panels);
    return most(fewest, least(greatest, wanted));
}

/// Packs the block of A at `row`, k from `k` on.
static forja_status launch_pack(forja_queue *queue, cl_kernel kernel, const forja_matmul_args *args,
                                const blocking *b, forja_span workspace, uint64_t batch,
                                uint64_t row, uint64_t k) {
    cl_int k_major = args->layout == FORJA_MATMUL_TN;
    cl_ulong rows = least(b->block_m, args->m - row), depth = least(b->block_k, args->k - k);
    forja_span left = args->a;
    left.offset += batch * args->a_stride + (k_major ? k * args->lda + row : row * args->lda + k);
    const forja__arg panels = {sizeof(cl_mem), forja__span_memory(&workspace)};
    const size_t size[2] = {forja__ceil_div(rows, (uint64_t)b->tile_m * PANELS_PER_PACK),
                            forja__ceil_div(depth, PACK_DEPTH)};
    const size_t one[2] = {1, 1};
    return FORJA__LAUNCH(queue, kernel, "forja_matmul_pack", 2, size, one, FORJA__ARG_SPAN(left),
                         FORJA__ARG(args->lda), FORJA__ARG(k_major), FORJA__ARG(rows),
                         FORJA__ARG(depth), panels);
}

/// Multiplies the packed block of A with B: the block of C at (row, column), k from `k` on.
static forja_status launch_multiply(forja_queue *queue, cl_kernel kernel,
                                    const forja_matmul_args *args, const blocking *b,
                                    forja_span workspace, uint64_t batch, uint64_t row,
                                    uint64_t column, uint64_t k) {
    cl_int k_major = args->layout != FORJA_MATMUL_NT;
    cl_ulong rows = least(b->block_m, args->m - row);
    cl_ulong columns = least(b->block_n, args->n - column);
    cl_ulong depth = least(b->block_k, args->k - k);
    cl_int accumulate = args->accumulate, is_first = k == 0, is_last = k + depth == args->k;
    forja_span right = args->b, result = args->c;
    right.offset +=
        batch * args->b_stride + (k_major ? k * args->ldb + column : column * args->ldb + k);
    result.offset += batch * args->c_stride + row * args->ldc + column;
    const forja__arg panels = {sizeof(cl_mem), forja__span_memory(&workspace)};
    // The smaller operand is fastest: it stays in the second cache while the other passes once.
    cl_int a_is_fastest = rows <= columns;
    cl_ulong sum_stride = b->block_n;
    const size_t b_panels = forja__ceil_div(columns, b->tile_n);
    const size_t items =
        item_count(queue->device, b, forja__ceil_div(rows, b->tile_m), b_panels);
    const size_t size[2] = {a_is_fastest ? items : b_panels, a_is_fastest ? b_panels : items};
    const size_t one[2] = {1, 1};
    return FORJA__LAUNCH(queue, kernel, "forja_matmul_panels", 2, size, one, panels,
                         FORJA__ARG(b->sum_place), FORJA__ARG(sum_stride), FORJA__ARG_SPAN(right),
                         FORJA__ARG(args->ldb), FORJA__ARG(k_major), FORJA__ARG_SPAN(result),
                         FORJA__ARG(args->ldc), FORJA__ARG(rows), FORJA__ARG(columns),
                         FORJA__ARG(depth), FORJA__ARG(args->alpha), FORJA__ARG(accumulate),
                         FORJA__ARG(is_first), FORJA__ARG(is_last), FORJA__ARG(a_is_fastest));
}

static forja_status launch(forja_queue *queue, const forja__variant *row,
                           const forja_matmul_args *args) {
    blocking b = block(row, args);
    kernels kernels;
    FORJA__TRY(get_kernels(&kernels, queue->device, row, args));
    forja_span workspace = {0};
    FORJA__TRY(forja__queue_workspace(&workspace.buffer, queue, b.total_floats * sizeof(float)));
    for (uint64_t batch = 0; batch < args->batch_count; batch++)
        for (uint64_t m = 0; m < args->m; m += b.block_m)
            for (uint64_t n = 0; n < args->n; n += b.block_n)
                for (uint64_t k = 0; k < args->k; k += b.block_k) {
                    // Where k is one block, columns are too, and nothing of A is packed twice.
                    FORJA__TRY(launch_pack(queue, kernels.pack, args, &b, workspace, batch, m, k));
                    FORJA__TRY(launch_multiply(queue, kernels.multiply, args, &b, workspace, batch,
                                               m, n, k));
                }
    return FORJA_OK;
}

const forja__matmul_family forja__opencl_matmul_panels = {
    .suits = suits, .launch = launch, .workspace_bytes = workspace_bytes};
