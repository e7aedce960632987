// Matrix product on OpenCL CPU devices: explicit vectors, one work-item a work-group, no barriers.
// What it computes, and in which order, is in matmul.cl.
//
// One program holds one part of this file; the host picks it with -DMATMUL_<PART>:
//   PACK       A → panels               } panels are what a register tile reads in order
//   PANELS     panels and B → C         } or, in one launch, A and B → C
//   ROWS       few rows of A, B[N,K] read once
//   COLUMNS    few rows of op(A), B[K,N] read in place
// Twin: cpu/matmul_panels.c, cpu/matmul_rows.c. Launchers: opencl/matmul_panels.c,
// opencl/matmul_rows.c.

#include "matmul_output.cl"

// Tunables of PACK, PANELS and ROWS.
#ifndef VEC
#define VEC 8 // floats in a vector register: 4, 8 or 16
#endif
#ifndef TILE_M
#define TILE_M 6 // rows of the register tile; TILE_M · 2 accumulators and 3 more registers must fit
#endif
#define TILE_N (2 * VEC)
#ifndef PANELS_PER_ITEM
#define PANELS_PER_ITEM 64 // the most panels of A that a work-item multiplies with its panel of B
#endif
#ifndef DEPTH_STEP
#define DEPTH_STEP 256 // k for which a panel of B shares the first cache with one of A
#endif
#ifndef PACK_DEPTH
#define PACK_DEPTH 256 // k that one work-item packs
#endif
#ifndef PANELS_PER_PACK
#define PANELS_PER_PACK 4 // its panels
#endif
#define PACK_STEP 16 // k that it packs at a time: whole lines of the panel

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define floatv JOIN(float, VEC)
#define uintv JOIN(uint, VEC)
#define intv JOIN(int, VEC)
#define vloadv JOIN(vload, VEC)

// A vector in memory at any address of its elements. Stores go through it because PoCL 3.1 cuts
// vstore16 and vstore8 into stores of four.
typedef floatv floatv_in_memory __attribute__((aligned(4)));
#define STORE_GLOBAL(x, i, to) (((__global floatv_in_memory *)(to))[i] = (x))
#define STORE_PRIVATE(x, i, to) (((floatv_in_memory *)(to))[i] = (x))

#if defined(MATMUL_PACK) || defined(MATMUL_PANELS)
#ifdef STORAGE_BF16
static inline float4 load4(__global const ushort *x) {
    return as_float4(convert_uint4(vload4(0, x)) << 16);
}
static inline float2 load2(__global const ushort *x) {
    return as_float2(convert_uint2(vload2(0, x)) << 16);
}
#else
static inline float4 load4(__global const float *x) { return vload4(0, x); }
static inline float2 load2(__global const float *x) { return vload2(0, x); }
#endif

// A is packed into global memory, B into private memory: OpenCL 1.2 has no type for both.
#define PANEL __global
#define PACK_PANEL pack_global
#include "matmul_pack_panel.cl"
#undef PANEL
#undef PACK_PANEL
#define PANEL __private
#define PACK_PANEL pack_private
#include "matmul_pack_panel.cl"

// The panel at `row`, k from `k` on.
static inline void pack_step(__global float *out, int width, __global const storage_t *x, ulong stride,
                      int k_major, ulong row, ulong rows, ulong k, ulong end_k, ulong depth) {
    pack_global(out + row * depth + k * width, width,
               x + (k_major ? k * stride + row : row * stride + k), stride, k_major,
               (int)min((ulong)width, rows - row), (int)min((ulong)PACK_STEP, end_k - k));
}

static inline void pack_group(__global float *out, int width, __global const storage_t *x, ulong stride,
                       int k_major, ulong group, ulong rows, ulong first_k, ulong depth) {
    ulong first = group * PANELS_PER_PACK * width;
    ulong end = min(rows, first + PANELS_PER_PACK * width);
    ulong end_k = min(depth, first_k + PACK_DEPTH);
    // Stored [k][row], rows of k may lie a page or more apart, so all panels take from a few of
    // them before the next few are touched.
    if (k_major)
        for (ulong k = first_k; k < end_k; k += PACK_STEP)
            for (ulong row = first; row < end; row += width)
                pack_step(out, width, x, stride, 1, row, rows, k, end_k, depth);
    else
        for (ulong row = first; row < end; row += width)
            for (ulong k = first_k; k < end_k; k += PACK_STEP)
                pack_step(out, width, x, stride, 0, row, rows, k, end_k, depth);
}

