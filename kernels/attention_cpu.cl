// Attention for CPU runtimes: one work-item owns a tile of 64 rows (or keys) of one head and works
// through packed tiles in private memory with float16 vectors, no local memory, no barrier.
//
//   Formulas, layouts and masks as in attention.cl. Powers of two replace exponentials: Q carries
//   scale · log2 e, lse is turned into log2 on load.
//
// Legend    TILE rows or keys of a tile; PADDED = D rounded up to 16, columns past D are 0
//           _t after a name: the tile is transposed, [PADDED, TILE]
// Launch    local (1, 1, 1), every kernel; see each for global
// Tail      rows past T or S are loaded as 0 and not stored
// Twin      cpu/attention_forward.h and cpu/attention_backward.h have the same loops

// Without `static`, C99 leaves a function that was not inlined without a definition.
#define INLINE static inline __attribute__((always_inline))

#define TILE 64
#define PADDED ((HEAD_DIM + 15) / 16 * 16)
#define LOG2_E 1.44269504088896341f
#define LN_2 0.693147180559945309f
#define NO_MAXIMUM (-1e30f)
#define MASKED (-MAXFLOAT)

// The register tile of a product is ROWS by VECTORS of 16: 16 registers of 512 bits, or with 256
// bits 8.
#define ROWS 4
#ifdef __AVX512F__
#define VECTORS 4
#else
#define VECTORS 1
#endif

// A vector in memory at any address of its elements. PoCL 3.1 cuts vstore16 into stores of four.
typedef float16 float16_in_memory __attribute__((aligned(4)));
#define STORE16(space, x, to) (*(space float16_in_memory *)(to) = (x))
INLINE void store16(float16 x, uint i, float *to) { STORE16(__private, x, to + 16 * i); }

// 2^x; results below 2^-126 become 0. The polynomial is that of cpu/vector_math.h.
INLINE float16 exp2_flush(float16 x) {
    x = select(x, (float16)(-127.0f), x < -127.0f);
    x = select(x, (float16)(128.0f), x > 128.0f);
    const float16 shifted = x + 12582912.0f; // 1.5 · 2^23: the integer part is in the low bits
    const float16 r = x - (shifted - 12582912.0f);
    float16 p = mad(r, 0x1.41fb9ep-13f, (float16)0x1.5f3e80p-10f);
    p = mad(p, r, 0x1.3b2d4ep-7f);
    p = mad(p, r, 0x1.c6aee8p-5f);
    p = mad(p, r, 0x1.ebfbdcp-3f);
    p = mad(p, r, 0x1.62e430p-1f);
    p = mad(p, r, 1.0f);
    return p * as_float16((as_int16(shifted) - (0x4b400000 - 127)) << 23);
}

// to[TILE, PADDED] = factor · rows of D elements, `stride` apart; rows past `rows` are 0.
INLINE void load_tile(float *to, __global const storage_t *from, ulong stride, uint rows,
                      float factor) {
    for (uint i = 0; i < TILE; i++, to += PADDED, from += stride) {
        uint d = 0;
        if (i < rows) {
#ifndef STORAGE_BF16
            for (; d + 16 <= HEAD_DIM; d += 16)
                store16(vload16(0, from + d) * factor, 0, to + d);
#else
            for (; d + 16 <= HEAD_DIM; d += 16)
                store16(as_float16(convert_uint16(vload16(0, from + d)) << 16) * factor, 0,
                         to + d);
#endif
            for (; d < HEAD_DIM; d++)
                to[d] = storage_load(from[d]) * factor;
        }
        for (; d < PADDED; d++)
            to[d] = 0.0f;
    }
}

INLINE void clear(float *to, uint count) {
    for (uint i = 0; i < count; i += 16)
        store16((float16)0.0f, 0, to + i);
}

INLINE void store_row(__global storage_t *to, const float *from, float factor) {
    for (uint d = 0; d < HEAD_DIM; d++)
        to[d] = storage_store(from[d] * factor);
}

// to[PADDED, TILE] = transpose of from[TILE, PADDED]; done once per operand that stays, so plainly.
INLINE void transpose(float *to, const float *from) {
    for (uint d = 0; d < PADDED; d++)
        for (uint j = 0; j < TILE; j++)
            to[d * TILE + j] = from[j * PADDED + d];
}

