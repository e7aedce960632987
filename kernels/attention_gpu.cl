// Attention for GPUs: one work-group owns a tile of rows (or keys) of one head; tiles of Q, K, V
// and dO lie in local memory as f32, and a work-item keeps a small block of scores and of the
// result in registers.
//
//   Formulas, layouts and masks as in attention.cl
//
// Legend    BLOCK_M rows and BLOCK_N keys of a forward tile, BLOCK of both in the backward tiles;
//           SIDE·SIDE work-items; PITCH = D + 1 keeps columns on different banks
// Launch    see each kernel; barriers are reached by every work-item of a group
// Tail      rows past T or S are loaded as 0 and not stored
// Twin      cpu/attention.c

#define LOG2_E 1.44269504088896341f
#define LN_2 0.693147180559945309f
#define NO_MAXIMUM (-1e30f)
#define MASKED (-MAXFLOAT)
#define PITCH (HEAD_DIM + 1)

// One program holds one part of this file, since a compiler counts the local memory of all its
// kernels; the host picks it with -DATTENTION_<PART>: FORWARD, DECODE or BACKWARD.

// Tunables, which the table in opencl/variants.c holds. Both blocks are multiples of SIDE.
#ifndef BLOCK_M
#define BLOCK_M 32
#define BLOCK_N 32
#define SIDE 16
#endif
#define BLOCK BLOCK_N // of both sides of a backward tile, where BLOCK_M = BLOCK_N
#define COLUMNS ((HEAD_DIM + SIDE - 1) / SIDE)
#define WORK_ITEMS (SIDE * SIDE)

// to[limit, PITCH] = factor · rows of D elements; rows from `rows` to `limit` are 0. By the whole
// group.
#define LOAD_TILE(to, from, stride, rows, limit, factor)                                           \
    for (uint r_ = get_local_id(1); r_ < (limit); r_ += SIDE)                                      \
        for (uint d_ = get_local_id(0); d_ < HEAD_DIM; d_ += SIDE)                                 \
            to[r_ * PITCH + d_] =                                                                  \
                r_ < (rows) ? storage_load((from)[r_ * (stride) + d_]) * (factor) : 0.0f;

