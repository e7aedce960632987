// Attention on matrix units: Q, K, V, out and their gradients bf16. Behind a fragment file
// (fragment.cl); attention_xmx.cl and attention_amd.cl put the two together.
//
//   Formulas, layouts and masks as in attention.cl
//
// A work-group owns a tile of rows (or keys) of one head. Tiles of Q, K, V and dO lie in local
// memory as they do in global memory; products go from there to registers and back. Probabilities and the
// gradients of scores are rounded to bf16 between the two products, as matrix units need; softmax
// and every sum are float32.
//
// Tunables  BLOCK_M, BLOCK_N  rows and keys of a tile
//           TEAMS_M, TEAMS_N  teams down and across, for every product of the kernel
//           ALIGNED           offsets, row strides and HEAD_DIM are multiples of 8 elements
// Legend    WIDTH = HEAD_DIM padded with zeros to whole fragments; PITCH between a tile's rows
// Launch    see each kernel; barriers are reached by every work-item of a group
// Tail      rows past T or S are loaded as 0 and not stored
// Twin      cpu/attention.c

#define LOG2_E 1.44269504088896341f
#define LN_2 0.693147180559945309f
#define NO_MAXIMUM (-1e30f)
#define MASKED (-MAXFLOAT)

#define WORK_ITEMS (TEAMS_M * TEAMS_N * FRAGMENT_LANES)
#define WIDTH ((HEAD_DIM + 15) / 16 * 16)
#define PITCH (WIDTH + 8)           // of a tile of rows by WIDTH
#define KEY_PITCH (BLOCK_N + 8)     // of bf16 probabilities, [rows, keys]
#define SCORE_PITCH (BLOCK_N + 4)   // of f32 scores
#define TILE(name, rows, pitch) __local ushort name[(rows) * (pitch)] __attribute__((aligned(16)))

// A product gives each team a rectangle of fragments; PARTS is its side, rounded up where the
// teams do not divide it: fragments past the end are neither computed nor stored.
#define PARTS(extent, fragment, teams) (((extent) / (fragment) + (teams)-1) / (teams))
#define SCORE_M PARTS(BLOCK_M, FRAGMENT_M, TEAMS_M)
#define SCORE_N PARTS(BLOCK_N, FRAGMENT_N, TEAMS_N)
#define COLUMNS PARTS(WIDTH, FRAGMENT_N, TEAMS_N)  // of a result [rows or keys, WIDTH]
#define KEYS PARTS(BLOCK_N, FRAGMENT_M, TEAMS_M)   // of dK and dV

// The fragment's place, (i, j) of the team's rectangle, in elements.
#define ROW_OF(i) ((team / TEAMS_N + (i) * TEAMS_M) * FRAGMENT_M)
#define COLUMN_OF(j) ((team % TEAMS_N + (j) * TEAMS_N) * FRAGMENT_N)

// to[rows, WIDTH] = `count` rows of HEAD_DIM elements, then zeros. By the whole group.
static inline void load_tile(__local ushort *to, __global const ushort *from, ulong stride,
                             uint count, uint rows) {
#ifdef ALIGNED
    for (uint i = get_local_id(0); i < rows * (WIDTH / 8); i += WORK_ITEMS) {
        const uint row = i / (WIDTH / 8), d = i % (WIDTH / 8) * 8;
        *(__local ushort8 *)(to + row * PITCH + d) =
            row < count && d < HEAD_DIM ? *(__global const ushort8 *)(from + row * stride + d)
                                        : (ushort8)(0);
    }
#else
    for (uint i = get_local_id(0); i < rows * WIDTH; i += WORK_ITEMS) {
        const uint row = i / WIDTH, d = i % WIDTH;
        to[row * PITCH + d] = row < count && d < HEAD_DIM ? from[row * stride + d] : (ushort)0;
    }
#endif
}

// ── Products of a team's rectangle ───────────────────────────────────────────────────────────────
//
// As macros, because the sums stay in registers only where every index is a constant, and emulated
// instructions need the kernel's scratch.