#ifdef MATMUL_PACK
// forja_matmul_pack: A → [⌈M/TILE_M⌉][K][TILE_M], float32.
//
// Launch    global (⌈M/(TILE_M·PANELS_PER_PACK)⌉, ⌈K/PACK_DEPTH⌉), local (1, 1)
// Tail      panels are padded with zeros
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
forja_matmul_pack(__global const storage_t *a, ulong a_offset, ulong a_stride, int a_k_major,
                  ulong rows, ulong depth, __global float *panels) {
    pack_group(panels, TILE_M, a + a_offset, a_stride, a_k_major, get_global_id(0), rows,
               get_global_id(1) * PACK_DEPTH, depth);
}
#endif
#endif

#ifdef MATMUL_PANELS
#ifdef OUTPUT_BF16
static inline floatv load_output(__global const ushort *x) {
    return JOIN(as_float, VEC)(JOIN(convert_uint, VEC)(vloadv(0, x)) << 16);
}
static inline void store_output(floatv x, __global ushort *out) {
    uintv bits = JOIN(as_uint, VEC)(x);
    uintv rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    intv is_nan = (bits & 0x7fffffffu) > (uintv)(0x7f800000u);
    uintv quiet = (bits >> 16) | 0x40u;
    JOIN(vstore, VEC)(JOIN(convert_ushort, VEC)(select(rounded, quiet, is_nan)), 0, out);
}
#else
static inline floatv load_output(__global const float *x) { return vloadv(0, x); }
static inline void store_output(floatv x, __global float *out) { STORE_GLOBAL(x, 0, out); }
#endif

#define LINE 16 // elements: a whole line of float32, half of one of bfloat16

// What hides the memory behind the tile at (row, column): the rows of C that it adds to.
static inline void prefetch_result(__global const output_t *c, ulong stride, int height) {
    for (int r = 0; r < height; r++)
        for (int i = 0; i < TILE_N; i += LINE)
            PREFETCH(c + r * stride + i);
}

// Part `part` of `parts` of the lines that a work-item packs from B next.
static inline void prefetch_step(__global const storage_t *b, ulong stride, int k_major, int part,
                                 int parts) {
    const int across = (k_major ? TILE_N : DEPTH_STEP) / LINE, count = TILE_N * DEPTH_STEP / LINE;
    for (int i = part * count / parts; i < (part + 1) * count / parts; i++)
        PREFETCH(b + i / across * stride + i % across * LINE);
}

// One row of a tile whose columns are all inside C.
static inline void store_row(__global output_t *c, floatv low, floatv high, float alpha,
                      int accumulate) {
    floatv scale = (floatv)(alpha);
    store_output(accumulate ? fma(scale, low, load_output(c)) : scale * low, c);
    store_output(accumulate ? fma(scale, high, load_output(c + VEC)) : scale * high, c + VEC);
}

// Sums wait in private or in global memory, which OpenCL 1.2 cannot point to with one type.
#define LOAD_SUMS(from, stride)                                                                    \
    for (int r = 0; r < TILE_M; r++) {                                                             \
        low[r] = vloadv(0, (from) + r * (stride));                                                 \
        high[r] = vloadv(1, (from) + r * (stride));                                                \
    }
#define STORE_SUMS(STORE, to, stride)                                                              \
    for (int r = 0; r < TILE_M; r++) {                                                             \
        STORE(low[r], 0, (to) + r * (stride));                                                     \
        STORE(high[r], 1, (to) + r * (stride));                                                    \
    }