#ifdef ATTENTION_FORWARD
// forja_attention_forward_gpu
// Launch    global (ceil(T / BLOCK_M) · SIDE, H · SIDE, B), local (SIDE, SIDE, 1)
__attribute__((reqd_work_group_size(SIDE, SIDE, 1))) __kernel void forja_attention_forward_gpu(
    __global const storage_t *q, ulong q_at, __global const storage_t *k, ulong k_at,
    __global const storage_t *v, ulong v_at, __global storage_t *out, ulong out_at,
    __global float *lse, ulong lse_at, __global const int *document_start, ulong start_at,
    __global const int *query_offset, ulong offset_at, uint T, uint S, uint H, uint G, ulong q_row,
    ulong k_row, ulong v_row, ulong out_row, float scale) {
    __local float query[BLOCK_M * PITCH], tile[BLOCK_N * PITCH], score[BLOCK_M * (BLOCK_N + 1)];
    __local float maximum[BLOCK_M], sum[BLOCK_M], factor[BLOCK_M];
    __local int first[BLOCK_M];
    const uint x = get_local_id(0), y = get_local_id(1), item = y * SIDE + x;
    const uint h = get_group_id(1), b = get_group_id(2), g = h / (H / G);
    // The last tiles see the most keys and go first.
    const uint row = (get_num_groups(0) - 1 - get_group_id(0)) * BLOCK_M;
    const uint rows = min((uint)BLOCK_M, T - row);
    const long base = (long)row + (query_offset ? query_offset[offset_at + b] : 0);
    const long end = min(base + rows, (long)S);
    LOAD_TILE(query, q + q_at + ((ulong)b * T + row) * q_row + (ulong)h * HEAD_DIM, q_row, rows,
              BLOCK_M, scale * LOG2_E)
    for (uint m = item; m < BLOCK_M; m += WORK_ITEMS) {
        maximum[m] = NO_MAXIMUM;
        sum[m] = 0.0f;
        first[m] = document_start && m < rows
                       ? max(document_start[start_at + (ulong)b * T + row + m], 0)
                       : 0;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    long begin = first[0];
    for (uint m = 1; m < rows; m++)
        begin = min(begin, (long)first[m]);
    float acc[BLOCK_M / SIDE][COLUMNS];
    for (int i = 0; i < BLOCK_M / SIDE; i++)
        for (int c = 0; c < COLUMNS; c++)
            acc[i][c] = 0.0f;

    for (long j0 = begin / BLOCK_N * BLOCK_N; j0 < end; j0 += BLOCK_N) {
        const uint keys = (uint)min((long)BLOCK_N, end - j0);
        const ulong at = (ulong)b * S + (ulong)j0;
        LOAD_TILE(tile, k + k_at + at * k_row + (ulong)g * HEAD_DIM, k_row, keys, BLOCK_N, 1.0f)
        barrier(CLK_LOCAL_MEM_FENCE);
        float s[BLOCK_M / SIDE][BLOCK_N / SIDE];
        for (int i = 0; i < BLOCK_M / SIDE; i++)
            for (int j = 0; j < BLOCK_N / SIDE; j++)
                s[i][j] = 0.0f;
        for (uint d = 0; d < HEAD_DIM; d++)
            for (int i = 0; i < BLOCK_M / SIDE; i++)
                for (int j = 0; j < BLOCK_N / SIDE; j++)
                    s[i][j] = fma(query[(y + i * SIDE) * PITCH + d],
                                  tile[(x + j * SIDE) * PITCH + d], s[i][j]);
        for (int i = 0; i < BLOCK_M / SIDE; i++)
            for (int j = 0; j < BLOCK_N / SIDE; j++) {
                const uint m = y + i * SIDE, n = x + j * SIDE;
                const long key = j0 + n;
                score[m * (BLOCK_N + 1) + n] =
                    key >= first[m] && key <= base + m && key < end ? s[i][j] : MASKED;
            }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint m = item; m < BLOCK_M; m += WORK_ITEMS) {
            __local float *line = score + m * (BLOCK_N + 1);
            float high = maximum[m], total = 0.0f;
            for (uint n = 0; n < BLOCK_N; n++)
                high = line[n] > high ? line[n] : high;
            for (uint n = 0; n < BLOCK_N; n++) {
                line[n] = exp2(line[n] - high);
                total += line[n];
            }
            factor[m] = exp2(maximum[m] - high);
            sum[m] = sum[m] * factor[m] + total;
            maximum[m] = high;
        }
        // The tile is free since the barrier before; PoCL 3.1 loses the statistics without this
        // one.
        barrier(CLK_LOCAL_MEM_FENCE);
        LOAD_TILE(tile, v + v_at + at * v_row + (ulong)g * HEAD_DIM, v_row, keys, BLOCK_N, 1.0f)
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int i = 0; i < BLOCK_M / SIDE; i++)
            for (int c = 0; c < COLUMNS; c++)
                acc[i][c] *= factor[y + i * SIDE];
        for (uint n = 0; n < BLOCK_N; n++)
            for (int c = 0; c < COLUMNS; c++) {
                const uint d = x + c * SIDE;
                const float value = d < HEAD_DIM ? tile[n * PITCH + d] : 0.0f;
                for (int i = 0; i < BLOCK_M / SIDE; i++)
                    acc[i][c] = fma(score[(y + i * SIDE) * (BLOCK_N + 1) + n], value, acc[i][c]);
            }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    for (int i = 0; i < BLOCK_M / SIDE; i++) {
        const uint m = y + i * SIDE;
        if (m >= rows)
            continue;
        const float inverse = sum[m] == 0.0f ? 0.0f : 1.0f / sum[m];
        for (int c = 0; c < COLUMNS; c++)
            if (x + c * SIDE < HEAD_DIM)
                out[out_at + ((ulong)b * T + row + m) * out_row + (ulong)h * HEAD_DIM + x +
                    c * SIDE] = storage_store(acc[i][c] * inverse);
        if (x == 0)
            lse[lse_at + ((ulong)b * H + h) * T + row + m] = (maximum[m] + log2(sum[m])) * LN_2;
    }
}

#endif

