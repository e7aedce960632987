// Launches attention on NVIDIA's tensor cores: attention_nv_mma.cl.
#include <stdio.h>
#include <string.h>

#include "attention.h"
#include "nv_mma.h"

/// Fewer rows than this leave most of a warp empty; the kernels without tiles are better then.
enum { LEAST_ROWS = 16 };

/// The row's config is the tile's name.
static const forja__attention_nv_mma_tile *tile_of(const forja__variant *row) {
    const forja__attention_nv_mma_tile *tile = row->op == FORJA_OP_ATTENTION_FORWARD
                                                   ? forja__attention_nv_mma_forward_tiles
                                                   : forja__attention_nv_mma_backward_tiles;
    while (strcmp(tile->name, row->config) != 0)
        tile++;
    return tile;
}

/// Whether every row starts on a cell of 8 elements.
static bool is_aligned(forja_span span, uint64_t row_stride) {
    return forja__starts_on(8, span, row_stride, 0);
}

/// bf16, a head width the tile fits, offsets and row strides that are multiples of 8 elements.
static bool runs(const forja_device *device, const forja__attention_nv_mma_tile *tile,
                 uint32_t local_bytes, const forja_attention_args *args) {
    return forja__opencl_has_nv_mma(device) && args->dtype == FORJA_DTYPE_BF16 &&
           forja__attention_nv_mma_tile_fits(tile, args->head_dim) &&
           local_bytes <= device->info.local_memory_bytes &&
           forja__attention_nv_mma_work_items(tile) <= forja__opencl_max_work_group(device) &&
           is_aligned(args->q, args->q_row_stride) && is_aligned(args->k, args->k_row_stride) &&
           is_aligned(args->v, args->v_row_stride) && is_aligned(args->out, args->out_row_stride);
}

static bool runs_forward(const forja_device *device, const forja__variant *row,
                         const forja_attention_args *args) {
    const forja__attention_nv_mma_tile *tile = tile_of(row);
    return runs(device, tile, forja__attention_nv_mma_forward_local_bytes(tile, args->head_dim),
                args);
}

static bool runs_backward(const forja_device *device, const forja__variant *row,
                          const forja_attention_backward_args *args) {
    const forja__attention_nv_mma_tile *tile = tile_of(row);
    const uint32_t head_dim = args->forward.head_dim;
    return runs(device, tile, forja__attention_nv_mma_backward_local_bytes(tile, head_dim),
                &args->forward) &&
           is_aligned(args->d_out, args->forward.out_row_stride) &&
           is_aligned(args->dq, args->dq_row_stride) && is_aligned(args->dk, args->dk_row_stride) &&
           is_aligned(args->dv, args->dv_row_stride);
}

/// Blocks of many rows read K and V less often; those of few keep every compute unit busy.
static bool suits_forward(const forja_device *device, const forja__variant *row,
                          const forja_attention_args *args) {
    enum { SMALL = 64 };
    const uint32_t rows = 16 * tile_of(row)->warps;
    const uint64_t groups =
        forja__product(forja__product(args->batch, args->heads),
                       (args->query_length + (uint64_t)rows - 1) / rows);
    return args->query_length >= LEAST_ROWS &&
           (rows <= SMALL || groups >= device->info.compute_units);
}

static bool suits_backward(const forja_device *device, const forja__variant *row,
                           const forja_attention_backward_args *args) {
    (void)device, (void)row;
    return args->forward.query_length >= LEAST_ROWS;
}

typedef struct prepared {
    cl_kernel kernel;
    char name[64];
    size_t global[3], local[3];
} prepared;

/// The kernel of `part`, and its groups: blocks of `rows` rows (or keys) of `heads` heads.
static forja_status prepare(prepared *out, forja_queue *queue, const forja_attention_args *args,
                            const forja__attention_nv_mma_tile *tile, const char *part,
                            const char *pass, uint32_t rows, uint32_t heads) {
    char options[FORJA__NV_MMA_OPTION_BYTES];
    forja__attention_nv_mma_options(options, tile, part, args->head_dim);
    snprintf(out->name, sizeof out->name, "forja_attention_%s_nv_mma", pass);
    const size_t block = 16 * tile->warps, items = forja__attention_nv_mma_work_items(tile);
    out->local[0] = items;
    out->local[1] = out->local[2] = 1;
    out->global[0] = (rows + block - 1) / block * items;
    out->global[1] = heads;
    out->global[2] = args->batch;
    return forja__kernel_get(&out->kernel, queue->device, FORJA__SOURCE_ATTENTION_NV_MMA, options,
                             out->name);
}

