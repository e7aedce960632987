// Matrix product on NVIDIA's tensor cores: bf16 operands, float32 sums. C as in matmul.cl.
//
// A work-group multiplies BLOCK_M × BLOCK_K by BLOCK_K × BLOCK_N a round; STAGES rounds share local
// memory, so that the tiles of the STAGES - 1 rounds ahead travel (cp.async) while one is
// multiplied. Each warp owns WARP_M × WARP_N of C in registers. An element's k are added 16 at a
// time, ascending.
//
// Words, fragments and the layout of local memory are explained in nv_mma_ptx.cl. Compared with
// float64 by Tests/NvidiaEmulation. Twin: cpu/matmul.c. Launcher: opencl/matmul_nv_mma.c.

#include "nv_mma_ptx.cl"

// Tunables; the table of those in use is in opencl/nv_mma_options.c.
#ifndef BLOCK_M
#define BLOCK_M 128
#define BLOCK_N 128
#define BLOCK_K 32 // a multiple of 16
#define STAGES 3   // STAGES · (BLOCK_M + BLOCK_N) · BLOCK_K · 2 bytes of local memory
#define WARPS_M 2  // warps over the rows of a block
#define WARPS_N 2  // and over its columns
#endif
// How the operands lie: A_K_MAJOR is A[K,M], B_K_MAJOR is B[K,N]. ALIGNED: offsets, strides and
// steps of A and B are multiples of a cell; else elements are copied one by one. PAIRS: those of C
// are even.
#ifndef ALIGNED
#define A_K_MAJOR 0
#define B_K_MAJOR 0
#define ALIGNED 1
#define PAIRS 1
#endif
// Blocks are walked down columns of this many: what they share stays in the second-level cache.
#define PANEL_ROWS 8

#define WORK_ITEMS (WARPS_M * WARPS_N * LANES_OF_WARP)
#define WARP_M (BLOCK_M / WARPS_M)
#define WARP_N (BLOCK_N / WARPS_N)
#define A_CELLS ((A_K_MAJOR ? BLOCK_M : BLOCK_K) / CELL) // of a line
#define B_CELLS ((B_K_MAJOR ? BLOCK_N : BLOCK_K) / CELL)
#define A_BYTES (BLOCK_M * BLOCK_K * 2)
#define STAGE_BYTES (A_BYTES + BLOCK_N * BLOCK_K * 2)

#ifdef OUTPUT_BF16
typedef ushort output_t;
#else
typedef float output_t;
#endif

// Starts to fill a cell with `count` elements and zeros.
static inline void copy_cell(uint to, __global const ushort *from, uint count) {
#if ALIGNED
    copy_start(to, from, 2 * count);
#else
    uint x[4];
#pragma unroll
    for (uint i = 0; i < 4; i++) {
        uint low = 2 * i < count ? from[2 * i] : 0;
        uint high = 2 * i + 1 < count ? from[2 * i + 1] : 0;
        x[i] = low | high << 16;
    }
    store_cell(to, (uint4)(x[0], x[1], x[2], x[3]));
#endif
}

// Elements left of `extent` from `start`, at most `limit`.
static inline int left_of(ulong extent, ulong start, int limit) {
    return start >= extent ? 0 : (int)min(extent - start, (ulong)limit);
}

// Starts the copy of `lines` lines of `cells` cells from (line, column) of a matrix x[line_count,
// column_count]; zeros outside it.
static inline void copy_tile(uint tile, __global const ushort *x, ulong stride, ulong line,
                             ulong line_count, ulong column, ulong column_count, int lines,
                             int cells, int item) {
    const int lines_left = left_of(line_count, line, lines);
    const int columns_left = left_of(column_count, column, cells * CELL);
    const int first = item / cells, step = WORK_ITEMS / cells, cell = item % cells;
    const int count = clamp(columns_left - cell * CELL, 0, CELL);
    __global const ushort *from = x + (line + first) * stride + column + cell * CELL;
#pragma unroll
    for (int i = 0; i < lines / step; i++) {
        const int at = first + i * step;
        const bool is_inside = at < lines_left && count > 0;
        copy_cell(cell_address(tile, at, cell, cells), is_inside ? from : x,
                  is_inside ? count : 0);
        from += step * stride;
    }
}

