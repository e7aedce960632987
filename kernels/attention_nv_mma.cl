// Attention on NVIDIA's tensor cores: bf16 in memory and in products, float32 sums and softmax.
//
//   Formulas, layouts and masks as in attention.cl; the walk over tiles as in Dao, 2023,
//   arXiv:2307.08691
//
// A warp owns 16 rows (in the gradient of K and V 16 keys) and all D columns of its result in
// registers. Scores never touch memory: the C fragments of S are, rounded to bf16, the A fragments
// of the next product. Probabilities and score gradients are rounded there, as the tensor cores
// need; sums of probabilities are not.
//
// One program holds one part; the host picks it with -DATTENTION_<PART>:
// FORWARD, DQ or DKV. Compared with float64 by Tests/NvidiaEmulation. Twin: cpu/attention.c.
// Launcher: opencl/attention_nv_mma.c.
//
// Requires  D = 32, 64 or 128; offsets and row strides that are multiples of 8
// Tail      rows past T or S are zeros in local memory and not stored
// Barriers  reached by every work-item: loop bounds are the same for all of a group

#include "nv_mma_ptx.cl"

// Tunables; the table of those in use is in opencl/nv_mma_options.c.
#ifndef HEAD_DIM
#define HEAD_DIM 128
#define WARPS 4
#define KEYS 32 // of a tile of K and V, in FORWARD and DQ
#define ROWS 16 // of a tile of Q and dO, in DKV
#endif

#define LOG2_E 1.44269504088896341f
#define LN_2 0.693147180559945309f
#define NO_MAXIMUM (-1e30f)
#define MASKED (-MAXFLOAT)
#define WORK_ITEMS (WARPS * LANES_OF_WARP)
#define BLOCK (16 * WARPS)       // rows, or keys, of a work-group
#define CELLS (HEAD_DIM / CELL)  // of a line
#define LINE_BYTES (HEAD_DIM * 2)
#define STEPS (HEAD_DIM / 16)    // of products along a head
#if KEYS * CELLS % WORK_ITEMS != 0 || ROWS * CELLS % WORK_ITEMS != 0 || BLOCK > 2 * KEYS
#error "KEYS or ROWS does not fit HEAD_DIM and WARPS"
#endif
#define UNROLL _Pragma("unroll")

// Starts the copy of `limit` lines (a constant) of which the first `lines` ≥ 1 exist; the others
// become zeros.
static inline void copy_lines(uint tile, __global const ushort *from, ulong stride, uint lines,
                              uint limit, uint item) {
    const uint first = item / CELLS, cell = item % CELLS, step = WORK_ITEMS / CELLS;
    __global const ushort *line_start = from + first * stride + cell * CELL;
    UNROLL for (uint i = 0; i < limit / step; i++) {
        const uint line = first + i * step;
        copy_start(cell_address(tile, line, cell, CELLS), line < lines ? line_start : from,
                   line < lines ? CELL_BYTES : 0);
        line_start += step * stride;
    }
}

// The fragments of 16 lines, D wide: what a warp multiplies from the left. `place` is from
// lines_first.
static inline void load_left(uint left[STEPS][4], uint place, uint line) {
    UNROLL for (int k = 0; k < STEPS; k++)
        load_matrices(left[k], further(place, line, 2 * k, CELLS));
}

// sums[16, 16] += left[16, D] · (16 lines of a tile)ᵀ, one step of 16 along D. `place` is from
// cells_first.
static inline void multiply_step(float sums[2][4], const uint left[4], uint place, uint line,
                                 int k) {
    uint right[4];
    load_matrices(right, further(place, line, 2 * k, CELLS));
    multiply(sums[0], left, right[0], right[1]);
    multiply(sums[1], left, right[2], right[3]);
}

