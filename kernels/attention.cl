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

// forja_attention_decode_cpu: T = 1 on a CPU runtime. One work-item streams K and V of one head in
// runs of 16 keys; it is here because it needs no tile. Launch    global (1, H, B), local (1, 1, 1)
#define RUN 16

#ifdef STORAGE_BF16
static inline float4 storage_load4(__global const storage_t *p) {
    return as_float4(convert_uint4(vload4(0, p)) << 16);
}
#else
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
    const uint h = get_global_id(1), b = get_global_id(2), g = h / (H / G);
    const long last = last_visible(query_offset, offset_at, S, b, 0);
    float query[HEAD_DIM], acc[HEAD_DIM], p[RUN];
    for (int d = 0; d < HEAD_DIM; d++) {
        query[d] = storage_load(q[q_at + b * q_row + (ulong)h * HEAD_DIM + d]) * scale;
        acc[d] = 0.0f;
    }
    float high = NO_MAXIMUM, sum = 0.0f;
    for (long j0 = first_visible(document_start, start_at, T, b, 0); j0 <= last; j0 += RUN) {
        const int keys = (int)min((long)RUN, last + 1 - j0);
        const ulong at = (ulong)b * S + j0;
        float top = high;
        for (int j = 0; j < keys; j++) {
            __global const storage_t *key = k + k_at + (at + j) * k_row + (ulong)g * HEAD_DIM;
            // Eight partial sums: one chain of dependent additions would wait on each.
            float4 even = 0.0f, odd = 0.0f;
            int d = 0;
            for (; d + 8 <= HEAD_DIM; d += 8) {
                even = fma(vload4(0, query + d), storage_load4(key + d), even);
                odd = fma(vload4(0, query + d + 4), storage_load4(key + d + 4), odd);
            }
            float s = dot(even + odd, (float4)1.0f);
            for (; d < HEAD_DIM; d++)
                s = fma(query[d], storage_load(key[d]), s);
            p[j] = s;
            top = s > top ? s : top;
        }
        const float shrink = exp(high - top);
        high = top;
        sum *= shrink;
        if (shrink != 1.0f)
            for (int d = 0; d < HEAD_DIM; d++)
                acc[d] *= shrink;
        for (int j = 0; j < keys; j++) {
            p[j] = exp(p[j] - top);
            sum += p[j];
            __global const storage_t *value = v + v_at + (at + j) * v_row + (ulong)g * HEAD_DIM;
            int d = 0;
            for (; d + 4 <= HEAD_DIM; d += 4)
                vstore4(fma((float4)p[j], storage_load4(value + d), vload4(0, acc + d)), 0,
                        acc + d);
            for (; d < HEAD_DIM; d++)
                acc[d] = fma(p[j], storage_load(value[d]), acc[d]);
        }
    }
    for (int d = 0; d < HEAD_DIM; d++)
        out[out_at + b * out_row + (ulong)h * HEAD_DIM + d] =
            storage_store(sum == 0.0f ? 0.0f : acc[d] / sum);
    lse[lse_at + (ulong)b * H + h] = high + log(sum);
}
