// Matrix product C[M,N] = alpha · op(A) · op(B) (+ C), for forja_matmul. Row-major, f32 or bf16.
//
// Every variant but those for few rows computes S = Σ a·b as one chain of fma in float32, k
// ascending, from 0, and then C = alpha·S or fma(alpha, S, C). So an element's bits depend on
// neither variant nor tile size. Those for few rows, chosen by shape, add k in lanes, in an order
// fixed by K.
//
// One program holds one part of this file; the host picks it with -DMATMUL_<PART>:
//   REFERENCE  one work-item per element, any size
//   LOCAL      tiles in local memory and registers, for GPUs
//   ROWS_LOCAL few rows of A, B[N,K] read once, for GPUs
// For CPU devices: matmul_cpu.cl. Twin: cpu/matmul.c. Launcher: opencl/matmul.c.

// STORAGE_BF16 is about the inputs; the output, which may differ, is bf16 with OUTPUT_BF16.
#ifdef OUTPUT_BF16
typedef ushort output_t;
static inline float output_load(ushort x) { return bf16_to_float(x); }
static inline ushort output_store(float x) { return float_to_bf16(x); }
#else
typedef float output_t;
static inline float output_load(float x) { return x; }
static inline float output_store(float x) { return x; }
#endif

// The end of every sum.
static inline void store_result(__global output_t *c, ulong place, float sum, float alpha,
                         int accumulate) {
    float value = accumulate ? fma(alpha, sum, output_load(c[place])) : alpha * sum;
    c[place] = output_store(value);
}

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
// Tunables of LOCAL: a work-group of 16 × 16 computes TILE × TILE of C, so that a work-item has
// (TILE/16)² sums in registers.
#ifndef TILE
#define TILE 128 // 64 or 128
#endif
#ifndef TILE_K
#define TILE_K 16 // k per round through local memory: 2 · TILE · TILE_K floats
#endif
#define SIDE 16
#define ITEM (TILE / SIDE)
#define LOADS (TILE * TILE_K / (SIDE * SIDE)) // elements of a tile that a work-item fetches

// Element `i` of those the work-item fetches: neighbours in memory go to neighbouring work-items.
// (row, k) is the element's place in the tile.
static inline void place_of(int i, int item, int k_major, int *row, int *k) {
    int index = i * SIDE * SIDE + item;
    *row = k_major ? index % TILE : index / TILE_K;
    *k = k_major ? index / TILE : index % TILE_K;
}

// Fetches a tile's elements into registers, zeros outside the matrix.
static inline void fetch(float out[LOADS], __global const storage_t *x, ulong stride, int k_major,
                  ulong first_row, ulong rows, ulong first_k, ulong depth, int item) {
#pragma unroll
    for (int i = 0; i < LOADS; i++) {
        int tile_row, tile_k;
        place_of(i, item, k_major, &tile_row, &tile_k);
        ulong row = first_row + tile_row, k = first_k + tile_k;
        out[i] = 0.0f;
        if (row < rows && k < depth)
            out[i] = storage_load(x[k_major ? k * stride + row : row * stride + k]);
    }
}

static inline void keep(__local float tile[TILE_K][TILE + 4], const float values[LOADS], int k_major,
                 int item) {
#pragma unroll
    for (int i = 0; i < LOADS; i++) {
        int row, k;
        place_of(i, item, k_major, &row, &k);
        tile[k][row] = values[i];
    }
}

// forja_matmul_local: the next tiles travel to registers while the present ones are multiplied.
//
// Launch    global (16·⌈N/TILE⌉, 16·⌈M/TILE⌉, batch), local (16, 16, 1)
// Tail      any M, N, K ≥ 1: tiles are padded with zeros, stores are masked
// Layout    a work-item owns rows and columns 4·id + 64·j + 0..3, so that local reads are float4
__kernel __attribute__((reqd_work_group_size(SIDE, SIDE, 1))) void forja_matmul_local(
    __global const storage_t *a, ulong a_offset, ulong a_stride, int a_k_major, ulong a_batch,
    __global const storage_t *b, ulong b_offset, ulong b_stride, int b_k_major, ulong b_batch,
    __global output_t *c, ulong c_offset, ulong c_stride, ulong c_batch, ulong rows, ulong columns,
    ulong depth, float alpha, int accumulate) {
    __local float a_tile[TILE_K][TILE + 4], b_tile[TILE_K][TILE + 4];
    int x = get_local_id(0), y = get_local_id(1), item = y * SIDE + x;
    ulong first_row = get_group_id(1) * TILE, first_column = get_group_id(0) * TILE;
    ulong batch = get_group_id(2);
    a += a_offset + batch * a_batch;
    b += b_offset + batch * b_batch;
    c += c_offset + batch * c_batch;

    float sums[ITEM][ITEM];
#pragma unroll
    for (int i = 0; i < ITEM; i++)
#pragma unroll
        for (int j = 0; j < ITEM; j++)
            sums[i][j] = 0.0f;

    float a_next[LOADS], b_next[LOADS];
    fetch(a_next, a, a_stride, a_k_major, first_row, rows, 0, depth, item);
    fetch(b_next, b, b_stride, b_k_major, first_column, columns, 0, depth, item);
    for (ulong k = 0; k < depth; k += TILE_K) {
        barrier(CLK_LOCAL_MEM_FENCE); // the tiles of the round before have been read
        keep(a_tile, a_next, a_k_major, item);
        keep(b_tile, b_next, b_k_major, item);
        barrier(CLK_LOCAL_MEM_FENCE);
        fetch(a_next, a, a_stride, a_k_major, first_row, rows, k + TILE_K, depth, item);
        fetch(b_next, b, b_stride, b_k_major, first_column, columns, k + TILE_K, depth, item);
#pragma unroll
        for (int t = 0; t < TILE_K; t++) {
            float left[ITEM], right[ITEM];
#pragma unroll
            for (int j = 0; j < ITEM; j += 4) {
                vstore4(vload4(0, &a_tile[t][4 * y + 16 * j]), 0, left + j);
                vstore4(vload4(0, &b_tile[t][4 * x + 16 * j]), 0, right + j);
            }
#pragma unroll
            for (int i = 0; i < ITEM; i++)
#pragma unroll
                for (int j = 0; j < ITEM; j++)
                    sums[i][j] = fma(left[i], right[j], sums[i][j]);
        }
    }

#pragma unroll
    for (int i = 0; i < ITEM; i++) {
        ulong row = first_row + 4 * y + i / 4 * 64 + i % 4;
#pragma unroll
        for (int j = 0; j < ITEM; j++) {
            ulong column = first_column + 4 * x + j / 4 * 64 + j % 4;
            if (row < rows && column < columns)
                store_result(c, row * c_stride + column, sums[i][j], alpha, accumulate);
        }
    }
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
