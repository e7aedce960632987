/// Launches attention: the families of the variants, and the shape of each launch.
///
/// `cpu` is attention_cpu.cl (its backward pass: opencl/attention_cpu.c), `gpu` attention_gpu.cl, `ref` attention.cl, which serves where a
/// device's work-groups are too small for the others.

#include <stdio.h>
#include <string.h>

#include "attention.h"

typedef struct grid {
    size_t global[3], local[3];
} grid;

/// A work-group, or where the device is free to choose a work-item, for each tile of each head.
static grid make_grid(const forja__variant *row, uint32_t tile, uint32_t rows, uint32_t heads,
                      uint32_t batch) {
    const size_t tiles = ((size_t)rows + tile - 1) / tile;
    const size_t x = row->group.x ? row->group.x : 1, y = row->group.y ? row->group.y : 1;
    return (grid){{tiles * x, heads * y, batch}, {x, y, 1}};
}

/// Kernel forja_attention_<pass>[_<suffix>]; its name goes to `name`. `more` are further options.
static forja_status get_kernel(cl_kernel *out, char name[64], forja_queue *queue,
                               const forja_attention_args *args, forja__source source,
                               const char *pass, const char *suffix, const char *more) {
    char options[320];
    snprintf(options, sizeof options, "-DHEAD_DIM=%u%s%s", args->head_dim, more,
             args->dtype == FORJA_DTYPE_BF16 ? " -DSTORAGE_BF16" : "");
    snprintf(name, 64, "forja_attention_%s%s%s", pass, *suffix ? "_" : "", suffix);
    return forja__kernel_get(out, queue->device, source, options, name);
}

/// ── Forward ───────────────────────────────────────────────────────────────────────────────────

static forja_status launch_forward(forja_queue *queue, const forja__variant *row,
                                   const forja_attention_args *args, forja__source source,
                                   const char *pass, const char *suffix, const char *more,
                                   grid grid) {
    const forja_attention_args x = *args;
    cl_kernel kernel;
    char name[64];
    FORJA__TRY(get_kernel(&kernel, name, queue, &x, source, pass, suffix, more));
    return FORJA__LAUNCH(
        queue, kernel, name, 3, grid.global, row->group.x ? grid.local : NULL,
        FORJA__ARG_SPAN(x.q), FORJA__ARG_SPAN(x.k), FORJA__ARG_SPAN(x.v), FORJA__ARG_SPAN(x.out),
        FORJA__ARG_SPAN(x.lse), FORJA__ARG_SPAN(x.document_start), FORJA__ARG_SPAN(x.query_offset),
        FORJA__ARG(x.query_length), FORJA__ARG(x.key_length), FORJA__ARG(x.heads),
        FORJA__ARG(x.key_value_heads), FORJA__ARG(x.q_row_stride), FORJA__ARG(x.k_row_stride),
        FORJA__ARG(x.v_row_stride), FORJA__ARG(x.out_row_stride), FORJA__ARG(x.scale));
}

forja_status forja__attention_launch_forward(forja_queue *queue, const forja__variant *row,
                                             const forja_attention_args *args,
                                             forja__source source, const char *suffix,
                                             const char *more) {
    const uint32_t tile = row->tile.m ? row->tile.m : 1;
    return launch_forward(queue, row, args, source, "forward", suffix, more,
                          make_grid(row, tile, args->query_length, args->heads, args->batch));
}

static forja_status launch_forward_ref(forja_queue *queue, const forja__variant *row,
                                       const forja_attention_args *args) {
    return forja__attention_launch_forward(queue, row, args, FORJA__SOURCE_ATTENTION, "ref", "");
}

static forja_status launch_forward_cpu(forja_queue *queue, const forja__variant *row,
                                       const forja_attention_args *args) {
    return forja__attention_launch_forward(queue, row, args, FORJA__SOURCE_ATTENTION_CPU, "cpu",
                                           "");
}

static forja_status launch_forward_gpu(forja_queue *queue, const forja__variant *row,
                                       const forja_attention_args *args) {
    char more[128];
    snprintf(more, sizeof more, " -DATTENTION_FORWARD%s", row->options);
    return forja__attention_launch_forward(queue, row, args, FORJA__SOURCE_ATTENTION_GPU, "gpu",
                                           more);
}

/// One work-item per group of heads: attention.cl, since it has no tile.
static forja_status launch_decode_cpu(forja_queue *queue, const forja__variant *row,
                                      const forja_attention_args *args) {
    char more[64];
    snprintf(more, sizeof more, " -DGROUP=%u", args->heads / args->key_value_heads);
    const grid grid = {{1, args->key_value_heads, args->batch}, {1, 1, 1}};
    return launch_forward(queue, row, args, FORJA__SOURCE_ATTENTION, "decode", "cpu", more, grid);
}