// C[ROWS, 16 · vectors] (+)= A[ROWS, depth] B[depth, 16 · vectors]; A's element (i, k) is a[i·a_row
// + k·a_step].
INLINE void product_tile(float *c, uint c_row, const float *a, uint a_row, uint a_step,
                         const float *b, uint b_row, uint depth, int accumulate,
                         const int vectors) {
    float16 sum[ROWS][VECTORS];
#pragma unroll
    for (int i = 0; i < ROWS; i++)
#pragma unroll
        for (int j = 0; j < vectors; j++)
            sum[i][j] = accumulate ? vload16(j, c + i * c_row) : (float16)0.0f;
    for (uint k = 0; k < depth; k++, a += a_step, b += b_row) {
        float16 right[VECTORS];
#pragma unroll
        for (int j = 0; j < vectors; j++)
            right[j] = vload16(j, b);
#pragma unroll
        for (int i = 0; i < ROWS; i++)
#pragma unroll
            for (int j = 0; j < vectors; j++)
                sum[i][j] = fma((float16)a[i * a_row], right[j], sum[i][j]);
    }
#pragma unroll
    for (int i = 0; i < ROWS; i++)
#pragma unroll
        for (int j = 0; j < vectors; j++)
            store16(sum[i][j], j, c + i * c_row);
}

// As above for any multiple of 16 columns.
INLINE void product(float *c, uint c_row, const float *a, uint a_row, uint a_step, const float *b,
                    uint b_row, uint columns, uint depth, int accumulate) {
    uint n = 0;
    for (; n + 16 * VECTORS <= columns; n += 16 * VECTORS)
        product_tile(c + n, c_row, a, a_row, a_step, b + n, b_row, depth, accumulate, VECTORS);
    for (; n < columns; n += 16)
        product_tile(c + n, c_row, a, a_row, a_step, b + n, b_row, depth, accumulate, 1);
}

// Which keys the rows of one query tile see; rows past the end see none.
typedef struct {
    int first[TILE], last[TILE];
    long first_min, first_max, last_min, last_max;
    long base; // causal limit of row 0; row m's is base + m
} visibility;

INLINE void find_visible(visibility *seen, __global const int *document_start, ulong start_at,
                         long offset, uint T, uint S, uint b, uint row, uint rows) {
    seen->base = (long)row + offset;
    seen->first_min = seen->last_min = INT_MAX;
    seen->first_max = seen->last_max = -1;
    for (uint m = 0; m < TILE; m++) {
        long first = 0, last = -1;
        if (m < rows) {
            first = document_start ? max(document_start[start_at + (ulong)b * T + row + m], 0) : 0;
            last = min(seen->base + (long)m, (long)S - 1);
            seen->first_min = min(seen->first_min, first);
            seen->first_max = max(seen->first_max, first);
            seen->last_min = min(seen->last_min, last);
            seen->last_max = max(seen->last_max, last);
        }
        seen->first[m] = (int)first;
        seen->last[m] = (int)last;
    }
}

// scores[keys, rows] becomes exp2(score − maximum); factor is what earlier tiles shrink by.
INLINE void softmax_tile(float *score, uint keys, int first_key, const visibility *seen, bool cut,
                         float *maximum, float *sum, float *factor) {
    for (uint m = 0; m < TILE; m += 16) {
        const float16 before = vload16(0, maximum + m);
        float16 high = before, total;
        if (cut) {
            const int16 first = vload16(0, seen->first + m), last = vload16(0, seen->last + m);
            for (uint j = 0; j < keys; j++) {
                const int16 key = (int16)(first_key + (int)j);
                const float16 s = vload16(0, score + j * TILE + m);
                store16(select((float16)MASKED, s, (key >= first) & (key <= last)), 0,
                         score + j * TILE + m);
            }
        }
        for (uint j = 0; j < keys; j++) {
            const float16 s = vload16(0, score + j * TILE + m);
            high = select(high, s, s > high);
        }
        const float16 shrink = exp2_flush(before - high);
        total = vload16(0, sum + m) * shrink;
        for (uint j = 0; j < keys; j++) {
            const float16 p = exp2_flush(vload16(0, score + j * TILE + m) - high);
            total += p;
            store16(p, 0, score + j * TILE + m);
        }
        store16(shrink, 0, factor + m);
        store16(high, 0, maximum + m);
        store16(total, 0, sum + m);
    }
}