#ifdef ATTENTION_DECODE
// forja_attention_decode_gpu: T = 1. A work-item takes one key of 64 for the score, then columns of
// the result. Launch    global (64, H, B), local (64, 1, 1)
#define DECODE_KEYS 64
__attribute__((reqd_work_group_size(DECODE_KEYS, 1, 1))) __kernel void forja_attention_decode_gpu(
    __global const storage_t *q, ulong q_at, __global const storage_t *k, ulong k_at,
    __global const storage_t *v, ulong v_at, __global storage_t *out, ulong out_at,
    __global float *lse, ulong lse_at, __global const int *document_start, ulong start_at,
    __global const int *query_offset, ulong offset_at, uint T, uint S, uint H, uint G, ulong q_row,
    ulong k_row, ulong v_row, ulong out_row, float scale) {
    __local float query[HEAD_DIM], score[DECODE_KEYS];
    const uint x = get_local_id(0), h = get_group_id(1), b = get_group_id(2), g = h / (H / G);
    const long begin = document_start ? max(document_start[start_at + b], 0) : 0;
    const long end = min((long)(query_offset ? query_offset[offset_at + b] : 0) + 1, (long)S);
    for (uint d = x; d < HEAD_DIM; d += DECODE_KEYS)
        query[d] = storage_load(q[q_at + b * q_row + (ulong)h * HEAD_DIM + d]) * scale * LOG2_E;
    float acc[(HEAD_DIM + DECODE_KEYS - 1) / DECODE_KEYS];
    for (uint c = 0; c * DECODE_KEYS < HEAD_DIM; c++)
        acc[c] = 0.0f;
    float high = NO_MAXIMUM, sum = 0.0f;
    for (long j0 = begin; j0 < end; j0 += DECODE_KEYS) {
        barrier(CLK_LOCAL_MEM_FENCE);
        const uint keys = (uint)min((long)DECODE_KEYS, end - j0);
        float s = MASKED;
        if (x < keys) {
            __global const storage_t *key =
                k + k_at + ((ulong)b * S + j0 + x) * k_row + (ulong)g * HEAD_DIM;
            s = 0.0f;
            for (uint d = 0; d < HEAD_DIM; d++)
                s = fma(query[d], storage_load(key[d]), s);
        }
        score[x] = s;
        barrier(CLK_LOCAL_MEM_FENCE);
        float top = high;
        for (uint n = 0; n < DECODE_KEYS; n++)
            top = score[n] > top ? score[n] : top;
        const float shrink = exp2(high - top);
        high = top;
        sum *= shrink;
        for (uint c = 0; c * DECODE_KEYS < HEAD_DIM; c++)
            acc[c] *= shrink;
        for (uint n = 0; n < keys; n++) {
            const float p = exp2(score[n] - top);
            sum += p;
            __global const storage_t *value =
                v + v_at + ((ulong)b * S + j0 + n) * v_row + (ulong)g * HEAD_DIM;
            for (uint c = 0; c * DECODE_KEYS < HEAD_DIM; c++)
                if (x + c * DECODE_KEYS < HEAD_DIM)
                    acc[c] = fma(p, storage_load(value[x + c * DECODE_KEYS]), acc[c]);
        }
    }
    for (uint c = 0; c * DECODE_KEYS < HEAD_DIM; c++)
        if (x + c * DECODE_KEYS < HEAD_DIM)
            out[out_at + b * out_row + (ulong)h * HEAD_DIM + x + c * DECODE_KEYS] =
                storage_store(sum == 0.0f ? 0.0f : acc[c] / sum);
    if (x == 0)
        lse[lse_at + (ulong)b * H + h] = (high + log2(sum)) * LN_2;
}

#endif

#ifdef ATTENTION_BACKWARD
// The products of a backward tile that both kernels share: P and dS of BLOCK rows by BLOCK keys, in
// `probability` and `gradient` [BLOCK rows, BLOCK + 1]. `query` and `d_rows` hold Q · scale · log2
// e and dO, `key` and `value` K, V.
#define BACKWARD_SCORES                                                                            \
    for (int i = 0; i < BLOCK / SIDE; i++)                                                         \
        for (int j = 0; j < BLOCK / SIDE; j++) {                                                   \
            const uint m = y + i * SIDE, n = x + j * SIDE;                                         \
            float s = 0.0f, dp = 0.0f;                                                             \
            for (uint d = 0; d < HEAD_DIM; d++) {                                                  \
                s = fma(query[m * PITCH + d], key[n * PITCH + d], s);                              \
                dp = fma(d_rows[m * PITCH + d], value[n * PITCH + d], dp);                         \
            }                                                                                      \
            const uint at_row = row + m, at_key = j0 + n;                                          \
            float p = 0.0f, ds = 0.0f;                                                             \
            if (at_row < T && at_key <= at_row &&                                                  \
                (!document_start ||                                                                \
                 document_start[start_at + (ulong)b * T + at_row] <= (int)at_key)) {               \
                const ulong statistic = ((ulong)b * H + h) * T + at_row;                           \
                p = exp2(s - lse[lse_at + statistic] * LOG2_E);                                    \
                ds = p * (dp - delta[delta_at + statistic]);                                       \
            }                                                                                      \
            probability[m * (BLOCK + 1) + n] = p;                                                  \
            gradient[m * (BLOCK + 1) + n] = ds;                                                    \
        }