// sums[16, D] += weights[16, 16] · (16 lines of a tile). `place` is from lines_first.
static inline void add_product(float sums[HEAD_DIM / 8][4], const float weights[2][4], uint place,
                               uint line) {
    const uint left[4] = {
        pack_bf16(weights[0][0], weights[0][1]), pack_bf16(weights[0][2], weights[0][3]),
        pack_bf16(weights[1][0], weights[1][1]), pack_bf16(weights[1][2], weights[1][3])};
    UNROLL for (int d = 0; d < STEPS; d++) {
        uint right[4];
        load_matrices_transposed(right, further(place, line, 2 * d, CELLS));
        multiply(sums[2 * d], left, right[0], right[1]);
        multiply(sums[2 * d + 1], left, right[2], right[3]);
    }
}

static inline void clear(float sums[][4], int count) {
    UNROLL for (int i = 0; i < count; i++)
        UNROLL for (int e = 0; e < 4; e++)
            sums[i][e] = 0.0f;
}

// Stores a warp's 16 lines of D, of which `lines` exist; line g is multiplied by factors[0], line
// g + 8 by factors[1].
static inline void store_lines(__global ushort *to, ulong stride, int lines,
                               const float sums[HEAD_DIM / 8][4], const float factors[2],
                               uint lane) {
    const int g = lane / 4, t = lane % 4;
    UNROLL for (int r = 0; r < 2; r++) {
        if (g + 8 * r >= lines)
            continue;
        __global uint *line = (__global uint *)(to + (ulong)(g + 8 * r) * stride) + t;
        UNROLL for (int d = 0; d < HEAD_DIM / 8; d++)
            line[4 * d] = pack_bf16(sums[d][2 * r] * factors[r], sums[d][2 * r + 1] * factors[r]);
    }
}

// Of `rows` rows, the least and the greatest first visible key; for every lane of a warp the same.
static inline void range_of_first(int *least, int *greatest, __global const int *document_start,
                                  uint rows, uint lane) {
    *least = *greatest = 0;
    if (!document_start)
        return;
    *least = INT_MAX;
    for (uint m = lane; m < rows; m += LANES_OF_WARP) {
        const int first = max(document_start[m], 0);
        *least = min(*least, first);
        *greatest = max(*greatest, first);
    }
    UNROLL for (uint mask = 1; mask < LANES_OF_WARP; mask *= 2) {
        *least = min(*least, (int)exchange((uint)*least, mask));
        *greatest = max(*greatest, (int)exchange((uint)*greatest, mask));
    }
}

#ifdef ATTENTION_FORWARD
// Of the four lanes that share a row.
static inline float row_maximum(float x) {
    x = greater(x, as_float(exchange(as_uint(x), 1)));
    return greater(x, as_float(exchange(as_uint(x), 2)));
}
static inline float row_total(float x) {
    x += as_float(exchange(as_uint(x), 1));
    return x + as_float(exchange(as_uint(x), 2));
}