static forja_status launch_forward(forja_queue *queue, const forja__variant *row,
                                   const forja_attention_args *args) {
    const forja__attention_nv_mma_tile *tile = tile_of(row);
    const forja_attention_args x = *args;
    prepared p;
    FORJA__TRY(prepare(&p, queue, &x, tile, "FORWARD", "forward", x.query_length, x.heads));
    return FORJA__LAUNCH(
        queue, p.kernel, p.name, 3, p.global, p.local, FORJA__ARG_SPAN(x.q), FORJA__ARG_SPAN(x.k),
        FORJA__ARG_SPAN(x.v), FORJA__ARG_SPAN(x.out), FORJA__ARG_SPAN(x.lse),
        FORJA__ARG_SPAN(x.document_start), FORJA__ARG_SPAN(x.query_offset),
        FORJA__ARG(x.query_length), FORJA__ARG(x.key_length), FORJA__ARG(x.heads),
        FORJA__ARG(x.key_value_heads), FORJA__ARG(x.q_row_stride), FORJA__ARG(x.k_row_stride),
        FORJA__ARG(x.v_row_stride), FORJA__ARG(x.out_row_stride), FORJA__ARG(x.scale));
}

static forja_status launch_backward(forja_queue *queue, const forja__variant *row,
                                    const forja_attention_backward_args *args) {
    const forja__attention_nv_mma_tile *tile = tile_of(row);
    const forja_attention_args x = args->forward;
    const forja_attention_backward_args y = *args;
    forja_span delta = {NULL, 0};
    FORJA__TRY(forja__queue_workspace(&delta.buffer, queue,
                                      forja__attention_delta_bytes(queue->device, row, args)));
    FORJA__TRY(forja__attention_launch_delta(queue, args, delta));

    prepared p;
    FORJA__TRY(prepare(&p, queue, &x, tile, "DQ", "dq", x.query_length, x.heads));
    FORJA__TRY(FORJA__LAUNCH(
        queue, p.kernel, p.name, 3, p.global, p.local, FORJA__ARG_SPAN(x.q), FORJA__ARG_SPAN(x.k),
        FORJA__ARG_SPAN(x.v), FORJA__ARG_SPAN(y.d_out), FORJA__ARG_SPAN(x.lse),
        FORJA__ARG_SPAN(delta), FORJA__ARG_SPAN(x.document_start), FORJA__ARG_SPAN(y.dq),
        FORJA__ARG(x.query_length), FORJA__ARG(x.heads), FORJA__ARG(x.key_value_heads),
        FORJA__ARG(x.q_row_stride), FORJA__ARG(x.k_row_stride), FORJA__ARG(x.v_row_stride),
        FORJA__ARG(x.out_row_stride), FORJA__ARG(y.dq_row_stride), FORJA__ARG(x.scale)));

    FORJA__TRY(prepare(&p, queue, &x, tile, "DKV", "dkv", x.query_length, x.key_value_heads));
    return FORJA__LAUNCH(
        queue, p.kernel, p.name, 3, p.global, p.local, FORJA__ARG_SPAN(x.q), FORJA__ARG_SPAN(x.k),
        FORJA__ARG_SPAN(x.v), FORJA__ARG_SPAN(y.d_out), FORJA__ARG_SPAN(x.lse),
        FORJA__ARG_SPAN(delta), FORJA__ARG_SPAN(x.document_start), FORJA__ARG_SPAN(y.dk),
        FORJA__ARG_SPAN(y.dv), FORJA__ARG(x.query_length), FORJA__ARG(x.heads),
        FORJA__ARG(x.key_value_heads), FORJA__ARG(x.q_row_stride), FORJA__ARG(x.k_row_stride),
        FORJA__ARG(x.v_row_stride), FORJA__ARG(x.out_row_stride), FORJA__ARG(y.dk_row_stride),
        FORJA__ARG(y.dv_row_stride), FORJA__ARG(x.scale));
}

const forja__attention_forward_family forja__opencl_attention_forward_nv_mma = {
    .runs = runs_forward, .suits = suits_forward, .launch = launch_forward};
const forja__attention_backward_family forja__opencl_attention_backward_nv_mma = {
    .runs = runs_backward,
    .suits = suits_backward,
    .launch = launch_backward,
    .workspace_bytes = forja__attention_delta_bytes};