// One panel of B, of which `width` columns are inside, with packed panels of A of `rows` rows, DEPTH_STEP
// k at a time: it packs that part of B, which stays in the first cache while the panels of A pass.
// Sums wait in private memory in between; b, sums and c point to the first row and column.
static inline void multiply_panel(__global const float *panels, ulong rows, ulong depth,
                                  __global const storage_t *b, ulong b_stride, int b_k_major,
                                  int width, __global float *sums, ulong sum_stride,
                                  __global output_t *c, ulong c_stride, float alpha,
                                  int accumulate, int is_first, int is_last) {
    float waiting[PANELS_PER_ITEM * TILE_M * TILE_N], right[DEPTH_STEP * TILE_N];
    for (ulong k = 0; k < depth; k += DEPTH_STEP) {
        int step = (int)min((ulong)DEPTH_STEP, depth - k);
        int starts = k == 0, ends = k + step == depth;
        for (int t = 0; t < step; t += PACK_STEP)
            pack_private(right + t * TILE_N, TILE_N, b + (k + t) * (b_k_major ? b_stride : 1),
                         b_stride, b_k_major, width, min(PACK_STEP, step - t));
        for (ulong row = 0; row < rows; row += TILE_M) {
            __global const float *a_k = panels + row * depth + k * TILE_M;
            const float *b_k = right;
            __global float *there = sums + row * sum_stride;
            float *here = waiting + row * TILE_N;
            floatv low[TILE_M], high[TILE_M];
            if (!starts) {
#pragma unroll
                LOAD_SUMS(here, TILE_N)
            } else if (!is_first) {
#pragma unroll
                LOAD_SUMS(there, sum_stride)
            } else {
#pragma unroll
                for (int r = 0; r < TILE_M; r++)
                    low[r] = high[r] = (floatv)(0.0f);
            }
            if (ends && is_last && accumulate)
                prefetch_result(c + row * c_stride, c_stride, (int)min((ulong)TILE_M, rows - row));
            if (!ends)
                prefetch_step(b + (k + DEPTH_STEP) * (b_k_major ? b_stride : 1), b_stride, b_k_major,
                              (int)(row / TILE_M), (int)((rows + TILE_M - 1) / TILE_M));
            for (int t = 0; t < step; t++, a_k += TILE_M, b_k += TILE_N) {
                floatv b_low = vloadv(0, b_k), b_high = vloadv(1, b_k);
                PREFETCH(a_k + depth * TILE_M); // the next panel
#pragma unroll
                for (int r = 0; r < TILE_M; r++) {
                    floatv left = (floatv)(a_k[r]);
                    low[r] = fma(left, b_low, low[r]);
                    high[r] = fma(left, b_high, high[r]);
                }
            }
            if (!ends) {
#pragma unroll
                STORE_SUMS(STORE_PRIVATE, here, TILE_N)
                continue;
            }
            if (!is_last) {
#pragma unroll
                STORE_SUMS(STORE_GLOBAL, there, sum_stride)
                continue;
            }
            int height = (int)min((ulong)TILE_M, rows - row);
            __global output_t *out = c + row * c_stride;
#pragma unroll
            for (int r = 0; r < TILE_M; r++) {
                if (r >= height)
                    continue;
                if (width == TILE_N) {
                    store_row(out + r * c_stride, low[r], high[r], alpha, accumulate);
                } else {
                    float lanes[TILE_N];
                    STORE_PRIVATE(low[r], 0, lanes);
                    STORE_PRIVATE(high[r], 1, lanes);
                    for (int i = 0; i < width; i++)
                        store_result(out, r * c_stride + i, lanes[i], alpha, accumulate);
                }
            }
        }
    }
}

// forja_matmul_panels: one block of k. A work-item multiplies a panel of B with up to PANELS_PER_ITEM
// packed panels of A.
//
// Launch    global (⌈N/TILE_N⌉, work-items that share the panels of A) or with `a_is_fastest` the two
//           swapped, local (1, 1)
// Sums      of blocks before the last wait in `panels` at sum_place, sum_stride floats a row, both
//           sides rounded up to the tile
// Tail      any M, N ≥ 1: panels are padded, stores are masked
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void forja_matmul_panels(
    __global float *panels, ulong sum_place, ulong sum_stride, __global const storage_t *b,
    ulong b_offset, ulong b_stride, int b_k_major, __global output_t *c, ulong c_offset,
    ulong c_stride, ulong rows, ulong columns, ulong depth, float alpha, int accumulate,
    int is_first, int is_last, int a_is_fastest) {
    // PoCL 3.1 asks that the dimension be a constant.
    ulong fast = get_global_id(0), slow = get_global_id(1);
    ulong column = (a_is_fastest ? slow : fast) * TILE_N;
    ulong item = a_is_fastest ? fast : slow;
    ulong items = a_is_fastest ? get_global_size(0) : get_global_size(1);
    // Panels of A are dealt evenly: a last work-item with few of them would leave a thread idle.
    ulong a_panels = (rows + TILE_M - 1) / TILE_M;
    ulong first_row = item * a_panels / items * TILE_M;
    ulong end_row = min(rows, (item + 1) * a_panels / items * TILE_M);
    multiply_panel(panels + first_row * depth, end_row - first_row, depth,
                   b + b_offset + column * (b_k_major ? 1 : b_stride), b_stride, b_k_major,
                   (int)min((ulong)TILE_N, columns - column),
                   panels + sum_place + first_row * sum_stride + column, sum_stride,
                   c + c_offset + first_row * c_stride + column, c_stride, alpha, accumulate,
                   is_first, is_last);
}