static forja_status launch_decode_gpu(forja_queue *queue, const forja__variant *row,
                                      const forja_attention_args *args) {
    const grid grid = {{row->group.x, args->heads, args->batch}, {row->group.x, 1, 1}};
    return launch_forward(queue, row, args, FORJA__SOURCE_ATTENTION_GPU, "decode", "gpu",
                          " -DATTENTION_DECODE -DSIDE=8 -DBLOCK_M=8 -DBLOCK_N=8", grid);
}

static bool is_decode(const forja_device *device, const forja__variant *row,
                      const forja_attention_args *args) {
    (void)device, (void)row;
    return args->query_length == 1;
}

/// A work-item keeps query and sum of its group of heads in private memory: 128 KiB at most.
static bool runs_decode_cpu(const forja_device *device, const forja__variant *row,
                            const forja_attention_args *args) {
    enum { MOST_FLOATS = 16384 };
    return is_decode(device, row, args) && args->key_value_heads > 0 &&
           (uint64_t)(args->heads / args->key_value_heads) * args->head_dim <= MOST_FLOATS;
}

/// The tile for a head's width: of those that stay within 48 KB, which every GPU has, the largest.
static bool suits_width(const forja__variant *row, uint32_t head_dim, uint32_t narrow,
                        uint32_t medium, uint32_t wide) {
    return row->tile.m == (head_dim <= 64 ? narrow : head_dim <= 128 ? medium : wide);
}

static bool suits_forward_gpu(const forja_device *device, const forja__variant *row,
                              const forja_attention_args *args) {
    (void)device;
    return suits_width(row, args->head_dim, 64, 32, 16);
}

/// Queries, one tile of keys or values, scores, four numbers a row.
static bool runs_forward_gpu(const forja_device *device, const forja__variant *row,
                             const forja_attention_args *args) {
    const uint64_t m = row->tile.m, n = row->tile.n, pitch = args->head_dim + 1;
    return sizeof(float) * ((m + n) * pitch + m * (n + 1) + 4 * m) <=
           device->info.local_memory_bytes;
}

const forja__attention_forward_family forja__opencl_attention_forward_ref = {.launch = launch_forward_ref};
const forja__attention_forward_family forja__opencl_attention_forward_cpu = {.launch = launch_forward_cpu};
const forja__attention_forward_family forja__opencl_attention_forward_gpu = {
    .runs = runs_forward_gpu, .suits = suits_forward_gpu, .launch = launch_forward_gpu};
const forja__attention_forward_family forja__opencl_attention_decode_cpu = {
    .runs = runs_decode_cpu, .launch = launch_decode_cpu};
const forja__attention_forward_family forja__opencl_attention_decode_gpu = {
    .runs = is_decode, .launch = launch_decode_gpu};

uint64_t forja__opencl_attention_forward_workspace_bytes(const forja_device *device,
                                                         const forja_attention_args *args) {
    const forja__variant *row;
    if (forja__variant_choose(&row, device, FORJA_OP_ATTENTION_FORWARD, args) != FORJA_OK ||
        !row->attention_forward->workspace_bytes)
        return 0;
    return row->attention_forward->workspace_bytes(device, row, args);
}

forja_status forja__opencl_attention_forward(forja_queue *queue, const forja_attention_args *args) {
    const forja__variant *row;
    FORJA__TRY(forja__variant_choose(&row, queue->device, FORJA_OP_ATTENTION_FORWARD, args));
    return row->attention_forward->launch(queue, row, args);
}

/// ── Backward ──────────────────────────────────────────────────────────────────────────────────

/// delta, [B, H, T] f32.
uint64_t forja__attention_delta_bytes(const forja_device *device, const forja__variant *row,
                                      const forja_attention_backward_args *args) {
    (void)device, (void)row;
    return forja__product(forja__product(args->forward.batch, args->forward.heads),
                          forja__product(args->forward.query_length, sizeof(float)));
}

forja_status forja__attention_launch_delta(forja_queue *queue,
                                           const forja_attention_backward_args *args,
                                           forja_span delta) {
    const forja_attention_args x = args->forward;
    cl_kernel kernel;
    char name[64];
    FORJA__TRY(get_kernel(&kernel, name, queue, &x, FORJA__SOURCE_ATTENTION, "delta", "", ""));
    const size_t global[3] = {x.query_length, x.heads, x.batch};
    return FORJA__LAUNCH(queue, kernel, name, 3, global, NULL, FORJA__ARG_SPAN(x.out),
                         FORJA__ARG_SPAN(args->d_out), FORJA__ARG_SPAN(delta),
                         FORJA__ARG(x.query_length), FORJA__ARG(x.heads),
                         FORJA__ARG(x.out_row_stride));
}