// forja_attention_forward_cpu. Scores are kept transposed, [keys, rows]: maxima and sums over keys
// then run down the vectors and never across lanes. Launch    global (ceil(T / TILE), H, B)
__attribute__((reqd_work_group_size(1, 1, 1))) __kernel void forja_attention_forward_cpu(
    __global const storage_t *q, ulong q_at, __global const storage_t *k, ulong k_at,
    __global const storage_t *v, ulong v_at, __global storage_t *out, ulong out_at,
    __global float *lse, ulong lse_at, __global const int *document_start, ulong start_at,
    __global const int *query_offset, ulong offset_at, uint T, uint S, uint H, uint G, ulong q_row,
    ulong k_row, ulong v_row, ulong out_row, float scale) {
    float query_t[PADDED * TILE], acc[TILE * PADDED], key[TILE * PADDED], value[TILE * PADDED];
    float score[TILE * TILE], maximum[TILE], sum[TILE], factor[TILE];
    visibility seen;
    // The last tiles see the most keys and go first.
    const uint row = (get_global_size(0) - 1 - get_global_id(0)) * TILE,
               rows = min(TILE, (int)(T - row));
    const uint h = get_global_id(1), b = get_global_id(2), g = h / (H / G);
    find_visible(&seen, document_start, start_at, query_offset ? query_offset[offset_at + b] : 0, T,
                 S, b, row, rows);
    load_tile(key, q + q_at + ((ulong)b * T + row) * q_row + (ulong)h * HEAD_DIM, q_row, rows,
              scale * LOG2_E);
    transpose(query_t, key);
    for (uint m = 0; m < TILE; m++) {
        maximum[m] = NO_MAXIMUM;
        sum[m] = 0.0f;
    }
    clear(acc, TILE * PADDED);
    clear(score, TILE * TILE); // what lies beyond the diagonal is read before it is masked

    for (long j0 = seen.first_min / TILE * TILE; j0 <= seen.last_max; j0 += TILE) {
        const uint keys = (uint)min((long)TILE, seen.last_max + 1 - j0);
        const ulong at = (ulong)b * S + (ulong)j0;
        load_tile(key, k + k_at + at * k_row + (ulong)g * HEAD_DIM, k_row, keys, 1.0f);
        load_tile(value, v + v_at + at * v_row + (ulong)g * HEAD_DIM, v_row, keys, 1.0f);
        const bool cut = j0 < seen.first_max || j0 + (long)keys - 1 > seen.last_min;
        const long diagonal = j0 - seen.base; // key j is hidden from rows before j + diagonal
        for (uint j = 0; j < keys; j += ROWS) {
            const long begin = max((long)j + diagonal, 0L) / 16 * 16;
            if (begin < TILE)
                product(score + j * TILE + begin, TILE, key + j * PADDED, PADDED, 1,
                        query_t + begin, TILE, TILE - (uint)begin, HEAD_DIM, 0);
        }
        softmax_tile(score, keys, (int)j0, &seen, cut, maximum, sum, factor);
        for (uint m = 0; m < TILE; m++)
            if (factor[m] != 1.0f)
                for (uint d = 0; d < PADDED; d += 16)
                    store16(vload16(0, acc + m * PADDED + d) * factor[m], 0, acc + m * PADDED + d);
        for (uint m = 0; m < rows; m += ROWS) {
            const long depth = min((long)m + ROWS - diagonal, (long)keys);
            if (depth > 0)
                product(acc + m * PADDED, PADDED, score + m, 1, TILE, value, PADDED, PADDED,
                        (uint)depth, 1);
        }
    }
    for (uint m = 0; m < rows; m++) {
        store_row(out + out_at + ((ulong)b * T + row + m) * out_row + (ulong)h * HEAD_DIM,
                  acc + m * PADDED, sum[m] == 0.0f ? 0.0f : 1.0f / sum[m]);
        lse[lse_at + ((ulong)b * H + h) * T + row + m] = (maximum[m] + log2(sum[m])) * LN_2;
    }
}

// Where the partial dQ of a split begins within one (batch, key-value head): [H/G, T − first key,
// PADDED] each, because queries before the split's first key never see it.
INLINE ulong slice_start(ulong split, ulong split_keys, ulong T, ulong group) {
    return (split * T - split * (split - 1) / 2 * split_keys) * group * PADDED;
}