// forja_attention_dq_gpu
// Launch    global (ceil(T / BLOCK) · SIDE, H · SIDE, B), local (SIDE, SIDE, 1)
__attribute__((reqd_work_group_size(SIDE, SIDE, 1))) __kernel void
forja_attention_dq_gpu(__global const storage_t *q, ulong q_at, __global const storage_t *k,
                       ulong k_at, __global const storage_t *v, ulong v_at,
                       __global const storage_t *d_out, ulong d_out_at, __global const float *lse,
                       ulong lse_at, __global const float *delta, ulong delta_at,
                       __global const int *document_start, ulong start_at, __global storage_t *dq,
                       ulong dq_at, uint T, uint H, uint G, ulong q_row, ulong k_row, ulong v_row,
                       ulong out_row, ulong dq_row, float scale) {
    __local float query[BLOCK * PITCH], d_rows[BLOCK * PITCH], key[BLOCK * PITCH],
        value[BLOCK * PITCH];
    __local float probability[BLOCK * (BLOCK + 1)], gradient[BLOCK * (BLOCK + 1)];
    const uint x = get_local_id(0), y = get_local_id(1);
    const uint h = get_group_id(1), b = get_group_id(2), g = h / (H / G);
    const uint row = (get_num_groups(0) - 1 - get_group_id(0)) * BLOCK,
               rows = min((uint)BLOCK, T - row);
    const ulong at = (ulong)b * T + row;
    LOAD_TILE(query, q + q_at + at * q_row + (ulong)h * HEAD_DIM, q_row, rows, BLOCK,
              scale * LOG2_E)
    LOAD_TILE(d_rows, d_out + d_out_at + at * out_row + (ulong)h * HEAD_DIM, out_row, rows, BLOCK,
              1.0f)
    int begin = 0;
    if (document_start) {
        begin = INT_MAX;
        for (uint m = 0; m < rows; m++)
            begin = min(begin, max(document_start[start_at + at + m], 0));
    }
    float acc[BLOCK / SIDE][COLUMNS];
    for (int i = 0; i < BLOCK / SIDE; i++)
        for (int c = 0; c < COLUMNS; c++)
            acc[i][c] = 0.0f;
    for (uint j0 = (uint)begin / BLOCK * BLOCK; j0 < row + rows; j0 += BLOCK) {
        const uint keys = min((uint)BLOCK, T - j0);
        const ulong from = (ulong)b * T + j0;
        LOAD_TILE(key, k + k_at + from * k_row + (ulong)g * HEAD_DIM, k_row, keys, BLOCK, 1.0f)
        LOAD_TILE(value, v + v_at + from * v_row + (ulong)g * HEAD_DIM, v_row, keys, BLOCK, 1.0f)
        barrier(CLK_LOCAL_MEM_FENCE);
        BACKWARD_SCORES
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint n = 0; n < BLOCK; n++)
            for (int c = 0; c < COLUMNS; c++) {
                const uint d = x + c * SIDE;
                const float right = d < HEAD_DIM ? key[n * PITCH + d] : 0.0f;
                for (int i = 0; i < BLOCK / SIDE; i++)
                    acc[i][c] = fma(gradient[(y + i * SIDE) * (BLOCK + 1) + n], right, acc[i][c]);
            }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    for (int i = 0; i < BLOCK / SIDE; i++)
        for (int c = 0; c < COLUMNS; c++) {
            const uint m = y + i * SIDE, d = x + c * SIDE;
            if (m < rows && d < HEAD_DIM)
                dq[dq_at + (at + m) * dq_row + (ulong)h * HEAD_DIM + d] =
                    storage_store(acc[i][c] * scale);
        }
}