#define FOR_FRAGMENTS(m_parts, n_parts)                                                            \
    FRAGMENT_UNROLL                                                                                \
    for (uint i = 0; i < (m_parts); i++)                                                           \
        FRAGMENT_UNROLL                                                                            \
    for (uint j = 0; j < (n_parts); j++)

#define CLEAR(sums, m_parts, n_parts)                                                              \
    FOR_FRAGMENTS(m_parts, n_parts)                                                                \
    FRAGMENT_UNROLL                                                                                \
    for (uint e = 0; e < FRAGMENT_VALUES; e++)                                                     \
        sums[i][j].value[e] = 0.0f;

// sums += left·right, k to `depth`. LOAD_LEFT(m, k) and LOAD_RIGHT(n, k) load fragments. Where the
// rectangles of teams overhang, the last fragment is computed again instead of one that is not:
// emulated instructions are reached by all. k is not unrolled: a scheduler that sees every load of
// a product at once holds more of them than there are registers.
#define MULTIPLY(sums, m_parts, n_parts, m_end, n_end, depth, LOAD_LEFT, LOAD_RIGHT)               \
    _Pragma("unroll 1")                                                                            \
    for (uint k = 0; k < (depth); k += FRAGMENT_K) {                                               \
        fragment_a left[m_parts];                                                                  \
        FRAGMENT_UNROLL                                                                            \
        for (uint i = 0; i < (m_parts); i++) {                                                     \
            const uint m = min((uint)ROW_OF(i), (uint)((m_end)-FRAGMENT_M));                       \
            left[i] = LOAD_LEFT(m, k);                                                             \
        }                                                                                          \
        FRAGMENT_UNROLL                                                                            \
        for (uint j = 0; j < (n_parts); j++) {                                                     \
            const uint n = min((uint)COLUMN_OF(j), (uint)((n_end)-FRAGMENT_N));                    \
            fragment_b right = LOAD_RIGHT(n, k);                                                   \
            FRAGMENT_UNROLL                                                                        \
            for (uint i = 0; i < (m_parts); i++)                                                   \
                fragment_multiply_add(sums[i][j], left[i], right);                                 \
        }                                                                                          \
    }

