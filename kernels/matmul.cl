// Matrix product C[M,N] = alpha · op(A) · op(B) (+ C), for forja_matmul. Row-major, f32 or bf16.
//
// Every variant but two computes S = Σ a·b as one chain of fma in float32, k ascending, from 0, and
// then C = alpha·S or fma(alpha, S, C). So an element's bits depend on neither variant nor tile size.
// The variants for few rows add k in lanes and the one for few tiles in parts; shape and device alone
// choose them and fix their order.
//
// One program holds one part of this file; the host picks it with -DMATMUL_<PART>:
//   REFERENCE  one work-item per element, any size
//   LOCAL      tiles in local memory and registers, for GPUs
//   PARTS      adds what LOCAL computed for parts of k
//   ROWS_LOCAL few rows of A, B[N,K] read once, for GPUs
// For CPU devices: matmul_cpu.cl. Twin: cpu/matmul.c. Launchers: opencl/matmul_reference.c,
// opencl/matmul_tiles.c, opencl/matmul_split.c, opencl/matmul_rows.c.

#include "matmul_output.cl"

#ifdef MATMUL_REFERENCE
// forja_matmul_reference: op(A)[m,k] = a[m·a_row + k·a_depth],
// op(B)[k,n] = b[n·b_column + k·b_depth].
//
// Launch    global (N, M, batch), local free
__kernel void forja_matmul_reference(
    __global const storage_t *a, ulong a_offset, ulong a_row, ulong a_depth, ulong a_batch,
    __global const storage_t *b, ulong b_offset, ulong b_column, ulong b_depth, ulong b_batch,
    __global output_t *c, ulong c_offset, ulong c_row, ulong c_batch, ulong depth, float alpha,
    int accumulate) {
    ulong n = get_global_id(0), m = get_global_id(1), batch = get_global_id(2);
    a += a_offset + batch * a_batch + m * a_row;
    b += b_offset + batch * b_batch + n * b_column;
    float sum = 0.0f;
    for (ulong k = 0; k < depth; k++)
        sum = fma(storage_load(a[k * a_depth]), storage_load(b[k * b_depth]), sum);
    store_result(c, c_offset + batch * c_batch + m * c_row + n, sum, alpha, accumulate);
}
#endif

#ifdef MATMUL_LOCAL
// Tunables of LOCAL, which the table in opencl/variants.c holds: a work-group of SIDE_N × SIDE_M
// computes TILE_M × TILE_N of C, so that a work-item has TILE_M/SIDE_M × TILE_N/SIDE_N sums in
// registers; TILE_K k a round go through local memory. Both quotients are multiples of 4, and the
// work-items divide TILE_M · TILE_K and TILE_N · TILE_K.
#ifndef TILE_M
#define TILE_M 128
#define TILE_N 128
#define TILE_K 16
#define SIDE_M 16
#define SIDE_N 16
#endif
#define ITEM_M (TILE_M / SIDE_M)
#define ITEM_N (TILE_N / SIDE_N)
#define ITEMS (SIDE_M * SIDE_N)
#define LOADS_A (TILE_M * TILE_K / ITEMS) // elements of a tile that a work-item fetches
#define LOADS_B (TILE_N * TILE_K / ITEMS)

// Element `i` of those the work-item fetches from a tile of `tile` rows: neighbours in memory go to
// neighbouring work-items. (row, k) is the element's place in the tile.
static inline void place_of(int i, int tile, int item, int k_major, int *row, int *k) {
    int index = i * ITEMS + item;
    *row = k_major ? index % tile : index / TILE_K;
    *k = k_major ? index / tile : index % TILE_K;
}

// Fetches `loads` of a tile's elements into registers, zeros outside the matrix. `loads` and `tile`
// are constants where this is inlined.
static inline void fetch(float *out, int loads, int tile, __global const storage_t *x, ulong stride,
                  int k_major, ulong first_row, ulong rows, ulong first_k, ulong end_k, int item) {
#pragma unroll
    for (int i = 0; i < loads; i++) {
        int tile_row, tile_k;
        place_of(i, tile, item, k_major, &tile_row, &tile_k);
        ulong row = first_row + tile_row, k = first_k + tile_k;
        out[i] = 0.0f;
        if (row < rows && k < end_k)
            out[i] = storage_load(x[k_major ? k * stride + row : row * stride + k]);
    }
}