// forja_matmul_blocks: all of k in one launch. A work-item owns a block of C: it packs up to
// PANELS_PER_ITEM panels of A where no other reads them, and multiplies its columns with them, panel by
// panel of B.
//
// Launch    global (blocks of columns, blocks of rows), local (1, 1); both sides are dealt in panels
// Panels    of work-item i start at i · panels_stride floats
// Tail      as above
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void forja_matmul_blocks(
    __global float *panels, ulong panels_stride, __global const storage_t *a, ulong a_offset,
    ulong a_stride, int a_k_major, __global const storage_t *b, ulong b_offset, ulong b_stride,
    int b_k_major, __global output_t *c, ulong c_offset, ulong c_stride, ulong rows, ulong columns,
    ulong depth, float alpha, int accumulate) {
    ulong a_panels = (rows + TILE_M - 1) / TILE_M, b_panels = (columns + TILE_N - 1) / TILE_N;
    ulong row_item = get_global_id(1), row_items = get_global_size(1);
    ulong column_item = get_global_id(0), column_items = get_global_size(0);
    ulong first_row = row_item * a_panels / row_items * TILE_M;
    ulong end_row = min(rows, (row_item + 1) * a_panels / row_items * TILE_M);
    ulong first_column = column_item * b_panels / column_items * TILE_N;
    ulong end_column = min(columns, (column_item + 1) * b_panels / column_items * TILE_N);
    panels += (row_item * column_items + column_item) * panels_stride;
    a += a_offset + first_row * (a_k_major ? 1 : a_stride);
    ulong groups = (end_row - first_row + PANELS_PER_PACK * TILE_M - 1) / (PANELS_PER_PACK * TILE_M);
    for (ulong k = 0; k < depth; k += PACK_DEPTH)
        for (ulong group = 0; group < groups; group++)
            pack_group(panels, TILE_M, a, a_stride, a_k_major, group, end_row - first_row, k, depth);
    b += b_offset;
    c += c_offset + first_row * c_stride;
    for (ulong column = first_column; column < end_column; column += TILE_N)
        multiply_panel(panels, end_row - first_row, depth, b + column * (b_k_major ? 1 : b_stride),
                       b_stride, b_k_major, (int)min((ulong)TILE_N, columns - column), panels, 0,
                       c + column, c_stride, alpha, accumulate, 1, 1);
}
#endif

// Tunables of ROWS and COLUMNS.
#ifndef ROWS
#define ROWS 4 // rows of op(A) at a time: 1, 2 or 4
#endif

#if defined(MATMUL_ROWS) || defined(MATMUL_COLUMNS)
#ifdef STORAGE_BF16
static inline floatv load_input(__global const ushort *x) {
    return JOIN(as_float, VEC)(JOIN(convert_uint, VEC)(vloadv(0, x)) << 16);
}
#else
static inline floatv load_input(__global const float *x) { return vloadv(0, x); }
#endif
#endif

#ifdef MATMUL_COLUMNS
// Vectors of columns at a time: ROWS · VECTORS accumulators.
#define VECTORS (VEC == 16 ? (ROWS == 4 ? 6 : 8) : (ROWS == 4 ? 2 : 8 / ROWS))

// forja_matmul_columns: C = alpha · op(A) · B (+ C) for few rows; a work-item owns a strip of columns.
// op(A)[m,k] = a[m·a_row + k·a_depth].
//
// Launch    global (⌈N/(VECTORS·VEC)⌉, batch), local (1, 1); N ≥ VEC
// Tail      vectors past the end move back to end with the matrix, and what they hold of other
//           vectors' columns is not stored; rows past the end repeat the last one
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void forja_matmul_columns(
    __global const storage_t *a, ulong a_offset, ulong a_row, ulong a_depth, ulong a_batch,
    __global const storage_t *b, ulong b_offset, ulong b_stride, ulong b_batch,
    __global output_t *c, ulong c_offset, ulong c_stride, ulong c_batch, ulong rows, ulong columns,
    ulong depth, float alpha, int accumulate) {
    ulong first = get_global_id(0) * (VECTORS * VEC), batch = get_global_id(1);
    a += a_offset + batch * a_batch;
    b += b_offset + batch * b_batch;
    c += c_offset + batch * c_batch;
    __global const storage_t *right[VECTORS];
#pragma unroll
    for (int j = 0; j < VECTORS; j++)
        right[j] = b + min(first + j * VEC, columns - VEC);
    for (ulong row = 0; row < rows; row += ROWS) {
        __global const storage_t *left[ROWS];
        floatv sums[ROWS][VECTORS];
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            left[i] = a + min(row + i, rows - 1) * a_row;
#pragma unroll
            for (int j = 0; j < VECTORS; j++)
                sums[i][j] = (floatv)(0.0f);
        }
        for (ulong k = 0; k < depth; k++) {
            float x[ROWS];
#pragma unroll
            for (int i = 0; i < ROWS; i++)
                x[i] = storage_load(left[i][k * a_depth]);
#pragma unroll
            for (int j = 0; j < VECTORS; j++) {
                floatv y = load_input(right[j] + k * b_stride);
#pragma unroll
                for (int i = 0; i < ROWS; i++)
                    sums[i][j] = fma((floatv)(x[i]), y, sums[i][j]);
            }
        }
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
#pragma unroll
            for (int j = 0; j < VECTORS; j++) {
                ulong column = first + j * VEC;
                if (row + i >= rows || column >= columns)
                    continue;
                float lanes[VEC];
                STORE_PRIVATE(sums[i][j], 0, lanes);
                ulong start = min(column, columns - VEC);
                for (ulong lane = column - start; lane < VEC; lane++)
                    store_result(c, (row + i) * c_stride + start + lane, lanes[lane], alpha,
                                 accumulate);
            }
        }
    }
}
#endif

