// Tiles of the kernels *_nv_mma.cl and the compiler options that make them. Free of OpenCL, so that
// the offline checks (.ci/nvidia.sh) compile the very same variants.
#include <stdio.h>

#include "nv_mma.h"

const forja__matmul_nv_mma_tile forja__matmul_nv_mma_tiles[FORJA__MATMUL_NV_MMA_TILE_COUNT] = {
    {"128x256x32x2", 128, 256, 32, 2, 2, 4},   // 8 warps
    {"128x128x32x3", 128, 128, 32, 3, 2, 2},   // 64 × 64 of C a warp: most products per local read
    {"128x128x32x3w8", 128, 128, 32, 3, 2, 4}, // the same tile over 8 warps: fewer registers
    {"64x128x32x4", 64, 128, 32, 4, 2, 2},     {"64x64x64x3", 64, 64, 64, 3, 2, 2},
    {"32x64x64x4", 32, 64, 64, 4, 1, 4}, // few rows
};

// Warps count for work-items alone: the two warpgroups own 64 rows each.
const forja__matmul_nv_mma_tile forja__matmul_nv_wgmma_tile = {
    "128x128x32x3", 128, 128, 32, 3, 2, 4};

uint32_t forja__matmul_nv_mma_local_bytes(const forja__matmul_nv_mma_tile *tile) {
    return tile->stages * (tile->block_m + tile->block_n) * tile->block_k * 2;
}

uint32_t forja__matmul_nv_mma_work_items(const forja__matmul_nv_mma_tile *tile) {
    return tile->warps_m * tile->warps_n * 32;
}

void forja__matmul_nv_mma_options(char out[FORJA__NV_MMA_OPTION_BYTES],
                                  const forja__matmul_nv_mma_tile *tile,
                                  forja__matmul_nv_mma_shape shape) {
    snprintf(out, FORJA__NV_MMA_OPTION_BYTES,
             "-DSTORAGE_BF16 -DBLOCK_M=%u -DBLOCK_N=%u -DBLOCK_K=%u -DSTAGES=%u -DWARPS_M=%u "
             "-DWARPS_N=%u -DA_K_MAJOR=%d -DB_K_MAJOR=%d -DALIGNED=%d -DPAIRS=%d%s",
             tile->block_m, tile->block_n, tile->block_k, tile->stages, tile->warps_m,
             tile->warps_n, shape.layout == FORJA_MATMUL_TN, shape.layout != FORJA_MATMUL_NT,
             shape.is_aligned, shape.c_has_pairs, shape.output_is_bf16 ? " -DOUTPUT_BF16" : "");
}

// Rows and keys of a forward tile, or of one for the gradient of Q; the gradients of K and V take
// 16 · warps keys and `rows` rows.
const forja__attention_nv_mma_tile
    forja__attention_nv_mma_forward_tiles[FORJA__ATTENTION_NV_MMA_FORWARD_TILE_COUNT] = {
        {"128x64", 8, 64, 64, 32, 128}, // K and V are read half as often
        {"64x64", 4, 64, 64, 32, 128},
        {"64x32", 4, 32, 32, 32, 128}, // least registers: most groups at once
};
const forja__attention_nv_mma_tile
    forja__attention_nv_mma_backward_tiles[FORJA__ATTENTION_NV_MMA_BACKWARD_TILE_COUNT] = {
        {"64x64", 4, 64, 32, 32, 64}, {"64x32", 4, 32, 16, 64, 128}, // with D = 128 exactly 48 KB
};

bool forja__attention_nv_mma_tile_fits(const forja__attention_nv_mma_tile *tile,
                                       uint32_t head_dim) {
    return (head_dim == 32 || head_dim == 64 || head_dim == 128) &&
           head_dim >= tile->least_head_dim && head_dim <= tile->greatest_head_dim;
}

uint32_t forja__attention_nv_mma_work_items(const forja__attention_nv_mma_tile *tile) {
    return tile->warps * 32;
}

uint32_t forja__attention_nv_mma_forward_local_bytes(const forja__attention_nv_mma_tile *tile,
                                                     uint32_t head_dim) {
    return 2 * tile->keys * head_dim * 2;
}

uint32_t forja__attention_nv_mma_backward_local_bytes(const forja__attention_nv_mma_tile *tile,
                                                      uint32_t head_dim) {
    uint32_t dq = 4 * tile->keys * head_dim * 2;
    uint32_t dkv = (2 * 16 * tile->warps + 4 * tile->rows) * head_dim * 2;
    return dq > dkv ? dq : dkv;
}

void forja__attention_nv_mma_options(char out[FORJA__NV_MMA_OPTION_BYTES],
                                     const forja__attention_nv_mma_tile *tile, const char *part,
                                     uint32_t head_dim) {
    snprintf(out, FORJA__NV_MMA_OPTION_BYTES,
             "-DSTORAGE_BF16 -DATTENTION_%s -DHEAD_DIM=%u -DWARPS=%u -DKEYS=%u -DROWS=%u", part,
             head_dim, tile->warps, tile->keys, tile->rows);
}
