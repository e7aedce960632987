/// Launches attention: which variant serves a device, and the shape of each launch.
///
/// CPU runtimes take attention_cpu.cl, other devices attention_gpu.cl, and where a device's
/// work-groups are too small for the latter attention.cl serves.
/// FORJA_ATTENTION_VARIANT=ref|cpu|gpu forces one.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attention.h"

typedef enum variant { VARIANT_REF, VARIANT_CPU, VARIANT_GPU } variant;

/// What the tiles of attention_gpu.cl need.
enum { GPU_WORK_ITEMS = 256, GPU_LOCAL_BYTES = 42 << 10 };

static variant choose_variant(const forja_device *device) {
    const char *forced = getenv("FORJA_ATTENTION_VARIANT");
    if (forced && strcmp(forced, "ref") == 0)
        return VARIANT_REF;
    if (forced && strcmp(forced, "cpu") == 0)
        return VARIANT_CPU;
    if (forced && strcmp(forced, "gpu") == 0)
        return VARIANT_GPU;
    if (forja__opencl_is_cpu(device))
        return VARIANT_CPU;
    const bool fits = forja__opencl_max_work_group(device) >= GPU_WORK_ITEMS &&
                      device->info.local_memory_bytes >= GPU_LOCAL_BYTES;
    return fits ? VARIANT_GPU : VARIANT_REF;
}

/// How a kernel's tiles map to work-items: `items` work-items on a side of a tile of `tile` rows,
/// which is what BLOCK_M, BLOCK, SIDE and TILE say in the kernel files.
typedef struct tiling {
    uint32_t tile, items;
} tiling;

static tiling tiling_of(variant variant, uint32_t head_dim, bool is_backward) {
    if (variant == VARIANT_REF)
        return (tiling){1, 1};
    if (variant == VARIANT_CPU)
        return (tiling){64, 1};
    if (head_dim <= 64)
        return (tiling){is_backward ? 32 : 64, 16};
    if (head_dim <= 128)
        return (tiling){is_backward ? 16 : 32, 16};
    return (tiling){is_backward ? 8 : 16, 8};
}

typedef struct grid {
    size_t global[3], local[3];
} grid;

static grid make_grid(tiling tiling, uint32_t rows, uint32_t heads, uint32_t batch) {
    const size_t tiles = ((size_t)rows + tiling.tile - 1) / tiling.tile;
    return (grid){{tiles * tiling.items, (size_t)heads * tiling.items, batch},
                  {tiling.items, tiling.items, 1}};
}

static const char *const suffixes[] = {"ref", "cpu", "gpu"};
static const forja__source sources[] = {FORJA__SOURCE_ATTENTION, FORJA__SOURCE_ATTENTION_CPU,
                                        FORJA__SOURCE_ATTENTION_GPU};

/// Kernel forja_attention_<pass>_<variant>; its name goes to `name`.
static forja_status get_kernel(cl_kernel *out, char name[64], forja_queue *queue,
                               const forja_attention_args *args, forja__source source,
                               const char *pass, const char *suffix) {
    const char *storage = args->dtype == FORJA_DTYPE_BF16 ? " -DSTORAGE_BF16" : "";
    char options[64];
    // GROUP sizes arrays of the decode kernel alone; the others serve every group.
    if (strcmp(pass, "decode") == 0)
        snprintf(options, sizeof options, "-DHEAD_DIM=%u -DGROUP=%u%s", args->head_dim,
                 args->heads / args->key_value_heads, storage);
    else
        snprintf(options, sizeof options, "-DHEAD_DIM=%u%s", args->head_dim, storage);
    snprintf(name, 64, "forja_attention_%s%s%s", pass, *suffix ? "_" : "", suffix);
    return forja__kernel_get(out, queue->device, source, options, name);
}

uint64_t forja__opencl_attention_forward_workspace_bytes(const forja_device *device,
                                                         const forja_attention_args *args) {
    (void)device, (void)args;
    return 0;
}

/// delta, [B, H, T] f32.
uint64_t
forja__opencl_attention_backward_workspace_bytes(const forja_device *device,
                                                 const forja_attention_backward_args *args) {
    (void)device;
    return forja__product(forja__product(args->forward.batch, args->forward.heads),
                          forja__product(args->forward.query_length, sizeof(float)));
}

