// Matrix product by Hopper's warpgroup instructions (wgmma): compute capability 9.0 exactly.
//
// Two warpgroups of 128 work-items own 64 × 128 of C each. Unlike mma.sync, wgmma reads both operands
// from local memory itself, named by descriptors, and runs on while the warps copy what comes next.
//
// Copies and stores are those of matmul_nv_mma.cl. The driver's compiler cannot take it (its target
// is sm_90, wgmma needs sm_90a), so .ci/nvidia.sh compiles it into matmul_nv_wgmma_module.ptx, which
// the engine hands to the driver as a program's binary. Compared with float64 by
// Tests/NvidiaEmulation.
//
// Layout    the permutations of cell_address are wgmma's own: lines of 32 k (64 bytes) are its
//           64-byte swizzle; an operand stored k-major is cut into panels of 64 columns, lines of
//           128 bytes, its 128-byte swizzle, and is transposed on the way to the multipliers

#include "matmul_nv_mma.cl"

#define PANEL 64                         // columns of a panel of a k-major operand
#define PANEL_BYTES (BLOCK_K * PANEL * 2)
#define LINE_BYTES (BLOCK_K * 2)         // of an operand that is not

#ifdef NV_EMULATED
void emulated_proxy_fence(void);
void emulated_warpgroup_multiply(float *sums, ulong a, ulong b, int a_k_major, int b_k_major);
void emulated_warpgroup_commit(void);
void emulated_warpgroup_wait(uint groups_left);
#endif