forja_status forja__attention_launch_backward(forja_queue *queue, const forja__variant *row,
                                              const forja_attention_backward_args *args,
                                              forja__source source, const char *suffix,
                                              const char *more) {
    const forja_attention_args x = args->forward;
    const forja_attention_backward_args y = *args;
    forja_span delta = {NULL, 0};
    FORJA__TRY(forja__queue_workspace(&delta.buffer, queue,
                                      forja__attention_delta_bytes(queue->device, row, args)));
    FORJA__TRY(forja__attention_launch_delta(queue, args, delta));

    cl_kernel kernel;
    char name[64];
    grid grid = make_grid(row, row->tile.m ? row->tile.m : 1, x.query_length, x.heads, x.batch);
    FORJA__TRY(get_kernel(&kernel, name, queue, &x, source, "dq", suffix, more));
    FORJA__TRY(FORJA__LAUNCH(
        queue, kernel, name, 3, grid.global, row->group.x ? grid.local : NULL,
        FORJA__ARG_SPAN(x.q), FORJA__ARG_SPAN(x.k), FORJA__ARG_SPAN(x.v), FORJA__ARG_SPAN(y.d_out),
        FORJA__ARG_SPAN(x.lse), FORJA__ARG_SPAN(delta), FORJA__ARG_SPAN(x.document_start),
        FORJA__ARG_SPAN(y.dq), FORJA__ARG(x.query_length), FORJA__ARG(x.heads),
        FORJA__ARG(x.key_value_heads), FORJA__ARG(x.q_row_stride), FORJA__ARG(x.k_row_stride),
        FORJA__ARG(x.v_row_stride), FORJA__ARG(x.out_row_stride), FORJA__ARG(y.dq_row_stride),
        FORJA__ARG(x.scale)));

    grid = make_grid(row, row->tile.n ? row->tile.n : 1, x.query_length, x.key_value_heads,
                     x.batch);
    FORJA__TRY(get_kernel(&kernel, name, queue, &x, source, "dkv", suffix, more));
    return FORJA__LAUNCH(
        queue, kernel, name, 3, grid.global, row->group.x ? grid.local : NULL,
        FORJA__ARG_SPAN(x.q), FORJA__ARG_SPAN(x.k), FORJA__ARG_SPAN(x.v), FORJA__ARG_SPAN(y.d_out),
        FORJA__ARG_SPAN(x.lse), FORJA__ARG_SPAN(delta), FORJA__ARG_SPAN(x.document_start),
        FORJA__ARG_SPAN(y.dk), FORJA__ARG_SPAN(y.dv), FORJA__ARG(x.query_length),
        FORJA__ARG(x.heads), FORJA__ARG(x.key_value_heads), FORJA__ARG(x.q_row_stride),
        FORJA__ARG(x.k_row_stride), FORJA__ARG(x.v_row_stride), FORJA__ARG(x.out_row_stride),
        FORJA__ARG(y.dk_row_stride), FORJA__ARG(y.dv_row_stride), FORJA__ARG(x.scale));
}

static forja_status launch_backward_ref(forja_queue *queue, const forja__variant *row,
                                        const forja_attention_backward_args *args) {
    return forja__attention_launch_backward(queue, row, args, FORJA__SOURCE_ATTENTION, "ref", "");
}

static forja_status launch_backward_gpu(forja_queue *queue, const forja__variant *row,
                                        const forja_attention_backward_args *args) {
    char more[128];
    snprintf(more, sizeof more, " -DATTENTION_BACKWARD%s", row->options);
    return forja__attention_launch_backward(queue, row, args, FORJA__SOURCE_ATTENTION_GPU, "gpu",
                                            more);
}

static bool suits_backward_gpu(const forja_device *device, const forja__variant *row,
                               const forja_attention_backward_args *args) {
    (void)device;
    return suits_width(row, args->forward.head_dim, 32, 16, 8);
}

/// Tiles of Q, dO, K and V; probabilities and their gradients.
static bool runs_backward_gpu(const forja_device *device, const forja__variant *row,
                              const forja_attention_backward_args *args) {
    const uint64_t side = row->tile.m, pitch = args->forward.head_dim + 1;
    return sizeof(float) * (4 * side * pitch + 2 * side * (side + 1)) <=
           device->info.local_memory_bytes;
}

const forja__attention_backward_family forja__opencl_attention_backward_ref = {
    .launch = launch_backward_ref, .workspace_bytes = forja__attention_delta_bytes};
const forja__attention_backward_family forja__opencl_attention_backward_gpu = {
    .runs = runs_backward_gpu,
    .suits = suits_backward_gpu,
    .launch = launch_backward_gpu,
    .workspace_bytes = forja__attention_delta_bytes};

uint64_t
forja__opencl_attention_backward_workspace_bytes(const forja_device *device,
                                                 const forja_attention_backward_args *args) {
    const forja__variant *row;
    if (forja__variant_choose(&row, device, FORJA_OP_ATTENTION_BACKWARD, args) != FORJA_OK ||
        !row->attention_backward->workspace_bytes)
        return 0;
    return row->attention_backward->workspace_bytes(device, row, args);
}

forja_status forja__opencl_attention_backward(forja_queue *queue,
                                              const forja_attention_backward_args *args) {
    const forja__variant *row;
    FORJA__TRY(forja__variant_choose(&row, queue->device, FORJA_OP_ATTENTION_BACKWARD, args));
    return row->attention_backward->launch(queue, row, args);
}