// Puts fetched elements into the tile, whose rows of k are `pitch` floats.
static inline void keep(__local float *to, int pitch, const float *values, int loads, int tile,
                 int k_major, int item) {
#pragma unroll
    for (int i = 0; i < loads; i++) {
        int row, k;
        place_of(i, tile, item, k_major, &row, &k);
        to[k * pitch + row] = values[i];
    }
}

// forja_matmul_local: the next tiles travel to registers while the present ones are multiplied.
//
// Launch    global (SIDE_N·⌈N/TILE_N⌉, SIDE_M·⌈M/TILE_M⌉, batch·parts), local (SIDE_N, SIDE_M, 1)
// Parts     with parts > 1, k is cut into parts of `part_depth` and each has a result of its own,
//           all parts of one product in a row; forja_matmul_add_parts adds them
// Tail      any M, N, K ≥ 1: tiles are padded with zeros, stores are masked
// Layout    a work-item owns rows 4·id + 4·SIDE_M·j + 0..3 and columns alike, so that local reads
//           are float4
__kernel __attribute__((reqd_work_group_size(SIDE_N, SIDE_M, 1))) void forja_matmul_local(
    __global const storage_t *a, ulong a_offset, ulong a_stride, int a_k_major, ulong a_batch,
    __global const storage_t *b, ulong b_offset, ulong b_stride, int b_k_major, ulong b_batch,
    __global output_t *c, ulong c_offset, ulong c_stride, ulong c_batch, ulong rows, ulong columns,
    ulong depth, ulong parts, ulong part_depth, float alpha, int accumulate) {
    __local float a_tile[TILE_K][TILE_M + 4], b_tile[TILE_K][TILE_N + 4];
    int x = get_local_id(0), y = get_local_id(1), item = y * SIDE_N + x;
    ulong first_row = get_group_id(1) * TILE_M, first_column = get_group_id(0) * TILE_N;
    ulong batch = get_group_id(2) / parts;
    ulong begin = get_group_id(2) % parts * part_depth, end = min(depth, begin + part_depth);
    a += a_offset + batch * a_batch;
    b += b_offset + batch * b_batch;
    c += c_offset + get_group_id(2) * c_batch;

    float sums[ITEM_M][ITEM_N];
#pragma unroll
    for (int i = 0; i < ITEM_M; i++)
#pragma unroll
        for (int j = 0; j < ITEM_N; j++)
            sums[i][j] = 0.0f;

    float a_next[LOADS_A], b_next[LOADS_B];
    fetch(a_next, LOADS_A, TILE_M, a, a_stride, a_k_major, first_row, rows, begin, end, item);
    fetch(b_next, LOADS_B, TILE_N, b, b_stride, b_k_major, first_column, columns, begin, end, item);
    for (ulong k = begin; k < end; k += TILE_K) {
        barrier(CLK_LOCAL_MEM_FENCE); // the tiles of the round before have been read
        keep(a_tile[0], TILE_M + 4, a_next, LOADS_A, TILE_M, a_k_major, item);
        keep(b_tile[0], TILE_N + 4, b_next, LOADS_B, TILE_N, b_k_major, item);
        barrier(CLK_LOCAL_MEM_FENCE);
        fetch(a_next, LOADS_A, TILE_M, a, a_stride, a_k_major, first_row, rows, k + TILE_K, end,
              item);
        fetch(b_next, LOADS_B, TILE_N, b, b_stride, b_k_major, first_column, columns, k + TILE_K,
              end, item);
#pragma unroll
        for (int t = 0; t < TILE_K; t++) {
            float left[ITEM_M], right[ITEM_N];
#pragma unroll
            for (int i = 0; i < ITEM_M; i += 4)
                vstore4(vload4(0, &a_tile[t][4 * y + i * SIDE_M]), 0, left + i);
#pragma unroll
            for (int j = 0; j < ITEM_N; j += 4)
                vstore4(vload4(0, &b_tile[t][4 * x + j * SIDE_N]), 0, right + j);
#pragma unroll
            for (int i = 0; i < ITEM_M; i++)
#pragma unroll
                for (int j = 0; j < ITEM_N; j++)
                    sums[i][j] = fma(left[i], right[j], sums[i][j]);
        }
    }

#pragma unroll
    for (int i = 0; i < ITEM_M; i++) {
        ulong row = first_row + 4 * y + i / 4 * 4 * SIDE_M + i % 4;
#pragma unroll
        for (int j = 0; j < ITEM_N; j++) {
            ulong column = first_column + 4 * x + j / 4 * 4 * SIDE_N + j % 4;
            if (row < rows && column < columns)
                store_result(c, row * c_stride + column, sums[i][j], alpha, accumulate);
        }
    }
}
#endif