forja_status forja__opencl_attention_forward(forja_queue *queue, const forja_attention_args *args) {
    const forja_attention_args x = *args;
    const variant variant = choose_variant(queue->device);
    const char *pass = "forward";
    grid grid = make_grid(tiling_of(variant, x.head_dim, false), x.query_length, x.heads, x.batch);
    forja__source source = sources[variant];
    if (x.query_length == 1 && variant == VARIANT_CPU) {
        pass = "decode";
        source = FORJA__SOURCE_ATTENTION; // it has no tile
        grid = (struct grid){{1, x.key_value_heads, x.batch}, {1, 1, 1}};
    } else if (x.query_length == 1 && variant == VARIANT_GPU) {
        pass = "decode";
        grid = (struct grid){{64, x.heads, x.batch}, {64, 1, 1}};
    }
    cl_kernel kernel;
    char name[64];
    FORJA__TRY(get_kernel(&kernel, name, queue, &x, source, pass, suffixes[variant]));
    return FORJA__LAUNCH(
        queue, kernel, name, 3, grid.global, variant == VARIANT_REF ? NULL : grid.local,
        FORJA__ARG_SPAN(x.q), FORJA__ARG_SPAN(x.k), FORJA__ARG_SPAN(x.v), FORJA__ARG_SPAN(x.out),
        FORJA__ARG_SPAN(x.lse), FORJA__ARG_SPAN(x.document_start), FORJA__ARG_SPAN(x.query_offset),
        FORJA__ARG(x.query_length), FORJA__ARG(x.key_length), FORJA__ARG(x.heads),
        FORJA__ARG(x.key_value_heads), FORJA__ARG(x.q_row_stride), FORJA__ARG(x.k_row_stride),
        FORJA__ARG(x.v_row_stride), FORJA__ARG(x.out_row_stride), FORJA__ARG(x.scale));
}

forja_status forja__attention_launch_delta(forja_queue *queue,
                                           const forja_attention_backward_args *args,
                                           forja_span delta) {
    const forja_attention_args x = args->forward;
    cl_kernel kernel;
    char name[64];
    FORJA__TRY(get_kernel(&kernel, name, queue, &x, FORJA__SOURCE_ATTENTION, "delta", ""));
    const size_t global[3] = {x.query_length, x.heads, x.batch};
    return FORJA__LAUNCH(queue, kernel, name, 3, global, NULL, FORJA__ARG_SPAN(x.out),
                         FORJA__ARG_SPAN(args->d_out), FORJA__ARG_SPAN(delta),
                         FORJA__ARG(x.query_length), FORJA__ARG(x.heads),
                         FORJA__ARG(x.out_row_stride));
}

forja_status forja__opencl_attention_backward(forja_queue *queue,
                                              const forja_attention_backward_args *args) {
    const forja_attention_args x = args->forward;
    const forja_attention_backward_args y = *args;
    const variant variant = choose_variant(queue->device);
    const tiling tiling = tiling_of(variant, x.head_dim, true);
    forja_span delta = {NULL, 0};
    FORJA__TRY(forja__queue_workspace(
        &delta.buffer, queue,
        forja__opencl_attention_backward_workspace_bytes(queue->device, args)));
    FORJA__TRY(forja__attention_launch_delta(queue, args, delta));

    cl_kernel kernel;
    char name[64];
    grid grid = make_grid(tiling, x.query_length, x.heads, x.batch);
    FORJA__TRY(get_kernel(&kernel, name, queue, &x, sources[variant], "dq", suffixes[variant]));
    FORJA__TRY(FORJA__LAUNCH(
        queue, kernel, name, 3, grid.global, variant == VARIANT_REF ? NULL : grid.local,
        FORJA__ARG_SPAN(x.q), FORJA__ARG_SPAN(x.k), FORJA__ARG_SPAN(x.v), FORJA__ARG_SPAN(y.d_out),
        FORJA__ARG_SPAN(x.lse), FORJA__ARG_SPAN(delta), FORJA__ARG_SPAN(x.document_start),
        FORJA__ARG_SPAN(y.dq), FORJA__ARG(x.query_length), FORJA__ARG(x.heads),
        FORJA__ARG(x.key_value_heads), FORJA__ARG(x.q_row_stride), FORJA__ARG(x.k_row_stride),
        FORJA__ARG(x.v_row_stride), FORJA__ARG(x.out_row_stride), FORJA__ARG(y.dq_row_stride),
        FORJA__ARG(x.scale)));

    grid = make_grid(tiling, x.query_length, x.key_value_heads, x.batch);
    FORJA__TRY(get_kernel(&kernel, name, queue, &x, sources[variant], "dkv", suffixes[variant]));
    return FORJA__LAUNCH(
        queue, kernel, name, 3, grid.global, variant == VARIANT_REF ? NULL : grid.local,
        FORJA__ARG_SPAN(x.q), FORJA__ARG_SPAN(x.k), FORJA__ARG_SPAN(x.v), FORJA__ARG_SPAN(y.d_out),
        FORJA__ARG_SPAN(x.lse), FORJA__ARG_SPAN(delta), FORJA__ARG_SPAN(x.document_start),
        FORJA__ARG_SPAN(y.dk), FORJA__ARG_SPAN(y.dv), FORJA__ARG(x.query_length),
        FORJA__ARG(x.heads), FORJA__ARG(x.key_value_heads), FORJA__ARG(x.q_row_stride),
        FORJA__ARG(x.k_row_stride), FORJA__ARG(x.v_row_stride), FORJA__ARG(x.out_row_stride),
        FORJA__ARG(y.dk_row_stride), FORJA__ARG(y.dv_row_stride), FORJA__ARG(x.scale));
}
