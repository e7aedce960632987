/// Launches the backward pass of attention on OpenCL CPU devices: delta, the five products of every
/// tile by parts of the keys, and the sum of the parts of dQ.

#include <stdio.h>

#include "attention.h"

/// Tile of attention_cpu.cl, and work-items that each compute unit should find.
enum { TILE = 64, ITEMS_PER_UNIT = 8 };

/// How the keys are cut into parts that run as work-items of their own. Shape and device decide it.
typedef struct parting {
    uint32_t split_keys; // keys of a part, a multiple of TILE; the last may have fewer
    uint32_t splits;
    uint64_t delta_floats, part_floats;
} parting;

static uint64_t ceil_div(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }
static uint64_t most(uint64_t a, uint64_t b) { return a > b ? a : b; }

static parting part(const forja_device *device, const forja_attention_args *x) {
    const uint64_t pairs = (uint64_t)x->batch * x->key_value_heads, keys = x->key_length;
    const uint64_t units = most(device->info.compute_units, 1);
    const uint64_t wanted = ceil_div(ITEMS_PER_UNIT * units, most(pairs, 1));
    const uint64_t tiles = most(ceil_div(keys, TILE), 1);
    const uint64_t split_tiles = ceil_div(tiles, wanted < tiles ? wanted : tiles);
    const uint64_t splits = ceil_div(tiles, split_tiles);
    const uint64_t padded = (x->head_dim + 15) / 16 * 16, group = x->heads / x->key_value_heads;
    // Part s holds the queries from its first key on: slice_start in the kernel.
    const uint64_t rows = splits * keys - splits * (splits - 1) / 2 * split_tiles * TILE;
    return (parting){
        .split_keys = (uint32_t)(split_tiles * TILE),
        .splits = (uint32_t)splits,
        .delta_floats = ceil_div((uint64_t)x->batch * x->heads * x->query_length, 16) * 16,
        .part_floats = forja__product(forja__product(pairs, rows), group * padded),
    };
}

static uint64_t workspace_bytes(const forja_device *device, const forja__variant *row,
                                const forja_attention_backward_args *args) {
    (void)row;
    const parting p = part(device, &args->forward);
    return forja__product(p.delta_floats + p.part_floats, sizeof(float));
}

static forja_status launch(forja_queue *queue, const forja__variant *row,
                           const forja_attention_backward_args *args) {
    static const char backward_name[] = "forja_attention_backward_cpu";
    static const char merge_name[] = "forja_attention_dq_merge_cpu";
    const forja_attention_args x = args->forward;
    const forja_attention_backward_args y = *args;
    const parting p = part(queue->device, &x);
    forja_span delta = {NULL, 0};
    FORJA__TRY(forja__queue_workspace(&delta.buffer, queue,
                                      workspace_bytes(queue->device, row, args)));
    const forja_span parts = {delta.buffer, p.delta_floats};
    FORJA__TRY(forja__attention_launch_delta(queue, args, delta));

    char options[64];
    snprintf(options, sizeof options, "-DHEAD_DIM=%u%s", x.head_dim,
             x.dtype == FORJA_DTYPE_BF16 ? " -DSTORAGE_BF16" : "");
    const size_t one[3] = {1, 1, 1};
    cl_kernel kernel;
    FORJA__TRY(forja__kernel_get(&kernel, queue->device, FORJA__SOURCE_ATTENTION_CPU, options,
                                 backward_name));
    const size_t items[3] = {p.splits, x.key_value_heads, x.batch};
    FORJA__TRY(FORJA__LAUNCH(
        queue, kernel, backward_name, 3, items, one, FORJA__ARG_SPAN(x.q), FORJA__ARG_SPAN(x.k),
        FORJA__ARG_SPAN(x.v), FORJA__ARG_SPAN(y.d_out), FORJA__ARG_SPAN(x.lse),
        FORJA__ARG_SPAN(delta), FORJA__ARG_SPAN(x.document_start), FORJA__ARG_SPAN(y.dk),
        FORJA__ARG_SPAN(y.dv), FORJA__ARG_SPAN(parts), FORJA__ARG(p.split_keys),
        FORJA__ARG(x.query_length), FORJA__ARG(x.heads), FORJA__ARG(x.key_value_heads),
        FORJA__ARG(x.q_row_stride), FORJA__ARG(x.k_row_stride), FORJA__ARG(x.v_row_stride),
        FORJA__ARG(x.out_row_stride), FORJA__ARG(y.dk_row_stride), FORJA__ARG(y.dv_row_stride),
        FORJA__ARG(x.scale)));

    FORJA__TRY(forja__kernel_get(&kernel, queue->device, FORJA__SOURCE_ATTENTION_CPU, options,
                                 merge_name));
    const size_t tiles[3] = {ceil_div(x.query_length, TILE), x.heads, x.batch};
    return FORJA__LAUNCH(queue, kernel, merge_name, 3, tiles, one, FORJA__ARG_SPAN(parts),
                         FORJA__ARG_SPAN(y.dq), FORJA__ARG(p.splits), FORJA__ARG(p.split_keys),
                         FORJA__ARG(x.query_length), FORJA__ARG(x.heads),
                         FORJA__ARG(x.key_value_heads), FORJA__ARG(y.dq_row_stride),
                         FORJA__ARG(x.scale));
}

const forja__attention_backward_family forja__opencl_attention_backward_cpu = {
    .launch = launch, .workspace_bytes = workspace_bytes};