// forja_attention_backward_cpu: five products a tile. A work-item owns a part of the keys of one key-value
// head, so dK and dV are its own; what it adds to dQ goes to its slice of `parts`, which
// forja_attention_dq_merge_cpu sums. Scores are [rows, keys]: K and V are the transposed operands, made once.
//
// Launch    global (⌈S / split_keys⌉, G, B), S = T; split_keys is a multiple of TILE
__attribute__((reqd_work_group_size(1, 1, 1))) __kernel void forja_attention_backward_cpu(
    __global const storage_t *q, ulong q_at, __global const storage_t *k, ulong k_at,
    __global const storage_t *v, ulong v_at, __global const storage_t *d_out, ulong d_out_at,
    __global const float *lse, ulong lse_at, __global const float *delta, ulong delta_at,
    __global const int *document_start, ulong start_at, __global storage_t *dk, ulong dk_at,
    __global storage_t *dv, ulong dv_at, __global float *parts, ulong parts_at, uint split_keys, uint T,
    uint H, uint G, ulong q_row, ulong k_row, ulong v_row, ulong out_row, ulong dk_row, ulong dv_row,
    float scale) {
    float key[TILE * PADDED], key_t[PADDED * TILE], value_t[PADDED * TILE];
    float k_acc[TILE * PADDED], v_acc[TILE * PADDED], q_acc[ROWS * PADDED];
    float query[TILE * PADDED], d_rows[TILE * PADDED], score[TILE * TILE], gradient[TILE * TILE];
    visibility seen;
    const ulong splits = get_global_size(0);
    // The last parts see the fewest queries. PoCL gives a thread half of what is left: light parts
    // first leave more to share.
    const ulong split = splits - 1 - get_global_id(0);
    const uint g = get_global_id(1), b = get_global_id(2), group = H / G;
    const uint first_key = (uint)split * split_keys, end_key = min(T, first_key + split_keys);
    __global float *slice = parts + parts_at +
                            ((ulong)b * G + g) * slice_start(splits, split_keys, T, group) +
                            slice_start(split, split_keys, T, group);
    for (ulong i = 0; i < (ulong)(T - first_key) * group * PADDED; i += 16)
        STORE16(__global, (float16)0.0f, slice + i);
    clear(q_acc, ROWS * PADDED); // its rows past T are read, never stored

    for (uint j0 = first_key; j0 < end_key; j0 += TILE) {
        const uint keys = min(TILE, (int)(T - j0));
        const ulong at = (ulong)b * T + j0;
        load_tile(key, k + k_at + at * k_row + (ulong)g * HEAD_DIM, k_row, keys, 1.0f);
        transpose(key_t, key);
        load_tile(query, v + v_at + at * v_row + (ulong)g * HEAD_DIM, v_row, keys, 1.0f);
        transpose(value_t, query);
        clear(k_acc, TILE * PADDED);
        clear(v_acc, TILE * PADDED);
        clear(score, TILE * TILE);
        clear(gradient, TILE * TILE);

        for (uint row = j0; row < T; row += TILE) {
            const uint rows = min(TILE, (int)(T - row));
            find_visible(&seen, document_start, start_at, 0, T, T, b, row, rows);
            if (seen.first_min >= (long)j0 + keys)
                continue;
            const bool cut = (long)j0 < seen.first_max || (long)j0 + keys - 1 > seen.last_min;
            const long diagonal = (long)j0 - seen.base; // row m sees keys up to m − diagonal
            for (uint h = g * group; h < (g + 1) * group; h++) {
                const ulong from = (ulong)b * T + row, statistic = ((ulong)b * H + h) * T + row;
                load_tile(query, q + q_at + from * q_row + (ulong)h * HEAD_DIM, q_row, rows,
                          scale * LOG2_E);
                load_tile(d_rows, d_out + d_out_at + from * out_row + (ulong)h * HEAD_DIM, out_row,
                          rows, 1.0f);
                for (uint m = 0; m < rows; m += ROWS) {
                    const uint end = (uint)min(((long)m + ROWS - diagonal + 15) / 16 * 16, (long)TILE);
                    product(score + m * TILE, TILE, query + m * PADDED, PADDED, 1, key_t, TILE, end,
                            HEAD_DIM, 0);
                    product(gradient + m * TILE, TILE, d_rows + m * PADDED, PADDED, 1, value_t, TILE,
                            end, HEAD_DIM, 0);
                }
                for (uint m = 0; m < rows; m++) {
                    const float shift = lse[lse_at + statistic + m] * LOG2_E;
                    const float mean = delta[delta_at + statistic + m];
                    for (uint j = 0; j < TILE; j += 16) {
                        const int16 index =
                            (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) +
                            (int)(j0 + j);
                        float16 p = exp2_flush(vload16(0, score + m * TILE + j) - shift);
                        float16 ds = p * (vload16(0, gradient + m * TILE + j) - mean);
                        if (cut) {
                            const int16 visible = (index >= seen.first[m]) & (index <= seen.last[m]);
                            p = select((float16)0.0f, p, visible);
                            ds = select((float16)0.0f, ds, visible);
                        }
                        store16(p, 0, score + m * TILE + j);
                        store16(ds, 0, gradient + m * TILE + j);
                    }
                }
                for (uint j = 0; j < keys; j += ROWS) {
                    const uint begin = (uint)max((long)j + diagonal, 0L);
                    if (begin >= rows)
                        break;
                    product(v_acc + j * PADDED, PADDED, score + begin * TILE + j, 1, TILE,
                            d_rows + begin * PADDED, PADDED, PADDED, rows - begin, 1);
                    product(k_acc + j * PADDED, PADDED, gradient + begin * TILE + j, 1, TILE,
                            query + begin * PADDED, PADDED, PADDED, rows - begin, 1);
                }
                __global float *dq =
                    slice + ((ulong)(h - g * group) * (T - first_key) + row - first_key) * PADDED;
                for (uint m = 0; m < rows; m += ROWS) {
                    const long depth = min((long)m + ROWS - diagonal, (long)keys);
                    const uint count = min(ROWS, (int)(rows - m)) * PADDED;
                    if (depth <= 0)
                        continue;
                    for (uint i = 0; i < count; i += 16)
                        store16(vload16(0, dq + m * PADDED + i), 0, q_acc + i);
                    product(q_acc, PADDED, gradient + m * TILE, TILE, 1, key, PADDED, PADDED, (uint)depth,
                            1);
                    for (uint i = 0; i < count; i += 16)
                        STORE16(__global, vload16(0, q_acc + i), dq + m * PADDED + i);
                }
            }
        }
        for (uint j = 0; j < keys; j++) {
            store_row(dk + dk_at + (at + j) * dk_row + (ulong)g * HEAD_DIM, k_acc + j * PADDED, LN_2);
            store_row(dv + dv_at + (at + j) * dv_row + (ulong)g * HEAD_DIM, v_acc + j * PADDED, 1.0f);
        }
    }
}

