// The matrix product on OpenCL CPU devices: A is packed into panels, which a register tile multiplies
// with B. Each work-item packs the part of B that it is about to read.
//
// A narrow product is one launch: each work-item packs the rows of A that it multiplies. A wider one would
// pack them too often: its work is cut into blocks whose panels of A stay in the last cache, and each
// block is two launches, one that packs A and one that multiplies. Blocks of k follow each other in
// ascending order and carry float32 sums, so nothing of this changes bits.
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

/// A product of at most ONE_LAUNCH_N columns, and not much wider than high, is one launch, with
/// SHARES_PER_UNIT work-items or more for each compute unit, where they pack at most SHARED_FLOATS floats
/// of A in all (16 MB) and use what they pack LEAST_USES times: many compute units would pack too often.
enum { ONE_LAUNCH_N = 1024, SHARES_PER_UNIT = 1, SHARED_FLOATS = 1 << 22, LEAST_USES = 64 };

/// Into how many blocks of rows and of columns one launch cuts C.
typedef struct shares {
    uint64_t rows, columns;
    cl_ulong panels_stride; // floats of A that one work-item packs
} shares;

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

/// The most panels of A that a work-item multiplies.
static uint32_t item_panels(uint32_t tile_m) { return (ITEM_ROWS + tile_m - 1) / tile_m; }

/// Whether one launch does it, and then in which shares: of those that give every compute unit its
/// number of work-items, the ones that pack the fewest numbers.
static bool share(shares *out, const forja_device *device, const forja__variant *row,
                  const forja_matmul_args *args) {
    if (args->n > least(ONE_LAUNCH_N, 2 * args->m))
        return false;
    const uint64_t a_panels = forja__ceil_div(args->m, row->tile.m);
    const uint64_t b_panels = forja__ceil_div(args->n, row->tile.n);
    const uint64_t units = device->info.compute_units, wanted = SHARES_PER_UNIT * units;
    uint64_t fewest = UINT64_MAX;
    for (uint64_t columns = 1; columns <= least(wanted, b_panels); columns++) {
        uint64_t rows = most(forja__ceil_div(wanted, columns),
                             forja__ceil_div(a_panels, item_panels(row->tile.m)));
        while (rows * columns % units != 0) // no unit waits for one more share
            rows++;
        const uint64_t packed = columns * args->m + rows * args->n;
        if (rows > a_panels || packed >= fewest)
            continue;
        fewest = packed;
        *out = (shares){.rows = rows,
                        .columns = columns,
                        .panels_stride =
                            round_up(forja__ceil_div(a_panels, rows) * row->tile.m * args->k, 16)};
    }
    return fewest < args->m * args->n / LEAST_USES &&
           out->rows * out->columns * out->panels_stride <= SHARED_FLOATS;
}

static uint64_t workspace_bytes(const forja_device *device, const forja__variant *row,
                                const forja_matmul_args *args) {
    shares shares;
    if (share(&shares, device, row, args))
        return shares.rows * shares.columns * shares.panels_stride * sizeof(float);
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
    cl_kernel pack, multiply, blocks;
} kernels;

static forja_status get_kernels(kernels *out, forja_device *device, const forja__variant *row,
                                const forja_matmul_args *args) {
    const char *storage = args->input_dtype == FORJA_DTYPE_BF16 ? " -DSTORAGE_BF16" : "";
    char options[FORJA__OPTIONS_SIZE];
    snprintf(options, sizeof options, "-DMATMUL_PACK%s -DPACK_DEPTH=%d -DPANELS_PER_PACK=%d%s",
             row->options, PACK_DEPTH, PANELS_PER_PACK, storage);
    FORJA__TRY(forja__kernel_get(&out->pack, device, FORJA__SOURCE_MATMUL_CPU, options,
                                 "forja_matmul_pack"));
    snprintf(options, sizeof options,
             "-DMATMUL_PANELS%s -DPANELS_PER_ITEM=%u -DPACK_DEPTH=%d -DPANELS_PER_PACK=%d%s%s%s",
             row->options, item_panels(row->tile.m), PACK_DEPTH, PANELS_PER_PACK, storage,
             forja__opencl_is_cpu(device) ? " -DPREFETCHES" : "", // a simulator has no such thing
             args->output_dtype == FORJA_DTYPE_BF16 ? " -DOUTPUT_BF16" : "");
    FORJA__TRY(forja__kernel_get(&out->multiply, device, FORJA__SOURCE_MATMUL_CPU, options,
                                 "forja_matmul_panels"));
    return forja__kernel_get(&out->blocks, device, FORJA__SOURCE_MATMUL_CPU, options,
                             "forja_matmul_blocks");
}

/// How many work-items share `a_panels` panels of A for each of `b_panels`.
static uint64_t item_count(const forja_device *device, const blocking *b, uint64_t a_panels,
                           uint64_t b_panels) {
    const uint64_t fewest = forja__ceil_div(a_panels, item_panels(b->tile_m));
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

/// One matrix of the batch in one launch.
static forja_status launch_blocks(forja_queue *queue, cl_kernel kernel,
                                  const forja_matmul_args *args, const shares *shares,
                                  forja_span workspace, uint64_t batch) {
    const cl_int a_k_major = args->layout == FORJA_MATMUL_TN;
    const cl_int b_k_major = args->layout != FORJA_MATMUL_NT, accumulate = args->accumulate;
    forja_span left = args->a, right = args->b, result = args->c;
    left.offset += batch * args->a_stride;
    right.offset += batch * args->b_stride;
    result.offset += batch * args->c_stride;
    const forja__arg panels = {sizeof(cl_mem), forja__span_memory(&workspace)};
    const size_t size[2] = {shares->columns, shares->rows}, one[2] = {1, 1};
    return FORJA__LAUNCH(queue, kernel, "forja_matmul_blocks", 2, size, one, panels,
                         FORJA__ARG(shares->panels_stride), FORJA__ARG_SPAN(left),
                         FORJA__ARG(args->lda), FORJA__ARG(a_k_major), FORJA__ARG_SPAN(right),
                         FORJA__ARG(args->ldb), FORJA__ARG(b_k_major), FORJA__ARG_SPAN(result),
                         FORJA__ARG(args->ldc), FORJA__ARG(args->m), FORJA__ARG(args->n),
                         FORJA__ARG(args->k), FORJA__ARG(args->alpha), FORJA__ARG(accumulate));
}

static forja_status launch(forja_queue *queue, const forja__variant *row,
                           const forja_matmul_args *args) {
    kernels kernels;
    FORJA__TRY(get_kernels(&kernels, queue->device, row, args));
    forja_span workspace = {0};
    FORJA__TRY(forja__queue_workspace(&workspace.buffer, queue,
                                      workspace_bytes(queue->device, row, args)));
    shares shares;
    if (share(&shares, queue->device, row, args)) {
        for (uint64_t batch = 0; batch < args->batch_count; batch++)
            FORJA__TRY(launch_blocks(queue, kernels.blocks, args, &shares, workspace, batch));
        return FORJA_OK;
    }
    blocking b = block(row, args);
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
