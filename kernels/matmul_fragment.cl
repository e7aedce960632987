// Matrix product C[M,N] = alpha · op(A) · op(B) (+ C) on matrix units, for forja_matmul: A and B
// bf16, C f32 or bf16. Behind a fragment file (fragment.cl); matmul_xmx.cl and matmul_amd.cl put
// the two together.
//
// Sums are float32, k ascending in blocks of FRAGMENT_K, from 0, whatever the tile; then
// C = alpha·S or fma(alpha, S, C).
//
// Tunables  TILE_M, TILE_N   of C, computed by a work-group
//           TILE_K           k per round through local memory, a multiple of FRAGMENT_K
//           TEAMS_M, TEAMS_N teams down and across; each has the tile's share, in whole fragments
//           A_K_MAJOR        op(A)[m,k] = a[k·a_stride + m], else a[m·a_stride + k]
//           B_K_MAJOR        op(B)[k,n] = b[k·b_stride + n], else b[n·b_stride + k]
//           ALIGNED          offsets and strides of A and B are multiples of 8 elements
// The table in opencl/variants.c holds the first five. Local memory: 2·(rows·pitch) bytes of each
// tile, with 8 elements behind each row so that rows start on different banks.
#include "matmul_output.cl"

#define PART_M (TILE_M / TEAMS_M / FRAGMENT_M) // fragments of a team
#define PART_N (TILE_N / TEAMS_N / FRAGMENT_N)
#define WORK_ITEMS (TEAMS_M * TEAMS_N * FRAGMENT_LANES)

// Tiles lie as their matrices do, so that neighbours in memory stay neighbours: [row][k], or with
// K_MAJOR [k][row].
#define TILE_WIDTH(rows, k_major) ((k_major) ? (rows) : TILE_K)
#define TILE_HEIGHT(rows, k_major) ((k_major) ? TILE_K : (rows))
#define A_PITCH (TILE_WIDTH(TILE_M, A_K_MAJOR) + 8)
#define B_PITCH (TILE_WIDTH(TILE_N, B_K_MAJOR) + 8)
#define A_HEIGHT TILE_HEIGHT(TILE_M, A_K_MAJOR)
#define B_HEIGHT TILE_HEIGHT(TILE_N, B_K_MAJOR)
// Vectors of 8 that a work-item carries.
#define VECTORS(rows) (((rows) * TILE_K / 8 + WORK_ITEMS - 1) / WORK_ITEMS)

// Eight neighbours from x on, of which `left` exist; 0 for the others.
static inline ushort8 load_8(__global const ushort *x, ulong left) {
#ifdef ALIGNED
    if (left >= 8)
        return *(__global const ushort8 *)x;
#endif
    union {
        ushort8 vector;
        ushort value[8];
    } part;
    FRAGMENT_UNROLL
    for (uint i = 0; i < 8; i++)
        part.value[i] = i < left ? x[i] : 0;
    return part.vector;
}

// A work-item's share of a tile of `tile_height` by `tile_width`, whose first element is element
// (first_line, first_place) of a matrix of `lines` lines of `width`; 0 outside.
static inline void fetch(ushort8 *out, uint vectors, uint tile_height, uint tile_width,
                         __global const ushort *x, ulong stride, ulong first_line, ulong lines,
                         ulong first_place, ulong width) {
    FRAGMENT_UNROLL
    for (uint i = 0; i < vectors; i++) {
        const uint at = (i * WORK_ITEMS + get_local_id(0)) * 8;
        const ulong line = first_line + at / tile_width, place = first_place + at % tile_width;
        out[i] = (ushort8)(0);
        if (at < tile_height * tile_width && line < lines && place < width)
            out[i] = load_8(x + line * stride + place, width - place);
    }
}

static inline void keep(__local ushort *tile, uint vectors, uint tile_height, uint tile_width,
                        const ushort8 *values) {
    FRAGMENT_UNROLL
    for (uint i = 0; i < vectors; i++) {
        const uint at = (i * WORK_ITEMS + get_local_id(0)) * 8;
        if (at < tile_height * tile_width)
            *(__local ushort8 *)(tile + at / tile_width * (tile_width + 8) + at % tile_width) =
                values[i];
    }
}

#if A_K_MAJOR
#define FETCH_A(k)                                                                                 \
    fetch(a_next, VECTORS(TILE_M), TILE_K, TILE_M, a, a_stride, (k), depth, first_row, rows)
#define LOAD_A(m, k) fragment_load_a_transposed(a_tile + (k) * A_PITCH + (m), A_PITCH, lane)
#else
#define FETCH_A(k)                                                                                 \
    fetch(a_next, VECTORS(TILE_M), TILE_M, TILE_K, a, a_stride, first_row, rows, (k), depth)