#define COLUMNS (VEC == 16 ? 4 : 2) // columns of C at a time: ROWS · COLUMNS accumulators

#ifdef MATMUL_ROWS
#ifndef COLUMNS_PER_ITEM
#define COLUMNS_PER_ITEM 32 // columns of one work-item
#endif

static inline float sum_lanes(floatv x) {
    float lanes[VEC];
    STORE_PRIVATE(x, 0, lanes);
#pragma unroll
    for (int width = VEC / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++)
            lanes[i] += lanes[i + width];
    return lanes[0];
}

// forja_matmul_rows: C = alpha · A · Bᵀ (+ C) for few rows, as dot products of VEC lanes.
//
// Launch    global (⌈N/COLUMNS_PER_ITEM⌉, batch), local (1, 1)
// Tail      rows and columns past the end repeat the last one and are not stored
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void forja_matmul_rows(
    __global const storage_t *a, ulong a_offset, ulong a_stride, ulong a_batch,
    __global const storage_t *b, ulong b_offset, ulong b_stride, ulong b_batch,
    __global output_t *c, ulong c_offset, ulong c_stride, ulong c_batch, ulong rows, ulong columns,
    ulong depth, float alpha, int accumulate) {
    ulong column = get_global_id(0) * COLUMNS_PER_ITEM, batch = get_global_id(1);
    ulong end = min(columns, column + COLUMNS_PER_ITEM);
    a += a_offset + batch * a_batch;
    b += b_offset + batch * b_batch;
    c += c_offset + batch * c_batch;
    for (; column < end; column += COLUMNS) {
        for (ulong row = 0; row < rows; row += ROWS) {
            __global const storage_t *left[ROWS], *right[COLUMNS];
            floatv part[ROWS][COLUMNS];
#pragma unroll
            for (int i = 0; i < ROWS; i++)
                left[i] = a + min(row + i, rows - 1) * a_stride;
#pragma unroll
            for (int j = 0; j < COLUMNS; j++)
                right[j] = b + min(column + j, columns - 1) * b_stride;
#pragma unroll
            for (int i = 0; i < ROWS; i++)
#pragma unroll
                for (int j = 0; j < COLUMNS; j++)
                    part[i][j] = (floatv)(0.0f);
            ulong k = 0;
            for (; k + VEC <= depth; k += VEC) {
                floatv x[ROWS];
#pragma unroll
                for (int i = 0; i < ROWS; i++)
                    x[i] = load_input(left[i] + k);
#pragma unroll
                for (int j = 0; j < COLUMNS; j++) {
                    floatv w = load_input(right[j] + k);
#pragma unroll
                    for (int i = 0; i < ROWS; i++)
                        part[i][j] = fma(x[i], w, part[i][j]);
                }
            }
#pragma unroll
            for (int i = 0; i < ROWS; i++)
#pragma unroll
                for (int j = 0; j < COLUMNS; j++) {
                    float sum = sum_lanes(part[i][j]);
                    for (ulong t = k; t < depth; t++)
                        sum = fma(storage_load(left[i][t]), storage_load(right[j][t]), sum);
                    if (row + i < rows && column + j < columns)
                        store_result(c, (row + i) * c_stride + column + j, sum, alpha, accumulate);
                }
        }
    }
}
#endif