// forja_attention_dq_merge_cpu: dQ = scale · sum of the splits' parts, in ascending order.
// Launch    global (⌈T / TILE⌉, H, B)
__attribute__((reqd_work_group_size(1, 1, 1))) __kernel void
forja_attention_dq_merge_cpu(__global const float *parts, ulong parts_at, __global storage_t *dq,
                             ulong dq_at, uint splits, uint split_keys, uint T, uint H, uint G,
                             ulong dq_row, float scale) {
    const uint row = get_global_id(0) * TILE, h = get_global_id(1), b = get_global_id(2);
    const uint group = H / G, g = h / group, r = h % group;
    parts += parts_at + ((ulong)b * G + g) * slice_start(splits, split_keys, T, group);
    for (uint m = row; m < min(row + TILE, T); m++) {
        float acc[PADDED];
        clear(acc, PADDED);
        for (uint s = 0; s * split_keys <= m && s < splits; s++) {
            const uint first_key = s * split_keys;
            __global const float *part = parts + slice_start(s, split_keys, T, group) +
                                         ((ulong)r * (T - first_key) + m - first_key) * PADDED;
            for (uint d = 0; d < PADDED; d += 16)
                store16(vload16(0, acc + d) + vload16(0, part + d), 0, acc + d);
        }
        store_row(dq + dq_at + ((ulong)b * T + m) * dq_row + (ulong)h * HEAD_DIM, acc, scale);
    }
}
