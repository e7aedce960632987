// Attention for any head width, one work-item per row; and delta, which every variant's backward
// reads.
//
//   out = softmax(scale · Q Kᵀ + mask) V; key j is visible to row i of batch b when
//   document_start[b, i] ≤ j ≤ query_offset[b] + i, and j < S
//
// Legend    B batch, T query length, S key length, H heads, G key-value heads, D = HEAD_DIM
//           Q, out [B, T, H, D]; K, V [B, S, G, D]; positions are *_row elements apart
//           lse [B, H, T] f32, natural logarithm; delta [B, H, T] f32 = rowsum(dO ∘ O)
//           document_start [B, T] and query_offset [B] are optional: NULL means 0
// Precision storage_t in memory, float32 in every sum
// Writes    outputs are overwritten
// Twin      cpu/attention.c; tiled variants in attention_cpu.cl and attention_gpu.cl

// Online softmax (Milakov and Gimelshein, 2018, arXiv:1805.02867). The maximum starts finite,
// because exp(-INFINITY − -INFINITY) is NaN.
#define NO_MAXIMUM (-1e30f)

// The first and the last key that row i sees; last < first when there is none.
static inline long first_visible(__global const int *document_start, ulong start_at, uint T, uint b,
                                 uint i) {
    return document_start ? max(document_start[start_at + (ulong)b * T + i], 0) : 0;
}
static inline long last_visible(__global const int *query_offset, ulong offset_at, uint S, uint b,
                                uint i) {
    long last = (long)i + (query_offset ? query_offset[offset_at + b] : 0);
    return min(last, (long)S - 1);
}

// forja_attention_forward_ref
// Launch    global (T, H, B), any local size
__kernel void forja_attention_forward_ref(
    __global const storage_t *q, ulong q_at, __global const storage_t *k, ulong k_at,
    __global const storage_t *v, ulong v_at, __global storage_t *out, ulong out_at,
    __global float *lse, ulong lse_at, __global const int *document_start, ulong start_at,
    __global const int *query_offset, ulong offset_at, uint T, uint S, uint H, uint G, ulong q_row,
    ulong k_row, ulong v_row, ulong out_row, float scale) {
    const uint i = get_global_id(0), h = get_global_id(1), b = get_global_id(2), g = h / (H / G);
    const ulong row = (ulong)b * T + i;
    q += q_at + row * q_row + (ulong)h * HEAD_DIM;
    const long first = first_visible(document_start, start_at, T, b, i);
    const long last = last_visible(query_offset, offset_at, S, b, i);
    float acc[HEAD_DIM];
    for (int d = 0; d < HEAD_DIM; d++)
        acc[d] = 0.0f;
    float high = NO_MAXIMUM, sum = 0.0f;
    for (long j = first; j <= last; j++) {
        __global const storage_t *key = k + k_at + ((ulong)b * S + j) * k_row + (ulong)g * HEAD_DIM;
        __global const storage_t *value =
            v + v_at + ((ulong)b * S + j) * v_row + (ulong)g * HEAD_DIM;
        float s = 0.0f;
        for (int d = 0; d < HEAD_DIM; d++)
            s = fma(storage_load(q[d]), storage_load(key[d]), s);
        s *= scale;
        const float top = s > high ? s : high, shrink = exp(high - top), p = exp(s - top);
        high = top;
        sum = sum * shrink + p;
        for (int d = 0; d < HEAD_DIM; d++)
            acc[d] = fma(p, storage_load(value[d]), acc[d] * shrink);
    }
    out += out_at + row * out_row + (ulong)h * HEAD_DIM;
    for (int d = 0; d < HEAD_DIM; d++)
        out[d] = storage_store(sum == 0.0f ? 0.0f : acc[d] / sum);
    lse[lse_at + ((ulong)b * H + h) * T + i] = high + log(sum);
}

// forja_attention_delta: delta = rowsum(dO ∘ O)
// Launch    global (T, H, B), any local size
__kernel void forja_attention_delta(__global const storage_t *out, ulong out_at,
                                    __global const storage_t *d_out, ulong d_out_at,
                                    __global float *delta, ulong delta_at, uint T, uint H,
                                    ulong out_row) {
    const uint i = get_global_id(0), h = get_global_id(1), b = get_global_id(2);
    const ulong at = ((ulong)b * T + i) * out_row + (ulong)h * HEAD_DIM;
    float sum = 0.0f;
    for (int d = 0; d < HEAD_DIM; d++)
        sum = fma(storage_load(out[out_at + at + d]), storage_load(d_out[d_out_at + at + d]), sum);
    delta[delta_at + ((ulong)b * H + h) * T + i] = sum;
}