#ifdef MATMUL_PARTS
// forja_matmul_add_parts: C = alpha · Σ parts (+ C), first part first.
// parts [batch, parts, M, N] f32, dense.
//
// Launch    global (N, M, batch), local free
__kernel void forja_matmul_add_parts(__global const float *x, __global output_t *c, ulong c_offset,
                                     ulong c_stride, ulong c_batch, ulong rows, ulong columns,
                                     ulong parts, float alpha, int accumulate) {
    ulong n = get_global_id(0), m = get_global_id(1), batch = get_global_id(2);
    x += batch * parts * rows * columns + m * columns + n;
    float sum = 0.0f;
    for (ulong part = 0; part < parts; part++)
        sum += x[part * rows * columns];
    store_result(c, c_offset + batch * c_batch + m * c_stride + n, sum, alpha, accumulate);
}
#endif

// Tunables of ROWS_LOCAL.
#ifndef ROWS
#define ROWS 4 // rows of A at a time: 1, 2 or 4
#endif
#define COLUMNS 4 // columns of C at a time: ROWS · COLUMNS accumulators

#ifdef MATMUL_ROWS_LOCAL
#define WG 64 // work-items that share COLUMNS columns, a power of two
// forja_matmul_rows_local: as forja_matmul_rows; work-item i sums k ≡ i (mod WG), then a tree adds.
//
// Launch    global (WG·⌈N/COLUMNS⌉, batch), local (WG, 1)
// Tail      as forja_matmul_rows
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void forja_matmul_rows_local(
    __global const storage_t *a, ulong a_offset, ulong a_stride, ulong a_batch,
    __global const storage_t *b, ulong b_offset, ulong b_stride, ulong b_batch,
    __global output_t *c, ulong c_offset, ulong c_stride, ulong c_batch, ulong rows, ulong columns,
    ulong depth, float alpha, int accumulate) {
    __local float sums[ROWS * COLUMNS][WG];
    int item = get_local_id(0);
    ulong column = get_group_id(0) * COLUMNS, batch = get_group_id(1);
    a += a_offset + batch * a_batch;
    b += b_offset + batch * b_batch;
    c += c_offset + batch * c_batch;
    for (ulong row = 0; row < rows; row += ROWS) {
        float part[ROWS][COLUMNS];
#pragma unroll
        for (int i = 0; i < ROWS; i++)
#pragma unroll
            for (int j = 0; j < COLUMNS; j++)
                part[i][j] = 0.0f;
        for (ulong k = item; k < depth; k += WG) {
            float x[ROWS];
#pragma unroll
            for (int i = 0; i < ROWS; i++)
                x[i] = storage_load(a[min(row + i, rows - 1) * a_stride + k]);
#pragma unroll
            for (int j = 0; j < COLUMNS; j++) {
                float w = storage_load(b[min(column + j, columns - 1) * b_stride + k]);
#pragma unroll
                for (int i = 0; i < ROWS; i++)
                    part[i][j] = fma(x[i], w, part[i][j]);
            }
        }
#pragma unroll
        for (int i = 0; i < ROWS; i++)
#pragma unroll
            for (int j = 0; j < COLUMNS; j++)
                sums[i * COLUMNS + j][item] = part[i][j];
        for (int width = WG / 2; width > 0; width /= 2) {
            barrier(CLK_LOCAL_MEM_FENCE);
            if (item < width)
                for (int i = 0; i < ROWS * COLUMNS; i++)
                    sums[i][item] += sums[i][item + width];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        if (item < ROWS * COLUMNS) {
            ulong m = row + item / COLUMNS, n = column + item % COLUMNS;
            if (m < rows && n < columns)
                store_result(c, m * c_stride + n, sums[item][0], alpha, accumulate);
        }
        barrier(CLK_LOCAL_MEM_FENCE); // the next rows overwrite the sums
    }
}
#endif