// Where a lane loads fragments of A from row `row` on, and of B from column `column` on, of the
// first stage.
static inline uint a_place_at(uint tile, uint row, uint lane) {
    return A_K_MAJOR ? further(cells_first(tile, A_CELLS, lane), 0, row / CELL, A_CELLS)
                     : further(lines_first(tile, A_CELLS, lane), row, 0, A_CELLS);
}
static inline uint b_place_at(uint tile, uint column, uint lane) {
    return B_K_MAJOR ? further(lines_first(tile, B_CELLS, lane), 0, column / CELL, B_CELLS)
                     : further(cells_first(tile, B_CELLS, lane), column, 0, B_CELLS);
}

// The fragments of A for 16 rows and 16 k, `row` rows and `k` k further.
static inline void load_a(uint a[4], uint place, uint row, uint k) {
#if A_K_MAJOR
    load_matrices_transposed(a, further(place, k, row / CELL, A_CELLS));
#else
    load_matrices(a, further(place, row, k / CELL, A_CELLS));
#endif
}

// The fragments of two B, for 16 columns: b[0] and b[1] belong to the first 8.
static inline void load_b(uint b[4], uint place, uint column, uint k) {
#if B_K_MAJOR
    load_matrices_transposed(b, further(place, k, column / CELL, B_CELLS));
#else
    load_matrices(b, further(place, column, k / CELL, B_CELLS));
#endif
}

static inline float result_of(float sum, float alpha, int accumulate, float before) {
    return accumulate ? fma(alpha, sum, before) : alpha * sum;
}

// Two neighbouring elements of C at `place`, of which `count` exist.
static inline void store_pair(__global output_t *c, ulong place, int count, float x, float y,
                              float alpha, int accumulate) {
#ifdef OUTPUT_BF16
#if PAIRS
    if (count == 2) {
        __global uint *pair = (__global uint *)(c + place);
        const uint before = accumulate ? *pair : 0;
        *pair = pack_bf16(
            result_of(x, alpha, accumulate, bf16_to_float((ushort)(before & 0xffff))),
            result_of(y, alpha, accumulate, bf16_to_float((ushort)(before >> 16))));
        return;
    }
#endif
    if (count > 0)
        c[place] = float_to_bf16(
            result_of(x, alpha, accumulate, accumulate ? bf16_to_float(c[place]) : 0.0f));
    if (count > 1)
        c[place + 1] = float_to_bf16(
            result_of(y, alpha, accumulate, accumulate ? bf16_to_float(c[place + 1]) : 0.0f));
#else
#if PAIRS
    if (count == 2) {
        __global float2 *pair = (__global float2 *)(c + place);
        const float2 before = accumulate ? *pair : (float2)(0.0f, 0.0f);
        *pair = (float2)(result_of(x, alpha, accumulate, before.x),
                         result_of(y, alpha, accumulate, before.y));
        return;
    }
#endif
    if (count > 0)
        c[place] = result_of(x, alpha, accumulate, accumulate ? c[place] : 0.0f);
    if (count > 1)
        c[place + 1] = result_of(y, alpha, accumulate, accumulate ? c[place + 1] : 0.0f);
#endif
}

// Where the group's block of C starts.
typedef struct block {
    ulong row, column;
} block;

static inline block block_of_group(ulong rows, ulong columns) {
    const uint block_rows = (uint)((rows + BLOCK_M - 1) / BLOCK_M);
    const uint block_columns = (uint)((columns + BLOCK_N - 1) / BLOCK_N);
    const uint group = get_group_id(0), panel = group / (PANEL_ROWS * block_columns);
    const uint panel_rows = min((uint)PANEL_ROWS, block_rows - panel * PANEL_ROWS);
    const uint in_panel = group - panel * PANEL_ROWS * block_columns;
    const block b = {(ulong)(panel * PANEL_ROWS + in_panel % panel_rows) * BLOCK_M,
                     (ulong)(in_panel / panel_rows) * BLOCK_N};
    return b;
}