// forja_attention_dkv_gpu: sums over the heads of the group in registers
// Launch    global (ceil(S / BLOCK) · SIDE, G · SIDE, B), local (SIDE, SIDE, 1), S = T
__attribute__((reqd_work_group_size(SIDE, SIDE, 1))) __kernel void forja_attention_dkv_gpu(
    __global const storage_t *q, ulong q_at, __global const storage_t *k, ulong k_at,
    __global const storage_t *v, ulong v_at, __global const storage_t *d_out, ulong d_out_at,
    __global const float *lse, ulong lse_at, __global const float *delta, ulong delta_at,
    __global const int *document_start, ulong start_at, __global storage_t *dk, ulong dk_at,
    __global storage_t *dv, ulong dv_at, uint T, uint H, uint G, ulong q_row, ulong k_row,
    ulong v_row, ulong out_row, ulong dk_row, ulong dv_row, float scale) {
    __local float query[BLOCK * PITCH], d_rows[BLOCK * PITCH], key[BLOCK * PITCH],
        value[BLOCK * PITCH];
    __local float probability[BLOCK * (BLOCK + 1)], gradient[BLOCK * (BLOCK + 1)];
    const uint x = get_local_id(0), y = get_local_id(1), g = get_group_id(1), b = get_group_id(2);
    const uint j0 = get_group_id(0) * BLOCK, keys = min((uint)BLOCK, T - j0), group = H / G;
    const ulong at = (ulong)b * T + j0;
    LOAD_TILE(key, k + k_at + at * k_row + (ulong)g * HEAD_DIM, k_row, keys, BLOCK, 1.0f)
    LOAD_TILE(value, v + v_at + at * v_row + (ulong)g * HEAD_DIM, v_row, keys, BLOCK, 1.0f)
    float k_acc[BLOCK / SIDE][COLUMNS], v_acc[BLOCK / SIDE][COLUMNS];
    for (int i = 0; i < BLOCK / SIDE; i++)
        for (int c = 0; c < COLUMNS; c++)
            k_acc[i][c] = v_acc[i][c] = 0.0f;
    for (uint row = j0; row < T; row += BLOCK) {
        const uint rows = min((uint)BLOCK, T - row);
        const ulong from = (ulong)b * T + row;
        // The same for every work-item of the group, so the barriers below stay uniform.
        bool is_seen = !document_start;
        for (uint m = 0; !is_seen && m < rows; m++)
            is_seen = document_start[start_at + from + m] < (int)(j0 + keys);
        if (!is_seen)
            continue;
        for (uint h = g * group; h < (g + 1) * group; h++) {
            LOAD_TILE(query, q + q_at + from * q_row + (ulong)h * HEAD_DIM, q_row, rows, BLOCK,
                      scale * LOG2_E)
            LOAD_TILE(d_rows, d_out + d_out_at + from * out_row + (ulong)h * HEAD_DIM, out_row,
                      rows, BLOCK, 1.0f)
            barrier(CLK_LOCAL_MEM_FENCE);
            BACKWARD_SCORES
            barrier(CLK_LOCAL_MEM_FENCE);
            for (uint m = 0; m < rows; m++)
                for (int c = 0; c < COLUMNS; c++) {
                    const uint d = x + c * SIDE;
                    const float query_d = d < HEAD_DIM ? query[m * PITCH + d] : 0.0f;
                    const float gradient_d = d < HEAD_DIM ? d_rows[m * PITCH + d] : 0.0f;
                    for (int i = 0; i < BLOCK / SIDE; i++) {
                        const uint n = m * (BLOCK + 1) + y + i * SIDE;
                        v_acc[i][c] = fma(probability[n], gradient_d, v_acc[i][c]);
                        k_acc[i][c] = fma(gradient[n], query_d, k_acc[i][c]);
                    }
                }
            barrier(CLK_LOCAL_MEM_FENCE);
        }
    }
    for (int i = 0; i < BLOCK / SIDE; i++)
        for (int c = 0; c < COLUMNS; c++) {
            const uint n = y + i * SIDE, d = x + c * SIDE;
            if (n < keys && d < HEAD_DIM) {
                // Q carries scale · log2 e.
                dk[dk_at + (at + n) * dk_row + (ulong)g * HEAD_DIM + d] =
                    storage_store(k_acc[i][c] * LN_2);
                dv[dv_at + (at + n) * dv_row + (ulong)g * HEAD_DIM + d] =
                    storage_store(v_acc[i][c]);
            }
        }
}
#endif
