/// The kernels of *_nv_mma.cl: what they run on, their tiles, their options. variants.c has their
/// rows, each named after its tile.
#pragma once

#include "../internal.h"

/// What a probe says (opencl/probe.h).
typedef enum forja__answer {
    FORJA__UNKNOWN, /// it could not be tried, or was not: taken for a no, and asked again at the next start
    FORJA__NO,
    FORJA__YES,
} forja__answer;

/// The device is NVIDIA's, of compute capability 8.0 or newer, and its compiler and tensor cores
/// gave the expected numbers (opencl/probe.c).
bool forja__opencl_has_nv_mma(const forja_device *device);

/// Whether every row of every matrix starts on a multiple of `unit` elements.
static inline bool forja__starts_on(uint64_t unit, forja_span span, uint64_t row_stride,
                                    uint64_t batch_stride) {
    return (span.offset | row_stride | batch_stride) % unit == 0;
}

// ── Matrix product ───────────────────────────────────────────────────────────────────────────────

/// The tunables of matmul_nv_mma.cl.
typedef struct forja__matmul_nv_mma_tile {
    const char *name; /// "128x128x32x3"
    uint32_t block_m, block_n, block_k, stages, warps_m, warps_n;
} forja__matmul_nv_mma_tile;

/// Large tiles read less, small ones keep more compute units busy. From large to small.
enum { FORJA__MATMUL_NV_MMA_TILE_COUNT = 6 };
extern const forja__matmul_nv_mma_tile forja__matmul_nv_mma_tiles[FORJA__MATMUL_NV_MMA_TILE_COUNT];
uint32_t forja__matmul_nv_mma_local_bytes(const forja__matmul_nv_mma_tile *tile);
uint32_t forja__matmul_nv_mma_work_items(const forja__matmul_nv_mma_tile *tile);

/// What the launcher reads from the arguments to choose the kernel's options.
typedef struct forja__matmul_nv_mma_shape {
    forja_matmul_layout layout;
    bool output_is_bf16;
    bool is_aligned;  /// offsets, row and batch strides of A and B are multiples of 8 elements
    bool c_has_pairs; /// those of C are even
} forja__matmul_nv_mma_shape;

enum { FORJA__NV_MMA_OPTION_BYTES = 256 };
void forja__matmul_nv_mma_options(char out[FORJA__NV_MMA_OPTION_BYTES],
                                  const forja__matmul_nv_mma_tile *tile,
                                  forja__matmul_nv_mma_shape shape);

/// The one tile of matmul_nv_wgmma.cl.
extern const forja__matmul_nv_mma_tile forja__matmul_nv_wgmma_tile;

/// The device is of compute capability 9.0, forja__opencl_has_nv_mma, its driver takes
/// matmul_nv_wgmma_module.ptx and each of its kernels multiplies small integers without error. The
/// first call of a device finds out, so it is made for somebody who names the variant or lists all.
bool forja__opencl_has_nv_wgmma(const forja_device *device);

/// The module's trial, for opencl/probe.c.
forja__answer forja__matmul_nv_wgmma_probe(forja_device *device);

// ── Attention ────────────────────────────────────────────────────────────────────────────────────

/// The tunables of attention_nv_mma.cl, for head widths 32, 64 and 128 within the bounds.
typedef struct forja__attention_nv_mma_tile {
    const char *name; /// rows × keys: "64x32"
    uint32_t warps, keys, rows, least_head_dim, greatest_head_dim;
} forja__attention_nv_mma_tile;

enum {
    FORJA__ATTENTION_NV_MMA_FORWARD_TILE_COUNT = 3,
    FORJA__ATTENTION_NV_MMA_BACKWARD_TILE_COUNT = 2,
};
extern const forja__attention_nv_mma_tile
    forja__attention_nv_mma_forward_tiles[FORJA__ATTENTION_NV_MMA_FORWARD_TILE_COUNT];
extern const forja__attention_nv_mma_tile
    forja__attention_nv_mma_backward_tiles[FORJA__ATTENTION_NV_MMA_BACKWARD_TILE_COUNT];
bool forja__attention_nv_mma_tile_fits(const forja__attention_nv_mma_tile *tile, uint32_t head_dim);
uint32_t forja__attention_nv_mma_work_items(const forja__attention_nv_mma_tile *tile);
/// Of one work-group, at most, whichever kernels the pass launches.
uint32_t forja__attention_nv_mma_forward_local_bytes(const forja__attention_nv_mma_tile *tile,
                                                     uint32_t head_dim);
uint32_t forja__attention_nv_mma_backward_local_bytes(const forja__attention_nv_mma_tile *tile,
                                                      uint32_t head_dim);

/// `part`: "FORWARD", "DQ" or "DKV".
void forja__attention_nv_mma_options(char out[FORJA__NV_MMA_OPTION_BYTES],
                                     const forja__attention_nv_mma_tile *tile, const char *part,
                                     uint32_t head_dim);