#ifndef MATMUL_WGMMA
// forja_matmul_nv_mma
//
// Launch    global (WORK_ITEMS · ⌈M/BLOCK_M⌉ · ⌈N/BLOCK_N⌉, batch), local (WORK_ITEMS, 1)
// Tail      any M, N, K ≥ 1: tiles are padded with zeros, stores are masked
// Barriers  one a round: behind it the round's tiles are complete, and the stage of the round
//           before has been read by every warp and may be filled
__kernel __attribute__((reqd_work_group_size(WORK_ITEMS, 1, 1))) void forja_matmul_nv_mma(
    __global const ushort *a, ulong a_offset, ulong a_stride, ulong a_batch,
    __global const ushort *b, ulong b_offset, ulong b_stride, ulong b_batch,
    __global output_t *c, ulong c_offset, ulong c_stride, ulong c_batch, ulong rows, ulong columns,
    ulong depth, float alpha, int accumulate) {
    __local uint4 stages[STAGES * STAGE_BYTES / CELL_BYTES] __attribute__((aligned(128)));
    const uint local_start = local_address(stages);
    const uint item = get_local_id(0), lane = item % LANES_OF_WARP, warp = item / LANES_OF_WARP;
    const uint warp_row = warp / WARPS_N * WARP_M, warp_column = warp % WARPS_N * WARP_N;
    const block place = block_of_group(rows, columns);
    const ulong row = place.row, column = place.column;
    const ulong batch = get_group_id(1);
    a += a_offset + batch * a_batch;
    b += b_offset + batch * b_batch;
    c += c_offset + batch * c_batch;

#define COPY_STAGE(stage, k)                                                                       \
    do {                                                                                           \
        const uint tile_ = local_start + (stage) * STAGE_BYTES;                                    \
        copy_tile(tile_, a, a_stride, A_K_MAJOR ? (k) : row, A_K_MAJOR ? depth : rows,             \
                  A_K_MAJOR ? row : (k), A_K_MAJOR ? rows : depth, A_K_MAJOR ? BLOCK_K : BLOCK_M,  \
                  A_CELLS, item);                                                                  \
        copy_tile(tile_ + A_BYTES, b, b_stride, B_K_MAJOR ? (k) : column,                          \
                  B_K_MAJOR ? depth : columns, B_K_MAJOR ? column : (k),                           \
                  B_K_MAJOR ? columns : depth, B_K_MAJOR ? BLOCK_K : BLOCK_N, B_CELLS, item);      \
    } while (0)

    float sums[WARP_M / 16][WARP_N / 8][4];
#pragma unroll
    for (int i = 0; i < WARP_M / 16; i++)
#pragma unroll
        for (int j = 0; j < WARP_N / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                sums[i][j][e] = 0.0f;

#pragma unroll
    for (int stage = 0; stage < STAGES - 1; stage++) {
        if ((ulong)stage * BLOCK_K < depth)
            COPY_STAGE(stage, (ulong)stage * BLOCK_K);
        copy_commit();
    }
    const uint a_place = a_place_at(local_start, warp_row, lane);
    const uint b_place = b_place_at(local_start + A_BYTES, warp_column, lane);
    uint present = 0, ahead = STAGES - 1;
    for (ulong k = 0; k < depth; k += BLOCK_K) {
        COPY_WAIT(STAGES - 2);
        barrier(CLK_LOCAL_MEM_FENCE);
        const ulong k_ahead = k + (STAGES - 1) * BLOCK_K;
        if (k_ahead < depth)
            COPY_STAGE(ahead, k_ahead);
        copy_commit(); // an empty group keeps the count
        const uint a_present = a_place + present * STAGE_BYTES;
        const uint b_present = b_place + present * STAGE_BYTES;
#pragma unroll
        for (int part = 0; part < BLOCK_K; part += 16) {
            uint left[WARP_M / 16][4], right[WARP_N / 16][4];
#pragma unroll
            for (int i = 0; i < WARP_M / 16; i++)
                load_a(left[i], a_present, 16 * i, part);
#pragma unroll
            for (int j = 0; j < WARP_N / 16; j++)
                load_b(right[j], b_present, 16 * j, part);
#pragma unroll
            for (int i = 0; i < WARP_M / 16; i++)
#pragma unroll
                for (int j = 0; j < WARP_N / 8; j++)
                    multiply(sums[i][j], left[i], right[j / 2][j % 2 * 2],
                             right[j / 2][j % 2 * 2 + 1]);
        }
        present = present + 1 == STAGES ? 0 : present + 1;
        ahead = ahead + 1 == STAGES ? 0 : ahead + 1;
    }

    const uint g = lane / 4, t = lane % 4;
#pragma unroll
    for (int i = 0; i < WARP_M / 16; i++)
#pragma unroll
        for (int upper = 0; upper < 2; upper++) {
            const ulong m = row + warp_row + 16 * i + 8 * upper + g;
            if (m >= rows)
                continue;
#pragma unroll
            for (int j = 0; j < WARP_N / 8; j++) {
                const ulong n = column + warp_column + 8 * j + 2 * t;
                store_pair(c, m * c_stride + n, left_of(columns, n, 2), sums[i][j][2 * upper],
                           sums[i][j][2 * upper + 1], alpha, accumulate);
            }
        }
}
#endif