// What this work-item's finished copies wrote becomes visible to wgmma, behind the next barrier.
static inline void proxy_fence(void) {
#ifdef NV_EMULATED
    emulated_proxy_fence();
#else
    PTX("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// Orders registers and wgmma; before the first of a group.
static inline void warpgroup_start(void) {
#ifndef NV_EMULATED
    PTX("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

static inline void warpgroup_commit(void) {
#ifdef NV_EMULATED
    emulated_warpgroup_commit();
#else
    PTX("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

// An operand's descriptor: address, bytes between panels of columns, bytes between groups of 8 lines,
// swizzle (1: 128 bytes, 2: 64 bytes).
static inline ulong descriptor(uint address, ulong panel_bytes, ulong group_bytes, ulong swizzle) {
    return (ulong)((address & 0x3ffff) >> 4) | (panel_bytes >> 4) << 16 |
           (group_bytes >> 4) << 32 | swizzle << 62;
}

// 16 k from `k` on; `line` is the first row of A, or column of B, of the tile.
static inline ulong operand(uint tile, int is_k_major, uint line, uint k) {
    return is_k_major
               ? descriptor(tile + line / PANEL * PANEL_BYTES + k * PANEL * 2, PANEL_BYTES,
                            8 * PANEL * 2, 1)
               : descriptor(tile + line * LINE_BYTES + k * 2, CELL_BYTES, 8 * LINE_BYTES, 2);
}

#define F4(i) "+f"(sums[i]), "+f"(sums[i + 1]), "+f"(sums[i + 2]), "+f"(sums[i + 3])
#define F16(i) F4(i), F4(i + 4), F4(i + 8), F4(i + 12)

// Starts sums += A · B for 64 × 128 × 16; sums[4j + e] is C's element e of columns 8j … 8j + 7.
static inline void warpgroup_multiply(float sums[64], ulong a, ulong b) {
#ifdef NV_EMULATED
    emulated_warpgroup_multiply(sums, a, b, A_K_MAJOR, B_K_MAJOR);
#else
    PTX("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "%64, %65, 1, 1, 1, %66, %67;"
        : F16(0), F16(16), F16(32), F16(48)
        : "l"(a), "l"(b), "n"(A_K_MAJOR), "n"(B_K_MAJOR));
#endif
}

// Until all groups are done.
static inline void warpgroup_wait(void) {
#ifdef NV_EMULATED
    emulated_warpgroup_wait(0);
#else
    PTX("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#endif
}

// Starts the copy of an operand's tile: `line` counts rows of A or columns of B.
static inline void copy_operand(uint tile, __global const ushort *x, ulong stride, int is_k_major,
                                ulong line, ulong line_count, ulong k, ulong depth, int lines,
                                int item) {
    if (!is_k_major) {
        copy_tile(tile, x, stride, line, line_count, k, depth, lines, BLOCK_K / CELL, item);
        return;
    }
#pragma unroll
    for (int panel = 0; panel < lines / PANEL; panel++)
        copy_tile(tile + panel * PANEL_BYTES, x, stride, k, depth, line + panel * PANEL, line_count,
                  BLOCK_K, PANEL / CELL, item);
}

// forja_matmul_nv_wgmma
//
// Launch    global (256 · ⌈M/128⌉ · ⌈N/128⌉, batch), local (256, 1)
// Requires  offsets, strides and steps of A and B that are multiples of 8; those of C even
// Tail      any M, N, K ≥ 1
// Barriers  one a round; before it each warp waits for its own products of the round before, so that
//           behind it their stage may be filled
__kernel __attribute__((reqd_work_group_size(WORK_ITEMS, 1, 1))) void forja_matmul_nv_wgmma(
    __global const ushort *a, ulong a_offset, ulong a_stride, ulong a_batch,
    __global const ushort *b, ulong b_offset, ulong b_stride, ulong b_batch,
    __global output_t *c, ulong c_offset, ulong c_stride, ulong c_batch, ulong rows, ulong columns,
    ulong depth, float alpha, int accumulate) {
    __local uint4 stages[STAGES * STAGE_BYTES / CELL_BYTES] __attribute__((aligned(1024)));
    const uint local_start = local_address(stages);
    const uint item = get_local_id(0), lane = item % LANES_OF_WARP;
    const uint warp_row = item / LANES_OF_WARP * 16, warpgroup_row = item / 128 * 64;
    const block place = block_of_group(rows, columns);
    const ulong row = place.row, column = place.column, batch = get_group_id(1);
    a += a_offset + batch * a_batch;
    b += b_offset + batch * b_batch;
    c += c_offset + batch * c_batch;

#define COPY_STAGE(stage, k)                                                                      \
    do {                                                                                          \
        const uint tile_ = local_start + (stage) * STAGE_BYTES;                                   \
        copy_operand(tile_, a, a_stride, A_K_MAJOR, row, rows, k, depth, BLOCK_M, item);          \
        copy_operand(tile_ + A_BYTES, b, b_stride, B_K_MAJOR, column, columns, k, depth, BLOCK_N, \
                     item);                                                                       \
    } while (0)

    float sums[64];
#pragma unroll
    for (int i = 0; i < 64; i++)
        sums[i] = 0.0f;
#pragma unroll
    for (int stage = 0; stage < STAGES - 1; stage++) {
        if ((ulong)stage * BLOCK_K < depth)
            COPY_STAGE(stage, (ulong)stage * BLOCK_K);
        copy_commit();
    }
    uint present = 0, ahead = STAGES - 1;
    for (ulong k = 0; k < depth; k += BLOCK_K) {
        COPY_WAIT(STAGES - 2);
        proxy_fence();
        warpgroup_wait();
        barrier(CLK_LOCAL_MEM_FENCE);
        const uint tile = local_start + present * STAGE_BYTES;
        warpgroup_start();
#pragma unroll
        for (uint part = 0; part < BLOCK_K; part += 16)
            warpgroup_multiply(sums, operand(tile, A_K_MAJOR, warpgroup_row, part),
                               operand(tile + A_BYTES, B_K_MAJOR, 0, part));
        warpgroup_commit();
        const ulong k_ahead = k + (STAGES - 1) * BLOCK_K;
        if (k_ahead < depth)
            COPY_STAGE(ahead, k_ahead);
        copy_commit();
        present = present + 1 == STAGES ? 0 : present + 1;
        ahead = ahead + 1 == STAGES ? 0 : ahead + 1;
    }
    warpgroup_wait();

    const uint g = lane / 4, t = lane % 4;
#pragma unroll
    for (int upper = 0; upper < 2; upper++) {
        const ulong m = row + warp_row + 8 * upper + g;
        if (m >= rows)
            continue;
#pragma unroll
        for (int j = 0; j < BLOCK_N / 8; j++) {
            const ulong n = column + 8 * j + 2 * t;
            store_pair(c, m * c_stride + n, left_of(columns, n, 2), sums[4 * j + 2 * upper],
                       sums[4 * j + 2 * upper + 1], alpha, accumulate);
        }
    }
}