#define LOAD_A(m, k) fragment_load_a(a_tile + (m) * A_PITCH + (k), A_PITCH, lane)
#endif
#if B_K_MAJOR
#define FETCH_B(k)                                                                                 \
    fetch(b_next, VECTORS(TILE_N), TILE_K, TILE_N, b, b_stride, (k), depth, first_column, columns)
#define LOAD_B(n, k) fragment_load_b_transposed(b_tile + (k) * B_PITCH + (n), B_PITCH, lane)
#else
#define FETCH_B(k)                                                                                 \
    fetch(b_next, VECTORS(TILE_N), TILE_N, TILE_K, b, b_stride, first_column, columns, (k), depth)
#define LOAD_B(n, k) fragment_load_b(b_tile + (n) * B_PITCH + (k), B_PITCH, lane)
#endif

// forja_matmul_fragment: the next tiles travel to registers while the present ones are multiplied.
//
// Launch    global (WORK_ITEMS·⌈N/TILE_N⌉, ⌈M/TILE_M⌉, batch), local (WORK_ITEMS, 1, 1)
// Tail      any M, N, K ≥ 1: tiles are padded with zeros, stores are masked
FRAGMENT_KERNEL void forja_matmul_fragment(
    __global const ushort *a, ulong a_offset, ulong a_stride, ulong a_batch,
    __global const ushort *b, ulong b_offset, ulong b_stride, ulong b_batch, __global output_t *c,
    ulong c_offset, ulong c_stride, ulong c_batch, ulong rows, ulong columns, ulong depth,
    float alpha, int accumulate) {
    __local ushort a_tile[A_HEIGHT * A_PITCH] __attribute__((aligned(16)));
    __local ushort b_tile[B_HEIGHT * B_PITCH] __attribute__((aligned(16)));
    FRAGMENT_SCRATCH
    const uint lane = fragment_lane(), team = fragment_team();
    const uint team_row = team / TEAMS_N * (TILE_M / TEAMS_M);
    const uint team_column = team % TEAMS_N * (TILE_N / TEAMS_N);
    const ulong first_row = get_group_id(1) * TILE_M, first_column = get_group_id(0) * TILE_N;
    const ulong batch = get_group_id(2);
    a += a_offset + batch * a_batch;
    b += b_offset + batch * b_batch;
    c += c_offset + batch * c_batch;

    fragment_c sums[PART_M][PART_N];
    FRAGMENT_UNROLL
    for (uint i = 0; i < PART_M; i++)
        FRAGMENT_UNROLL
        for (uint j = 0; j < PART_N; j++)
            FRAGMENT_UNROLL
            for (uint e = 0; e < FRAGMENT_VALUES; e++)
                sums[i][j].value[e] = 0.0f;

    ushort8 a_next[VECTORS(TILE_M)], b_next[VECTORS(TILE_N)];
    FETCH_A(0);
    FETCH_B(0);
    for (ulong k = 0; k < depth; k += TILE_K) {
        barrier(CLK_LOCAL_MEM_FENCE); // the tiles of the round before have been read
        keep(a_tile, VECTORS(TILE_M), A_HEIGHT, A_PITCH - 8, a_next);
        keep(b_tile, VECTORS(TILE_N), B_HEIGHT, B_PITCH - 8, b_next);
        barrier(CLK_LOCAL_MEM_FENCE);
        FETCH_A(k + TILE_K);
        FETCH_B(k + TILE_K);
        FRAGMENT_UNROLL
        for (uint t = 0; t < TILE_K; t += FRAGMENT_K) {
            fragment_b right[PART_N];
            FRAGMENT_UNROLL
            for (uint j = 0; j < PART_N; j++)
                right[j] = LOAD_B(team_column + j * FRAGMENT_N, t);
            FRAGMENT_UNROLL
            for (uint i = 0; i < PART_M; i++) {
                fragment_a left = LOAD_A(team_row + i * FRAGMENT_M, t);
                FRAGMENT_UNROLL
                for (uint j = 0; j < PART_N; j++)
                    fragment_multiply_add(sums[i][j], left, right[j]);
            }
        }
    }

    FRAGMENT_UNROLL
    for (uint i = 0; i < PART_M; i++)
        FRAGMENT_UNROLL
        for (uint j = 0; j < PART_N; j++)
            FRAGMENT_UNROLL
            for (uint e = 0; e < FRAGMENT_VALUES; e++) {
                const ulong row = first_row + team_row + i * FRAGMENT_M + fragment_row(lane, e);
                const ulong column =
                    first_column + team_column + j * FRAGMENT_N + fragment_column(lane, e);
                if (row < rows && column < columns)
                    store_result(c, row * c_stride + column, sums[i][j].value[e], alpha,
                                 accumulate);
            }
}