// forja_attention_dq_ref: with P = exp(scale · Q Kᵀ − lse) and dS = P ∘ (dO Vᵀ − delta),
//   dQ = scale · dS K
// Launch    global (T, H, B), any local size
__kernel void
forja_attention_dq_ref(__global const storage_t *q, ulong q_at, __global const storage_t *k,
                       ulong k_at, __global const storage_t *v, ulong v_at,
                       __global const storage_t *d_out, ulong d_out_at, __global const float *lse,
                       ulong lse_at, __global const float *delta, ulong delta_at,
                       __global const int *document_start, ulong start_at, __global storage_t *dq,
                       ulong dq_at, uint T, uint H, uint G, ulong q_row, ulong k_row, ulong v_row,
                       ulong out_row, ulong dq_row, float scale) {
    const uint i = get_global_id(0), h = get_global_id(1), b = get_global_id(2), g = h / (H / G);
    const ulong row = (ulong)b * T + i, statistic = ((ulong)b * H + h) * T + i;
    q += q_at + row * q_row + (ulong)h * HEAD_DIM;
    d_out += d_out_at + row * out_row + (ulong)h * HEAD_DIM;
    float acc[HEAD_DIM];
    for (int d = 0; d < HEAD_DIM; d++)
        acc[d] = 0.0f;
    for (long j = first_visible(document_start, start_at, T, b, i); j <= (long)i; j++) {
        __global const storage_t *key = k + k_at + ((ulong)b * T + j) * k_row + (ulong)g * HEAD_DIM;
        __global const storage_t *value =
            v + v_at + ((ulong)b * T + j) * v_row + (ulong)g * HEAD_DIM;
        float s = 0.0f, dp = 0.0f;
        for (int d = 0; d < HEAD_DIM; d++) {
            s = fma(storage_load(q[d]), storage_load(key[d]), s);
            dp = fma(storage_load(d_out[d]), storage_load(value[d]), dp);
        }
        const float ds =
            exp(s * scale - lse[lse_at + statistic]) * (dp - delta[delta_at + statistic]);
        for (int d = 0; d < HEAD_DIM; d++)
            acc[d] = fma(ds, storage_load(key[d]), acc[d]);
    }
    for (int d = 0; d < HEAD_DIM; d++)
        dq[dq_at + row * dq_row + (ulong)h * HEAD_DIM + d] = storage_store(acc[d] * scale);
}

// forja_attention_dkv_ref: dV = Pᵀ dO, dK = scale · dSᵀ Q, summed over the heads of the group
// Launch    global (S = T, G, B), any local size
__kernel void forja_attention_dkv_ref(
    __global const storage_t *q, ulong q_at, __global const storage_t *k, ulong k_at,
    __global const storage_t *v, ulong v_at, __global const storage_t *d_out, ulong d_out_at,
    __global const float *lse, ulong lse_at, __global const float *delta, ulong delta_at,
    __global const int *document_start, ulong start_at, __global storage_t *dk, ulong dk_at,
    __global storage_t *dv, ulong dv_at, uint T, uint H, uint G, ulong q_row, ulong k_row,
    ulong v_row, ulong out_row, ulong dk_row, ulong dv_row, float scale) {
    const uint j = get_global_id(0), g = get_global_id(1), b = get_global_id(2), group = H / G;
    const ulong row = (ulong)b * T + j;
    k += k_at + row * k_row + (ulong)g * HEAD_DIM;
    v += v_at + row * v_row + (ulong)g * HEAD_DIM;
    float k_acc[HEAD_DIM], v_acc[HEAD_DIM];
    for (int d = 0; d < HEAD_DIM; d++)
        k_acc[d] = v_acc[d] = 0.0f;
    for (uint h = g * group; h < (g + 1) * group; h++)
        for (uint i = j; i < T; i++) {
            if (first_visible(document_start, start_at, T, b, i) > (long)j)
                continue;
            const ulong at = (ulong)b * T + i, statistic = ((ulong)b * H + h) * T + i;
            __global const storage_t *query = q + q_at + at * q_row + (ulong)h * HEAD_DIM;
            __global const storage_t *gradient =
                d_out + d_out_at + at * out_row + (ulong)h * HEAD_DIM;
            float s = 0.0f, dp = 0.0f;
            for (int d = 0; d < HEAD_DIM; d++) {
                s = fma(storage_load(query[d]), storage_load(k[d]), s);
                dp = fma(storage_load(gradient[d]), storage_load(v[d]), dp);
            }
            const float p = exp(s * scale - lse[lse_at + statistic]);
            const float ds = p * (dp - delta[delta_at + statistic]);
            for (int d = 0; d < HEAD_DIM; d++) {
                v_acc[d] = fma(p, storage_load(gradient[d]), v_acc[d]);
                k_acc[d] = fma(ds, storage_load(query[d]), k_acc[d]);
            }
        }
    for (int d = 0; d < HEAD_DIM; d++) {
        dk[dk_at + row * dk_row + (ulong)g * HEAD_DIM + d] = storage_store(k_acc[d] * scale);
        dv[dv_at + row * dv_row + (ulong)g * HEAD_DIM + d] = storage_store(v_acc[d]);
    }
}

