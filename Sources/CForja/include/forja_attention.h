/// Causal grouped-query attention that never stores the [T, T] matrix.
#pragma once

#include "forja_queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/// out = softmax(scale · Q Kᵀ + mask) V, per query head; query head h reads key-value head h / (H/G).
///
/// Shapes: Q, out [B, T, H, D]; K, V [B, S, G, D]. Heads of one position are contiguous; positions are
/// `*_row_stride` elements apart (so Q, K, V may lie in one fused [B, T, H + 2G, D] tensor); batches
/// are T (or S) rows apart. Key j is visible to query row i of batch b when
///     document_start[b, i] ≤ j ≤ query_offset[b] + i.
/// With query_offset absent (0), T ≤ S: row i reads keys up to i, and training uses S = T. Both are below 2^31.
/// The last visible key (j = query_offset + i) is always inside the row's own document.
///
/// `lse` [B, H, T] f32 is the log-sum-exp of the scaled scores (natural logarithm); the backward pass reads it.
/// Reference: Dao, 2023, arXiv:2307.08691; online softmax, Milakov and Gimelshein, 2018, arXiv:1805.02867.
typedef struct forja_attention_args {
    forja_dtype dtype; /// f32 or bf16, for Q, K, V and out; sums are f32.
    forja_span q, k, v, out;
    forja_span lse;
    forja_span document_start; /// [B, T] i32, optional: 0.
    forja_span query_offset;   /// [B] i32, optional: 0.
    uint32_t batch, query_length, key_length;
    uint32_t heads, key_value_heads, head_dim; /// head_dim ≤ 256, even.
    uint64_t q_row_stride, k_row_stride, v_row_stride, out_row_stride;
    float scale;
} forja_attention_args;

forja_status forja_attention_forward(forja_queue *queue, const forja_attention_args *args);
uint64_t forja_attention_forward_workspace_bytes(const forja_device *device,
                                                 const forja_attention_args *args);

/// Gradients of `forja_attention_forward` with respect to Q, K and V, overwritten.
/// dQ, dK, dV have the shapes of Q, K, V with row strides of their own; query_offset must be absent and S = T.
typedef struct forja_attention_backward_args {
    forja_attention_args forward; /// `out` and `lse` as the forward pass wrote them.
    forja_span d_out;             /// [B, T, H, D], row stride `forward.out_row_stride`.
    forja_span dq, dk, dv;
    uint64_t dq_row_stride, dk_row_stride, dv_row_stride;
} forja_attention_backward_args;

forja_status forja_attention_backward(forja_queue *queue,
                                      const forja_attention_backward_args *args);
uint64_t forja_attention_backward_workspace_bytes(const forja_device *device,
                                                  const forja_attention_backward_args *args);

/// Appends keys (or values) to a cache: cache[b, position[b] + t, :] = source[b, t, :].
/// source [B, T, W] with `source_row_stride`; cache [B, S, W] dense; position [B] i32 (0 ≤ position + T ≤ S is
/// the caller's to keep; rows past S are dropped).
typedef struct forja_cache_append_args {
    forja_dtype dtype;
    forja_span source, cache, position;
    uint32_t batch, rows, capacity, width;
    uint64_t source_row_stride;
} forja_cache_append_args;

forja_status forja_cache_append(forja_queue *queue, const forja_cache_append_args *args);

#ifdef __cplusplus
}
#endif