// forja_attention_forward_nv_mma
//
// K's tile of the next round travels during softmax and P·V, V's during Q·Kᵀ.
//
// Launch    global (WORK_ITEMS · ⌈T/BLOCK⌉, H, B), local (WORK_ITEMS, 1, 1)
__kernel __attribute__((reqd_work_group_size(WORK_ITEMS, 1, 1))) void
forja_attention_forward_nv_mma(
    __global const ushort *q, ulong q_at, __global const ushort *k, ulong k_at,
    __global const ushort *v, ulong v_at, __global ushort *out, ulong out_at, __global float *lse,
    ulong lse_at, __global const int *document_start, ulong start_at,
    __global const int *query_offset, ulong offset_at, uint T, uint S, uint H, uint G, ulong q_row,
    ulong k_row, ulong v_row, ulong out_row, float scale) {
    // Q passes through on its way to registers: BLOCK ≤ 2 · KEYS.
    __local uint4 tiles[2 * KEYS * CELLS] __attribute__((aligned(128)));
    const uint key_tile = local_address(tiles), value_tile = key_tile + KEYS * LINE_BYTES;
    const uint item = get_local_id(0), lane = item % LANES_OF_WARP, warp = item / LANES_OF_WARP;
    const uint h = get_group_id(1), b = get_group_id(2), g = h / (H / G);
    // The last tiles see the most keys and go first.
    const uint row = (get_num_groups(0) - 1 - get_group_id(0)) * BLOCK;
    const uint rows = min((uint)BLOCK, T - row);
    const long base = (long)row + (query_offset ? query_offset[offset_at + b] : 0);
    const uint end = (uint)max(min(base + rows, (long)S), 0L);
    q += q_at + ((ulong)b * T + row) * q_row + (ulong)h * HEAD_DIM;
    k += k_at + (ulong)b * S * k_row + (ulong)g * HEAD_DIM;
    v += v_at + (ulong)b * S * v_row + (ulong)g * HEAD_DIM;
    if (document_start)
        document_start += start_at + (ulong)b * T + row;

    copy_lines(key_tile, q, q_row, rows, BLOCK, item);
    copy_commit();
    int least, greatest;
    range_of_first(&least, &greatest, document_start, rows, lane);
    // Keys from first[r] to last[r] are visible to rows line[0] = g and line[1] = g + 8 of the
    // warp; none where last[r] is negative, as it is with a negative offset.
    uint line[2];
    int first[2], last[2];
    UNROLL for (int r = 0; r < 2; r++) {
        line[r] = 16 * warp + lane / 4 + 8 * r;
        first[r] = document_start && line[r] < rows ? max(document_start[line[r]], 0) : 0;
        last[r] = (int)min(base + line[r], (long)end - 1);
    }
    const int warp_first_last = (int)min(base + 16 * warp, (long)end - 1);
    const int warp_last = (int)min(base + 16 * warp + 15, (long)end - 1);
    uint query[STEPS][4];
    COPY_WAIT(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    load_left(query, lines_first(key_tile, CELLS, lane), 16 * warp);
    barrier(CLK_LOCAL_MEM_FENCE);

    float acc[HEAD_DIM / 8][4], high[2] = {NO_MAXIMUM, NO_MAXIMUM}, sum[2] = {0.0f, 0.0f};
    clear(acc, HEAD_DIM / 8);
    const uint key_place = cells_first(key_tile, CELLS, lane);
    const uint value_place = lines_first(value_tile, CELLS, lane);
    const uint begin = (uint)least / KEYS * KEYS;
    if (begin < end)
        copy_lines(key_tile, k + begin * k_row, k_row, end - begin, KEYS, item);
    copy_commit();
    for (uint j0 = begin; j0 < end; j0 += KEYS) {
        COPY_WAIT(0);
        barrier(CLK_LOCAL_MEM_FENCE); // K is there, V of the round before has been read
        copy_lines(value_tile, v + j0 * v_row, v_row, end - j0, KEYS, item);
        copy_commit();
        const bool is_seen = (int)j0 <= warp_last;
        float s[KEYS / 8][4];
        clear(s, KEYS / 8);
        if (is_seen)
            UNROLL for (int d = 0; d < STEPS; d++)
                UNROLL for (int n = 0; n < KEYS / 16; n++)
                    multiply_step(s + 2 * n, query[d], key_place, 16 * n, d);
        COPY_WAIT(0);
        barrier(CLK_LOCAL_MEM_FENCE); // V is there, K has been read
        if (end - j0 > KEYS)
            copy_lines(key_tile, k + (j0 + KEYS) * k_row, k_row, end - j0 - KEYS, KEYS, item);
        copy_commit();
        if (!is_seen)
            continue; // no barrier is left in this round
        const bool is_cut = (int)(j0 + KEYS - 1) > warp_first_last || greatest > (int)j0;
        UNROLL for (int n = 0; n < KEYS / 8; n++)
            UNROLL for (int e = 0; e < 4; e++) {
                const int key = (int)(j0 + 8 * n + 2 * (lane % 4)) + e % 2;
                s[n][e] *= scale * LOG2_E;
                if (is_cut && (key < first[e / 2] || key > last[e / 2]))
                    s[n][e] = MASKED;
            }
        UNROLL for (int r = 0; r < 2; r++) {
            float top = high[r];
            UNROLL for (int n = 0; n < KEYS / 8; n++)
                top = greater(greater(s[n][2 * r], s[n][2 * r + 1]), top);
            top = row_maximum(top);
            const float shrink = power_of_two(high[r] - top);
            high[r] = top;
            sum[r] *= shrink;
            UNROLL for (int n = 0; n < KEYS / 8; n++)
                UNROLL for (int e = 2 * r; e < 2 * r + 2; e++) {
                    s[n][e] = power_of_two(s[n][e] - top);
                    sum[r] += s[n][e];
                }
            UNROLL for (int d = 0; d < HEAD_DIM / 8; d++) {
                acc[d][2 * r] *= shrink;
                acc[d][2 * r + 1] *= shrink;
            }
        }
        UNROLL for (int n = 0; n < KEYS / 16; n++)
            add_product(acc, s + 2 * n, value_place, 16 * n);
    }

    float inverse[2];
    UNROLL for (int r = 0; r < 2; r++) {
        sum[r] = row_total(sum[r]);
        inverse[r] = sum[r] == 0.0f ? 0.0f : 1.0f / sum[r];
        if (line[r] < rows && lane % 4 == 0)
            lse[lse_at + ((ulong)b * H + h) * T + row + line[r]] = (high[r] + log2(sum[r])) * LN_2;
    }
    store_lines(out + out_at + ((ulong)b * T + row + 16 * warp) * out_row + (ulong)h * HEAD_DIM,
                out_row, (int)rows - 16 * (int)warp, acc, inverse, lane);
}
#endif

#ifdef ATTENTION_DQ
// forja_attention_dq_nv_mma: two stages of (K, V) tiles; Q and dO stay in registers.
//
// Launch    global (WORK_ITEMS · ⌈T/BLOCK⌉, H, B), local (WORK_ITEMS, 1, 1)
__kernel __attribute__((reqd_work_group_size(WORK_ITEMS, 1, 1))) void forja_attention_dq_nv_mma(
    __global const ushort *q, ulong q_at, __global const ushort *k, ulong k_at,
    __global const ushort *v, ulong v_at, __global const ushort *d_out, ulong d_out_at,
    __global const float *lse, ulong lse_at, __global const float *delta, ulong delta_at,
    __global const int *document_start, ulong start_at, __global ushort *dq, ulong dq_at, uint T,
    uint H, uint G, ulong q_row, ulong k_row, ulong v_row, ulong out_row, ulong dq_row,
    float scale) {
    // Q and dO pass through on their way to registers: BLOCK ≤ 2 · KEYS.
    __local uint4 tiles[4 * KEYS * CELLS] __attribute__((aligned(128)));
    const uint start = local_address(tiles), stage_bytes = 2 * KEYS * LINE_BYTES;
    const uint item = get_local_id(0), lane = item % LANES_OF_WARP, warp = item / LANES_OF_WARP;
    const uint h = get_group_id(1), b = get_group_id(2), g = h / (H / G);
    const uint row = (get_num_groups(0) - 1 - get_group_id(0)) * BLOCK;
    const uint rows = min((uint)BLOCK, T - row), end = row + rows;
    const ulong at = (ulong)b * T + row;
    k += k_at + (ulong)b * T * k_row + (ulong)g * HEAD_DIM;
    v += v_at + (ulong)b * T * v_row + (ulong)g * HEAD_DIM;
    if (document_start)
        document_start += start_at + at;

    copy_lines(start, q + q_at + at * q_row + (ulong)h * HEAD_DIM, q_row, rows, BLOCK, item);
    copy_lines(start + BLOCK * LINE_BYTES, d_out + d_out_at + at * out_row + (ulong)h * HEAD_DIM,
               out_row, rows, BLOCK, item);
    copy_commit();
    int least, greatest;
    range_of_first(&least, &greatest, document_start, rows, lane);
    uint first[2], last[2];
    float exponent[2], row_delta[2]; // lse · log2 e, and delta
    UNROLL for (int r = 0; r < 2; r++) {
        const uint line = 16 * warp + lane / 4 + 8 * r;
        const ulong statistic = ((ulong)b * H + h) * T + min(row + line, T - 1);
        first[r] = document_start && line < rows ? max(document_start[line], 0) : 0;
        last[r] = row + line;
        exponent[r] = lse[lse_at + statistic] * LOG2_E;
        row_delta[r] = delta[delta_at + statistic];
    }
    uint query[STEPS][4], d_row[STEPS][4];
    COPY_WAIT(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    const uint place = lines_first(start, CELLS, lane);
    load_left(query, place, 16 * warp);
    load_left(d_row, place, BLOCK + 16 * warp);
    barrier(CLK_LOCAL_MEM_FENCE);

    float acc[HEAD_DIM / 8][4];
    clear(acc, HEAD_DIM / 8);
    const uint begin = (uint)least / KEYS * KEYS, warp_first_last = row + 16 * warp;
    uint stage = 0;
#define COPY_KEYS(stage, j0)                                                                      \
    do {                                                                                          \
        const uint tile_ = start + (stage) * stage_bytes;                                         \
        copy_lines(tile_, k + (j0) * k_row, k_row, end - (j0), KEYS, item);                       \
        copy_lines(tile_ + KEYS * LINE_BYTES, v + (j0) * v_row, v_row, end - (j0), KEYS, item);   \
    } while (0)
    if (begin < end)
        COPY_KEYS(0, begin);
    copy_commit();
    for (uint j0 = begin; j0 < end; j0 += KEYS) {
        COPY_WAIT(0);
        barrier(CLK_LOCAL_MEM_FENCE); // this stage is there, the other has been read
        if (end - j0 > KEYS)
            COPY_KEYS(stage ^ 1, j0 + KEYS);
        copy_commit();
        // K's lines, then V's.
        const uint rows_place = cells_first(start, CELLS, lane) + stage * stage_bytes;
        const uint columns_place = place + stage * stage_bytes;
        stage ^= 1;
        if (j0 > warp_first_last + 15)
            continue; // no barrier is left in this round
        float s[KEYS / 8][4], dp[KEYS / 8][4];
        clear(s, KEYS / 8);
        clear(dp, KEYS / 8);
        UNROLL for (int d = 0; d < STEPS; d++)
            UNROLL for (int n = 0; n < KEYS / 16; n++) {
                multiply_step(s + 2 * n, query[d], rows_place, 16 * n, d);
                multiply_step(dp + 2 * n, d_row[d], rows_place, KEYS + 16 * n, d);
            }
        const bool is_cut = j0 + KEYS - 1 > warp_first_last || (uint)greatest > j0;
        UNROLL for (int n = 0; n < KEYS / 8; n++)
            UNROLL for (int e = 0; e < 4; e++) {
                const uint key = j0 + 8 * n + 2 * (lane % 4) + e % 2;
                const float p = power_of_two(s[n][e] * (scale * LOG2_E) - exponent[e / 2]);
                const bool is_visible = !is_cut || (key >= first[e / 2] && key <= last[e / 2]);
                s[n][e] = is_visible ? p * (dp[n][e] - row_delta[e / 2]) : 0.0f;
            }
        UNROLL for (int n = 0; n < KEYS / 16; n++)
            add_product(acc, s + 2 * n, columns_place, 16 * n);
    }
    const float factors[2] = {scale, scale};
    store_lines(dq + dq_at + (at + 16 * warp) * dq_row + (ulong)h * HEAD_DIM, dq_row,
                (int)rows - 16 * (int)warp, acc, factors, lane);
}
#endif

#ifdef ATTENTION_DKV
// The walk over query heads and tiles of rows: 32 tiles at a time are looked at for rows that see
// one of the group's keys, so that documents cost no more than their own length.
typedef struct walk {
    uint h, tile; // the present head and tile
    uint chunk;   // the first of the 32 tiles looked at
    uint seen;    // bit i: tile chunk + i is still to come
} walk;

// Whether tile `tile` has a row that sees a key before `key_end`.
static inline bool sees(__global const int *document_start, uint tile, uint T, uint key_end) {
    bool is_seen = tile * ROWS < T && !document_start;
    if (document_start)
        for (uint m = tile * ROWS; m < min((tile + 1) * ROWS, T); m++)
            is_seen |= document_start[m] < (int)key_end;
    return is_seen;
}

// To the next tile; false at the end. The same for every work-item of the group.
static inline bool advance(walk *w, __global const int *document_start, uint first_tile,
                           uint head_end, uint T, uint key_end, uint lane) {
    while (w->seen == 0) {
        w->chunk += LANES_OF_WARP;
        if (w->chunk * ROWS >= T) {
            w->chunk = first_tile;
            if (++w->h == head_end)
                return false;
        }
        w->seen = ballot(sees(document_start, w->chunk + lane, T, key_end));
    }
    w->tile = w->chunk + 31 - clz(w->seen & -w->seen);
    w->seen &= w->seen - 1;
    return true;
}

// forja_attention_dkv_nv_mma: K and V stay in local memory, beside two stages of (Q, dO) tiles. It
// works on the transposed scores, so that keys are rows:
//   Sᵀ = K·Qᵀ, dPᵀ = V·dOᵀ, dV += Pᵀ·dO, dK += dSᵀ·Q
//
// Launch    global (WORK_ITEMS · ⌈S/BLOCK⌉, G, B), local (WORK_ITEMS, 1, 1), S = T
// Order     the heads of the group one after another, rows ascending
__kernel __attribute__((reqd_work_group_size(WORK_ITEMS, 1, 1))) void forja_attention_dkv_nv_mma(
    __global const ushort *q, ulong q_at, __global const ushort *k, ulong k_at,
    __global const ushort *v, ulong v_at, __global const ushort *d_out, ulong d_out_at,
    __global const float *lse, ulong lse_at, __global const float *delta, ulong delta_at,
    __global const int *document_start, ulong start_at, __global ushort *dk, ulong dk_at,
    __global ushort *dv, ulong dv_at, uint T, uint H, uint G, ulong q_row, ulong k_row, ulong v_row,
    ulong out_row, ulong dk_row, ulong dv_row, float scale) {
    __local uint4 tiles[(2 * BLOCK + 4 * ROWS) * CELLS] __attribute__((aligned(128)));
    const uint key_tile = local_address(tiles), value_tile = key_tile + BLOCK * LINE_BYTES;
    const uint stages = value_tile + BLOCK * LINE_BYTES, stage_bytes = 2 * ROWS * LINE_BYTES;
    const uint item = get_local_id(0), lane = item % LANES_OF_WARP, warp = item / LANES_OF_WARP;
    const uint g = get_group_id(1), b = get_group_id(2), group = H / G;
    const uint j0 = get_group_id(0) * BLOCK, keys = min((uint)BLOCK, T - j0);
    const ulong at = (ulong)b * T + j0;
    q += q_at + (ulong)b * T * q_row;
    d_out += d_out_at + (ulong)b * T * out_row;
    if (document_start)
        document_start += start_at + (ulong)b * T;

    copy_lines(key_tile, k + k_at + at * k_row + (ulong)g * HEAD_DIM, k_row, keys, BLOCK, item);
    copy_lines(value_tile, v + v_at + at * v_row + (ulong)g * HEAD_DIM, v_row, keys, BLOCK, item);
    float k_acc[HEAD_DIM / 8][4], v_acc[HEAD_DIM / 8][4];
    clear(k_acc, HEAD_DIM / 8);
    clear(v_acc, HEAD_DIM / 8);

#define COPY_ROWS(stage, h, row)                                                                  \
    do {                                                                                          \
        const uint tile_ = stages + (stage) * stage_bytes;                                        \
        copy_lines(tile_, q + (row) * q_row + (ulong)(h) * HEAD_DIM, q_row, T - (row), ROWS,      \
                   item);                                                                         \
        copy_lines(tile_ + ROWS * LINE_BYTES, d_out + (row) * out_row + (ulong)(h) * HEAD_DIM,    \
                   out_row, T - (row), ROWS, item);                                               \
    } while (0)
    // Of the warp's 16 keys; their values lie BLOCK lines further.
    const uint key_place = further(lines_first(key_tile, CELLS, lane), 16 * warp, 0, CELLS);
    // No row before the first key sees it.
    const uint first_tile = j0 / ROWS, head_end = (g + 1) * group;
    walk next = {g * group, 0, first_tile, 0};
    next.seen = ballot(sees(document_start, first_tile + lane, T, j0 + keys));
    bool has_next = advance(&next, document_start, first_tile, head_end, T, j0 + keys, lane);
    uint stage = 0;
    if (has_next)
        COPY_ROWS(0, next.h, next.tile * ROWS);
    copy_commit();
    while (has_next) {
        const uint h = next.h, row = next.tile * ROWS;
        has_next = advance(&next, document_start, first_tile, head_end, T, j0 + keys, lane);
        COPY_WAIT(0);
        barrier(CLK_LOCAL_MEM_FENCE); // this stage is there, the other has been read
        if (has_next)
            COPY_ROWS(stage ^ 1, next.h, next.tile * ROWS);
        copy_commit();
        // Q's lines, then dO's.
        const uint rows_place = cells_first(stages, CELLS, lane) + stage * stage_bytes;
        const uint columns_place = lines_first(stages, CELLS, lane) + stage * stage_bytes;
        stage ^= 1;
        const uint warp_key = j0 + 16 * warp;
        if (warp_key > row + ROWS - 1)
            continue; // no barrier is left in this round
        float s[ROWS / 8][4], dp[ROWS / 8][4];
        clear(s, ROWS / 8);
        clear(dp, ROWS / 8);
        UNROLL for (int d = 0; d < STEPS; d++) {
            uint left[4];
            load_matrices(left, further(key_place, 0, 2 * d, CELLS));
            UNROLL for (int m = 0; m < ROWS / 16; m++)
                multiply_step(s + 2 * m, left, rows_place, 16 * m, d);
            load_matrices(left, further(key_place, BLOCK, 2 * d, CELLS));
            UNROLL for (int m = 0; m < ROWS / 16; m++)
                multiply_step(dp + 2 * m, left, rows_place, ROWS + 16 * m, d);
        }
        UNROLL for (int m = 0; m < ROWS / 8; m++)
            UNROLL for (int x = 0; x < 2; x++) {
                const uint i = row + 8 * m + 2 * (lane % 4) + x, inside = min(i, T - 1);
                const ulong statistic = ((ulong)b * H + h) * T + inside;
                const uint first = document_start ? max(document_start[inside], 0) : 0;
                const float exponent = lse[lse_at + statistic] * LOG2_E;
                const float row_delta = delta[delta_at + statistic];
                UNROLL for (int e = x; e < 4; e += 2) {
                    const uint key = warp_key + lane / 4 + e / 2 * 8;
                    const bool is_visible = i < T && key <= i && key >= first;
                    const float p =
                        is_visible ? power_of_two(s[m][e] * (scale * LOG2_E) - exponent) : 0.0f;
                    s[m][e] = p;
                    dp[m][e] = is_visible ? p * (dp[m][e] - row_delta) : 0.0f;
                }
            }
        UNROLL for (int m = 0; m < ROWS / 16; m++) {
            add_product(v_acc, s + 2 * m, columns_place, ROWS + 16 * m);
            add_product(k_acc, dp + 2 * m, columns_place, 16 * m);
        }
    }
    const float factors[2] = {scale, scale}, ones[2] = {1.0f, 1.0f};
    const int lines = (int)keys - 16 * (int)warp;
    store_lines(dk + dk_at + (at + 16 * warp) * dk_row + (ulong)g * HEAD_DIM, dk_row, lines, k_acc,
                factors, lane);
    store_lines(dv + dv_at + (at + 16 * warp) * dv_row + (ulong)g * HEAD_DIM, dv_row, lines, v_acc,
                ones, lane);
}
#endif