// forja_attention_decode_cpu: T = 1 on a CPU runtime. One work-item streams K and V of one
// key-value head once, in runs of 64 keys, for the GROUP = H / G heads that read it; it is here
// because it has no tile. Launch    global (1, G, B), local (1, 1, 1)
#ifdef GROUP
#define RUN 64

#ifdef STORAGE_BF16
static inline float16 storage_load16(__global const storage_t *p) {
    return as_float16(convert_uint16(vload16(0, p)) << 16);
}
static inline float4 storage_load4(__global const storage_t *p) {
    return as_float4(convert_uint4(vload4(0, p)) << 16);
}
#else
static inline float16 storage_load16(__global const storage_t *p) {
    return vload16(0, p);
}
static inline float4 storage_load4(__global const storage_t *p) {
    return vload4(0, p);
}
#endif

__attribute__((reqd_work_group_size(1, 1, 1))) __kernel void forja_attention_decode_cpu(
    __global const storage_t *q, ulong q_at, __global const storage_t *k, ulong k_at,
    __global const storage_t *v, ulong v_at, __global storage_t *out, ulong out_at,
    __global float *lse, ulong lse_at, __global const int *document_start, ulong start_at,
    __global const int *query_offset, ulong offset_at, uint T, uint S, uint H, uint G, ulong q_row,
    ulong k_row, ulong v_row, ulong out_row, float scale) {
    const uint g = get_global_id(1), b = get_global_id(2);
    const long last = last_visible(query_offset, offset_at, S, b, 0);
    const ulong head_at = (ulong)g * GROUP * HEAD_DIM;
    float query[GROUP * HEAD_DIM], acc[GROUP * HEAD_DIM], p[GROUP][RUN], high[GROUP], sum[GROUP];
    for (int d = 0; d < GROUP * HEAD_DIM; d++) {
        query[d] = storage_load(q[q_at + b * q_row + head_at + d]) * scale;
        acc[d] = 0.0f;
    }
    for (int r = 0; r < GROUP; r++) {
        high[r] = NO_MAXIMUM;
        sum[r] = 0.0f;
    }
    for (long j0 = first_visible(document_start, start_at, T, b, 0); j0 <= last; j0 += RUN) {
        const int keys = (int)min((long)RUN, last + 1 - j0);
        __global const storage_t *key = k + k_at + ((ulong)b * S + j0) * k_row + g * HEAD_DIM;
        __global const storage_t *value = v + v_at + ((ulong)b * S + j0) * v_row + g * HEAD_DIM;
        for (int j = 0; j < keys; j++, key += k_row)
            for (int r = 0; r < GROUP; r++) {
                // Four chains of additions, so that none waits on another; float4 and not float16,
                // whose halves Oclgrind takes for uninitialised.
                float4 part[4] = {(float4)0.0f, (float4)0.0f, (float4)0.0f, (float4)0.0f};
                int d = 0;
                for (; d + 16 <= HEAD_DIM; d += 16)
                    for (int c = 0; c < 4; c++)
                        part[c] = fma(vload4(c, query + r * HEAD_DIM + d),
                                      storage_load4(key + d + 4 * c), part[c]);
                float s = dot((part[0] + part[1]) + (part[2] + part[3]), (float4)1.0f);
                for (; d < HEAD_DIM; d++)
                    s = fma(query[r * HEAD_DIM + d], storage_load(key[d]), s);
                p[r][j] = s;
            }
        for (int r = 0; r < GROUP; r++) {
            float top = high[r];
            for (int j = 0; j < keys; j++)
                top = p[r][j] > top ? p[r][j] : top;
            const float shrink = exp(high[r] - top);
            high[r] = top;
            sum[r] *= shrink;
            for (int j = 0; j < keys; j++) {
                p[r][j] = exp(p[r][j] - top);
                sum[r] += p[r][j];
            }
            for (int d = 0; d < HEAD_DIM; d++)
                acc[r * HEAD_DIM + d] *= shrink;
        }
        for (int j = 0; j < keys; j++, value += v_row)
            for (int r = 0; r < GROUP; r++) {
                float *row = acc + r * HEAD_DIM;
                int d = 0;
                for (; d + 16 <= HEAD_DIM; d += 16)
                    vstore16(fma((float16)p[r][j], storage_load16(value + d), vload16(0, row + d)),
                             0, row + d);
                for (; d < HEAD_DIM; d++)
                    row[d] = fma(p[r][j], storage_load(value[d]), row[d]);
            }
    }
    for (int r = 0; r < GROUP; r++) {
        for (int d = 0; d < HEAD_DIM; d++)
            out[out_at + b * out_row + head_at + r * HEAD_DIM + d] =
                storage_store(sum[r] == 0.0f ? 0.0f : acc[r * HEAD_DIM + d] / sum[r]);
        lse[lse_at + (ulong)b * H + g * GROUP + r] = high[r] + log(sum[r]);
    }
}
#endif