// The statements for each value of the sums that lies inside, with its row m and column n.
#define FOR_VALUES(m_parts, n_parts, m_end, n_end, ...)                                            \
    FOR_FRAGMENTS(m_parts, n_parts)                                                                \
    FRAGMENT_UNROLL                                                                                \
    for (uint e = 0; e < FRAGMENT_VALUES; e++) {                                                   \
        const uint m = ROW_OF(i) + fragment_row(lane, e);                                          \
        const uint n = COLUMN_OF(j) + fragment_column(lane, e);                                    \
        if (m < (m_end) && n < (n_end)) {                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

// Operands from the tiles of the kernels below.
#define QUERY_ROWS(m, k) fragment_load_a(query + (m) * PITCH + (k), PITCH, lane)
#define KEY_COLUMNS(n, k) fragment_load_b(key + (n) * PITCH + (k), PITCH, lane)
#define D_ROWS(m, k) fragment_load_a(d_rows + (m) * PITCH + (k), PITCH, lane)
#define VALUE_COLUMNS(n, k) fragment_load_b(value + (n) * PITCH + (k), PITCH, lane)
#define PROBABILITY_ROWS(m, k)                                                                     \
    fragment_load_a(probability + (m) * KEY_PITCH + (k), KEY_PITCH, lane)
#define VALUE_BY_KEY(n, k) fragment_load_b_transposed(value + (k) * PITCH + (n), PITCH, lane)
#define KEY_BY_KEY(n, k) fragment_load_b_transposed(key + (k) * PITCH + (n), PITCH, lane)
#define GRADIENT_ROWS(m, k) fragment_load_a(gradient + (m) * KEY_PITCH + (k), KEY_PITCH, lane)
#define PROBABILITY_KEYS(m, k)                                                                     \
    fragment_load_a_transposed(probability + (k) * KEY_PITCH + (m), KEY_PITCH, lane)
#define GRADIENT_KEYS(m, k)                                                                        \
    fragment_load_a_transposed(gradient + (k) * KEY_PITCH + (m), KEY_PITCH, lane)
#define QUERY_BY_ROW(n, k) fragment_load_b_transposed(query + (k) * PITCH + (n), PITCH, lane)
#define D_ROWS_BY_ROW(n, k) fragment_load_b_transposed(d_rows + (k) * PITCH + (n), PITCH, lane)

#ifdef ATTENTION_FORWARD
// Work-items that share a row of scores: a power of two.
#define ROW_ITEMS (WORK_ITEMS / BLOCK_M)

// forja_attention_forward_fragment
// Launch    global (ceil(T / BLOCK_M) · WORK_ITEMS, H, B), local (WORK_ITEMS, 1, 1)
FRAGMENT_KERNEL void forja_attention_forward_fragment(
    __global const ushort *q, ulong q_at, __global const ushort *k_, ulong k_at,
    __global const ushort *v, ulong v_at, __global ushort *out, ulong out_at, __global float *lse,
    ulong lse_at, __global const int *document_start, ulong start_at,
    __global const int *query_offset, ulong offset_at, uint T, uint S, uint H, uint G, ulong q_row,
    ulong k_row, ulong v_row, ulong out_row, float scale) {
    TILE(query, BLOCK_M, PITCH);
    TILE(key, BLOCK_N, PITCH);
    TILE(value, BLOCK_N, PITCH);
    TILE(probability, BLOCK_M, KEY_PITCH);
    __local float score[BLOCK_M * SCORE_PITCH], part[WORK_ITEMS], factor[BLOCK_M];
    __local int first[BLOCK_M];
    FRAGMENT_SCRATCH
    const uint item = get_local_id(0), lane = fragment_lane(), team = fragment_team();
    const uint h = get_group_id(1), b = get_group_id(2), g = h / (H / G);
    // The last tiles see the most keys and go first.
    const uint row = (get_num_groups(0) - 1 - get_group_id(0)) * BLOCK_M;
    const uint rows = min((uint)BLOCK_M, T - row);
    const long base = (long)row + (query_offset ? query_offset[offset_at + b] : 0);
    const long end = min(base + rows, (long)S);
    load_tile(query, q + q_at + ((ulong)b * T + row) * q_row + (ulong)h * HEAD_DIM, q_row, rows,
              BLOCK_M);
    for (uint m = item; m < BLOCK_M; m += WORK_ITEMS)
        first[m] = document_start && m < rows
                       ? max(document_start[start_at + (ulong)b * T + row + m], 0)
                       : 0;
    barrier(CLK_LOCAL_MEM_FENCE);
    long begin = first[0];
    for (uint m = 1; m < rows; m++)
        begin = min(begin, (long)first[m]);

    fragment_c acc[SCORE_M][COLUMNS];
    CLEAR(acc, SCORE_M, COLUMNS)
    // Of the row `line` that this work-item shares: the maximum, which all that share it know, and
    // its own part of the sum.
    const uint line = item / ROW_ITEMS, share = item % ROW_ITEMS;
    float high = NO_MAXIMUM, sum = 0.0f;
    for (long j0 = begin / BLOCK_N * BLOCK_N; j0 < end; j0 += BLOCK_N) {
        const uint keys = (uint)min((long)BLOCK_N, end - j0);
        const ulong at = (ulong)b * S + (ulong)j0;
        load_tile(key, k_ + k_at + at * k_row + (ulong)g * HEAD_DIM, k_row, keys, BLOCK_N);
        load_tile(value, v + v_at + at * v_row + (ulong)g * HEAD_DIM, v_row, keys, BLOCK_N);
        barrier(CLK_LOCAL_MEM_FENCE);
        fragment_c s[SCORE_M][SCORE_N];
        CLEAR(s, SCORE_M, SCORE_N)
        MULTIPLY(s, SCORE_M, SCORE_N, BLOCK_M, BLOCK_N, WIDTH, QUERY_ROWS, KEY_COLUMNS)
        FOR_VALUES(SCORE_M, SCORE_N, BLOCK_M, BLOCK_N,
            const long place = j0 + n;
            score[m * SCORE_PITCH + n] = place >= first[m] && place <= base + m && place < end
                                             ? s[i][j].value[e] * (scale * LOG2_E)
                                             : MASKED;)
        barrier(CLK_LOCAL_MEM_FENCE);
        float top = high;
        for (uint n = share; n < BLOCK_N; n += ROW_ITEMS)
            top = score[line * SCORE_PITCH + n] > top ? score[line * SCORE_PITCH + n] : top;
        part[item] = top;
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint p = 0; p < ROW_ITEMS; p++)
            top = part[line * ROW_ITEMS + p] > top ? part[line * ROW_ITEMS + p] : top;
        const float shrink = exp2(high - top);
        high = top;
        sum *= shrink;
        for (uint n = share; n < BLOCK_N; n += ROW_ITEMS) {
            const float p = exp2(score[line * SCORE_PITCH + n] - top);
            sum += p;
            probability[line * KEY_PITCH + n] = float_to_bf16(p);
        }
        if (share == 0)
            factor[line] = shrink;
        barrier(CLK_LOCAL_MEM_FENCE);
        FOR_VALUES(SCORE_M, COLUMNS, BLOCK_M, WIDTH, acc[i][j].value[e] *= factor[m];)
        MULTIPLY(acc, SCORE_M, COLUMNS, BLOCK_M, WIDTH, BLOCK_N, PROBABILITY_ROWS, VALUE_BY_KEY)
        barrier(CLK_LOCAL_MEM_FENCE); // before the next tiles are loaded
    }
    part[item] = sum;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (share == 0) {
        sum = 0.0f;
        for (uint p = 0; p < ROW_ITEMS; p++)
            sum += part[line * ROW_ITEMS + p];
        factor[line] = sum == 0.0f ? 0.0f : 1.0f / sum;
        if (line < rows)
            lse[lse_at + ((ulong)b * H + h) * T + row + line] = (high + log2(sum)) * LN_2;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    out += out_at + ((ulong)b * T + row) * out_row + (ulong)h * HEAD_DIM;
    FOR_VALUES(SCORE_M, COLUMNS, rows, HEAD_DIM,
               out[m * out_row + n] = float_to_bf16(acc[i][j].value[e] * factor[m]);)
}
#endif

#ifdef ATTENTION_BACKWARD
// The products of a backward tile that both kernels share: P and dS of BLOCK_M rows by BLOCK_N keys
// as bf16 [rows, keys], where document starts, lse · log2 e and delta of the rows are in local
// memory.
#define BACKWARD_SCORES                                                                            \
    {                                                                                              \
        fragment_c s[SCORE_M][SCORE_N], dp[SCORE_M][SCORE_N];                                      \
        CLEAR(s, SCORE_M, SCORE_N)                                                                 \
        CLEAR(dp, SCORE_M, SCORE_N)                                                                \
        MULTIPLY(s, SCORE_M, SCORE_N, BLOCK_M, BLOCK_N, WIDTH, QUERY_ROWS, KEY_COLUMNS)            \
        MULTIPLY(dp, SCORE_M, SCORE_N, BLOCK_M, BLOCK_N, WIDTH, D_ROWS, VALUE_COLUMNS)             \
        FOR_VALUES(SCORE_M, SCORE_N, BLOCK_M, BLOCK_N,                                             \
            const uint place = j0 + n;                                                             \
            float p = 0.0f, ds = 0.0f;                                                             \
            if (m < rows && place <= row + m && place >= (uint)first[m]) {                         \
                p = exp2(s[i][j].value[e] * (scale * LOG2_E) - row_lse[m]);                        \
                ds = p * (dp[i][j].value[e] - row_delta[m]);                                       \
            }                                                                                      \
            probability[m * KEY_PITCH + n] = float_to_bf16(p);                                     \
            gradient[m * KEY_PITCH + n] = float_to_bf16(ds);)                                      \
    }

// What BACKWARD_SCORES wants to know of `rows` rows from `row` on, of head h.
#define LOAD_ROWS                                                                                  \
    for (uint m = item; m < rows; m += WORK_ITEMS) {                                               \
        const ulong statistic = ((ulong)b * H + h) * T + row + m;                                  \
        row_lse[m] = lse[lse_at + statistic] * LOG2_E;                                             \
        row_delta[m] = delta[delta_at + statistic];                                                \
        first[m] =                                                                                 \
            document_start ? max(document_start[start_at + (ulong)b * T + row + m], 0) : 0;        \
    }

// forja_attention_dq_fragment
// Launch    global (ceil(T / BLOCK_M) · WORK_ITEMS, H, B), local (WORK_ITEMS, 1, 1)
FRAGMENT_KERNEL void forja_attention_dq_fragment(
    __global const ushort *q, ulong q_at, __global const ushort *k_, ulong k_at,
    __global const ushort *v, ulong v_at, __global const ushort *d_out, ulong d_out_at,
    __global const float *lse, ulong lse_at, __global const float *delta, ulong delta_at,
    __global const int *document_start, ulong start_at, __global ushort *dq, ulong dq_at, uint T,
    uint H, uint G, ulong q_row, ulong k_row, ulong v_row, ulong out_row, ulong dq_row,
    float scale) {
    TILE(query, BLOCK_M, PITCH);
    TILE(d_rows, BLOCK_M, PITCH);
    TILE(key, BLOCK_N, PITCH);
    TILE(value, BLOCK_N, PITCH);
    TILE(probability, BLOCK_M, KEY_PITCH);
    TILE(gradient, BLOCK_M, KEY_PITCH);
    __local float row_lse[BLOCK_M], row_delta[BLOCK_M];
    __local int first[BLOCK_M];
    FRAGMENT_SCRATCH
    const uint item = get_local_id(0), lane = fragment_lane(), team = fragment_team();
    const uint h = get_group_id(1), b = get_group_id(2), g = h / (H / G);
    const uint row = (get_num_groups(0) - 1 - get_group_id(0)) * BLOCK_M;
    const uint rows = min((uint)BLOCK_M, T - row);
    const ulong at = (ulong)b * T + row;
    load_tile(query, q + q_at + at * q_row + (ulong)h * HEAD_DIM, q_row, rows, BLOCK_M);
    load_tile(d_rows, d_out + d_out_at + at * out_row + (ulong)h * HEAD_DIM, out_row, rows,
              BLOCK_M);
    LOAD_ROWS
    barrier(CLK_LOCAL_MEM_FENCE);
    int begin = first[0];
    for (uint m = 1; m < rows; m++)
        begin = min(begin, first[m]);
    fragment_c acc[SCORE_M][COLUMNS];
    CLEAR(acc, SCORE_M, COLUMNS)
    for (uint j0 = (uint)begin / BLOCK_N * BLOCK_N; j0 < row + rows; j0 += BLOCK_N) {
        const uint keys = min((uint)BLOCK_N, T - j0);
        const ulong from = (ulong)b * T + j0;
        load_tile(key, k_ + k_at + from * k_row + (ulong)g * HEAD_DIM, k_row, keys, BLOCK_N);
        load_tile(value, v + v_at + from * v_row + (ulong)g * HEAD_DIM, v_row, keys, BLOCK_N);
        barrier(CLK_LOCAL_MEM_FENCE);
        BACKWARD_SCORES
        barrier(CLK_LOCAL_MEM_FENCE);
        MULTIPLY(acc, SCORE_M, COLUMNS, BLOCK_M, WIDTH, BLOCK_N, GRADIENT_ROWS, KEY_BY_KEY)
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    dq += dq_at + at * dq_row + (ulong)h * HEAD_DIM;
    FOR_VALUES(SCORE_M, COLUMNS, rows, HEAD_DIM,
               dq[m * dq_row + n] = float_to_bf16(acc[i][j].value[e] * scale);)
}

// forja_attention_dkv_fragment: sums over the heads of the group in registers
// Launch    global (ceil(S / BLOCK_N) · WORK_ITEMS, G, B), local (WORK_ITEMS, 1, 1), S = T
FRAGMENT_KERNEL void forja_attention_dkv_fragment(
    __global const ushort *q, ulong q_at, __global const ushort *k_, ulong k_at,
    __global const ushort *v, ulong v_at, __global const ushort *d_out, ulong d_out_at,
    __global const float *lse, ulong lse_at, __global const float *delta, ulong delta_at,
    __global const int *document_start, ulong start_at, __global ushort *dk, ulong dk_at,
    __global ushort *dv, ulong dv_at, uint T, uint H, uint G, ulong q_row, ulong k_row,
    ulong v_row, ulong out_row, ulong dk_row, ulong dv_row, float scale) {
    TILE(query, BLOCK_M, PITCH);
    TILE(d_rows, BLOCK_M, PITCH);
    TILE(key, BLOCK_N, PITCH);
    TILE(value, BLOCK_N, PITCH);
    TILE(probability, BLOCK_M, KEY_PITCH);
    TILE(gradient, BLOCK_M, KEY_PITCH);
    __local float row_lse[BLOCK_M], row_delta[BLOCK_M];
    __local int first[BLOCK_M];
    FRAGMENT_SCRATCH
    const uint item = get_local_id(0), lane = fragment_lane(), team = fragment_team();
    const uint g = get_group_id(1), b = get_group_id(2), group = H / G;
    const uint j0 = get_group_id(0) * BLOCK_N, keys = min((uint)BLOCK_N, T - j0);
    const ulong at = (ulong)b * T + j0;
    load_tile(key, k_ + k_at + at * k_row + (ulong)g * HEAD_DIM, k_row, keys, BLOCK_N);
    load_tile(value, v + v_at + at * v_row + (ulong)g * HEAD_DIM, v_row, keys, BLOCK_N);
    fragment_c k_acc[KEYS][COLUMNS], v_acc[KEYS][COLUMNS];
    CLEAR(k_acc, KEYS, COLUMNS)
    CLEAR(v_acc, KEYS, COLUMNS)
    for (uint row = j0 / BLOCK_M * BLOCK_M; row < T; row += BLOCK_M) {
        const uint rows = min((uint)BLOCK_M, T - row);
        const ulong from = (ulong)b * T + row;
        // The same for every work-item of the group, so the barriers below stay uniform.
        bool is_seen = !document_start;
        for (uint m = 0; !is_seen && m < rows; m++)
            is_seen = document_start[start_at + from + m] < (int)(j0 + keys);
        if (!is_seen)
            continue;
        for (uint h = g * group; h < (g + 1) * group; h++) {
            load_tile(query, q + q_at + from * q_row + (ulong)h * HEAD_DIM, q_row, rows, BLOCK_M);
            load_tile(d_rows, d_out + d_out_at + from * out_row + (ulong)h * HEAD_DIM, out_row,
                      rows, BLOCK_M);
            LOAD_ROWS
            barrier(CLK_LOCAL_MEM_FENCE);
            BACKWARD_SCORES
            barrier(CLK_LOCAL_MEM_FENCE);
            MULTIPLY(v_acc, KEYS, COLUMNS, BLOCK_N, WIDTH, BLOCK_M, PROBABILITY_KEYS,
                     D_ROWS_BY_ROW)
            MULTIPLY(k_acc, KEYS, COLUMNS, BLOCK_N, WIDTH, BLOCK_M, GRADIENT_KEYS, QUERY_BY_ROW)
            barrier(CLK_LOCAL_MEM_FENCE);
        }
    }
    dk += dk_at + at * dk_row + (ulong)g * HEAD_DIM;
    dv += dv_at + at * dv_row + (ulong)g * HEAD_DIM;
    FOR_VALUES(KEYS, COLUMNS, keys, HEAD_DIM,
               dk[m * dk_row + n] = float_to_bf16(k_acc[i][j].value[e] * scale);
               dv[m * dv_row + n] = float_to_bf16(v_acc[i][j].value[e]);)
}
#endif
