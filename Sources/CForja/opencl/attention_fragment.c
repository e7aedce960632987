// Launches attention on matrix units: attention_fragment.cl.
#include <stdio.h>

#include "attention.h"

// A row's tile.k is the widest head whose sums stay in registers.

/// Fewer rows than this leave most of a tile empty; the kernels without tiles are better then.
enum { LEAST_ROWS = 16 };

/// Offsets, strides and the head's width are multiples of 16 bytes: rows are read as vectors.
static bool is_aligned(const forja_attention_args *x) {
    return (x->head_dim | x->q.offset | x->k.offset | x->v.offset | x->q_row_stride |
            x->k_row_stride | x->v_row_stride) % 8 == 0;
}

/// Elements of a tile's row: the head's width in whole fragments, and what keeps rows apart.
static uint64_t pitch_of(uint32_t head_dim) { return (head_dim + 15) / 16 * 16 + 8; }

static forja__source source_of(const forja__variant *row) {
    return forja__fragment_source(row->fragment, FORJA__SOURCE_ATTENTION_XMX,
                                  FORJA__SOURCE_ATTENTION_AMD);
}

static void write_options(char out[256], const forja_device *device, const forja__variant *row,
                          const char *pass, bool aligned) {
    snprintf(out, 256, " -D%s%s%s%s", pass, aligned ? " -DALIGNED" : "", row->options,
             forja__fragment_options(device, row->fragment));
}

/// ── Forward ───────────────────────────────────────────────────────────────────────────────────

/// Tiles of Q, K and V, bf16 probabilities; scores and four numbers a row in f32.
static bool runs_forward(const forja_device *device, const forja__variant *row,
                         const forja_attention_args *args) {
    const uint64_t m = row->tile.m, n = row->tile.n, pitch = pitch_of(args->head_dim);
    const uint64_t bytes = 2 * ((m + 2 * n) * pitch + m * (n + 8)) +
                           4 * (m * (n + 4) + (uint64_t)row->group.x + 2 * m) +
                           forja__fragment_scratch_bytes(device, row->fragment, row->group.x);
    return args->dtype == FORJA_DTYPE_BF16 && bytes <= device->info.local_memory_bytes &&
           forja__fragment_runs(device, row->fragment);
}

static bool suits_forward(const forja_device *device, const forja__variant *row,
                          const forja_attention_args *args) {
    (void)device;
    return args->query_length >= LEAST_ROWS && args->head_dim <= row->tile.k;
}

static forja_status launch_forward(forja_queue *queue, const forja__variant *row,
                                   const forja_attention_args *args) {
    char options[256];
    write_options(options, queue->device, row, "ATTENTION_FORWARD", is_aligned(args));
    return forja__attention_launch_forward(queue, row, args, source_of(row), "fragment", options);
}

const forja__attention_forward_family forja__opencl_attention_forward_fragment = {
    .runs = runs_forward, .suits = suits_forward, .launch = launch_forward};

/// ── Backward ──────────────────────────────────────────────────────────────────────────────────

/// Tiles of Q, dO, K and V, bf16 probabilities and their gradients; three numbers a row in f32.
static bool runs_backward(const forja_device *device, const forja__variant *row,
                          const forja_attention_backward_args *args) {
    const uint64_t m = row->tile.m, n = row->tile.n, pitch = pitch_of(args->forward.head_dim);
    const uint64_t bytes = 2 * (2 * (m + n) * pitch + 2 * m * (n + 8)) + 4 * 3 * m +
                           forja__fragment_scratch_bytes(device, row->fragment, row->group.x);
    return args->forward.dtype == FORJA_DTYPE_BF16 && bytes <= device->info.local_memory_bytes &&
           forja__fragment_runs(device, row->fragment);
}

static bool suits_backward(const forja_device *device, const forja__variant *row,
                           const forja_attention_backward_args *args) {
    (void)device;
    return args->forward.query_length >= LEAST_ROWS && args->forward.head_dim <= row->tile.k;
}

static forja_status launch_backward(forja_queue *queue, const forja__variant *row,
                                    const forja_attention_backward_args *args) {
    char options[256];
    write_options(options, queue->device, row, "ATTENTION_BACKWARD",
                  is_aligned(&args->forward) &&
                      (args->d_out.offset | args->forward.out_row_stride) % 8 == 0);
    return forja__attention_launch_backward(queue, row, args, source_of(row), "fragment", options);
}

const forja__attention_backward_family forja__opencl_attention_backward_fragment = {
    .runs = runs_backward,
    .suits = suits_backward,
    .launch = launch_backward,
    .workspace_bytes = forja__attention_delta_bytes};
