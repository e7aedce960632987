/// The bandwidth-bound operations of a decoder block. Tensors are row-major; N counts rows.
/// `dtype` (f32 or bf16) is the storage type of activations and weights; statistics and parameter
/// gradients are f32, and so is every sum.
#pragma once

#include "forja_queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/// y[n, :] = table[ids[n], :]. Also gathers rows of any matrix. Ids outside [0, table_rows) give NaN rows.
///
/// Of a table shared by several ranks a call sees the rows first_row ..< first_row + table_rows: ids of the others give
/// rows of zeros, so that the sum of all ranks' y is that of the whole table; ids outside [0, total_rows) give NaN rows.
typedef struct forja_embedding_args {
    forja_dtype dtype;
    forja_span table; /// [table_rows, width]
    forja_span ids;   /// [N] i32
    forja_span y;     /// [N, width]
    uint64_t rows, width, table_rows;
    uint64_t first_row, total_rows; /// of the whole table; 0 and 0 when `table` is all of it.
} forja_embedding_args;
forja_status forja_embedding_forward(forja_queue *queue, const forja_embedding_args *args);

/// d_table[v, :] (+)= Σ over n with ids[n] = first_row + v of dy[n, :], n ascending. Other ids add nothing.
typedef struct forja_embedding_backward_args {
    forja_dtype dtype;  /// of dy
    forja_span dy, ids; /// [N, width], [N] i32
    forja_span d_table; /// [table_rows, width] f32
    uint64_t rows, width, table_rows;
    uint64_t first_row; /// of the whole table, as above.
    bool accumulate;
} forja_embedding_backward_args;
forja_status forja_embedding_backward(forja_queue *queue,
                                      const forja_embedding_backward_args *args);

/// y = x · rstd · weight, rstd = 1 / √(mean of x² + epsilon), per row. Zhang and Sennrich, 2019,
/// arXiv:1910.07467.
typedef struct forja_rmsnorm_args {
    forja_dtype dtype;
    forja_span x, weight, y; /// [N, C], [C], [N, C]
    forja_span rstd;         /// [N] f32
    uint64_t rows, width;
    float epsilon;
} forja_rmsnorm_args;
forja_status forja_rmsnorm_forward(forja_queue *queue, const forja_rmsnorm_args *args);

/// dx (+)= rstd · (w·dy − x · rstd² · mean(w·dy·x)); d_weight (+)= Σ over rows of dy · x · rstd.
typedef struct forja_rmsnorm_backward_args {
    forja_dtype dtype;
    forja_span x, weight, rstd, dy; /// as in the forward pass; dy [N, C]
    forja_span dx;                  /// [N, C]; may be the buffer that already holds the residual's gradient
    forja_span d_weight;            /// [C] f32
    uint64_t rows, width;
    bool accumulate_dx, accumulate_d_weight;
} forja_rmsnorm_backward_args;
forja_status forja_rmsnorm_backward(forja_queue *queue, const forja_rmsnorm_backward_args *args);
uint64_t forja_rmsnorm_backward_workspace_bytes(const forja_device *device,
                                                const forja_rmsnorm_backward_args *args);

/// Rotary embedding in place over the first `heads` heads of each row, half-split (Hugging Face) layout:
/// with θ the angle of pair i at the row's position and h = D/2,
///     x[i] ← x[i]·cos θ − x[i + h]·sin θ,   x[i + h] ← x[i + h]·cos θ + x[i]·sin θ.
/// `inverse` turns by −θ: the backward pass. Su and others, 2021, arXiv:2104.09864.
typedef struct forja_rope_args {
    forja_dtype dtype;
    forja_span x;         /// [N, ≥ heads · head_dim], rows `row_stride` elements apart
    forja_span cosine, sine; /// [position_count, head_dim / 2] f32 each
    forja_span positions; /// [N] i32, optional: n mod sequence_length. Clamped to the table.
    uint64_t rows, sequence_length, row_stride, position_count;
    uint32_t heads, head_dim;
    bool inverse;
} forja_rope_args;
forja_status forja_rope(forja_queue *queue, const forja_rope_args *args);

/// y = silu(gate) · up where x [N, 2F] holds gate in columns [0, F) and up in [F, 2F). Shazeer, 2020,
/// arXiv:2002.05202.
typedef struct forja_swiglu_args {
    forja_dtype dtype;
    forja_span x, y; /// [N, 2F], [N, F]
    uint64_t rows, width; /// width = F
} forja_swiglu_args;
forja_status forja_swiglu_forward(forja_queue *queue, const forja_swiglu_args *args);

/// dx [N, 2F] overwritten, from x and dy; dx may be the buffer of x.
typedef struct forja_swiglu_backward_args {
    forja_dtype dtype;
    forja_span x, dy, dx; /// [N, 2F], [N, F], [N, 2F]
    uint64_t rows, width;
} forja_swiglu_backward_args;
forja_status forja_swiglu_backward(forja_queue *queue, const forja_swiglu_backward_args *args);

/// y = a + b; y may be a or b.
typedef struct forja_add_args {
    forja_dtype dtype;
    forja_span a, b, y;
    uint64_t count;
} forja_add_args;
forja_status forja_add(forja_queue *queue, const forja_add_args *args);

/// Row softmax: y = exp(x − max) / Σ exp(x − max); a row whose every x is −inf gives 0.
typedef struct forja_softmax_args {
    forja_dtype dtype;
    forja_span x, y; /// [N, C]; y may be x
    uint64_t rows, width;
} forja_softmax_args;
forja_status forja_softmax_forward(forja_queue *queue, const forja_softmax_args *args);

/// dx = y · (dy − Σ dy·y), per row; dx may be dy.
typedef struct forja_softmax_backward_args {
    forja_dtype dtype;
    forja_span y, dy, dx;
    uint64_t rows, width;
} forja_softmax_backward_args;
forja_status forja_softmax_backward(forja_queue *queue, const forja_softmax_backward_args *args);

/// destination[i] = (to) source[i], rounding to nearest even; from and to in {f32, bf16, f16}, different or same.
typedef struct forja_cast_args {
    forja_dtype from, to;
    forja_span source, destination;
    uint64_t count;
} forja_cast_args;
forja_status forja_cast(forja_queue *queue, const forja_cast_args *args);

/// out[0] = scale · Σ x[i] (+ out[0] when `accumulate`), in a fixed order; x and out f32.
typedef struct forja_sum_args {
    forja_span x, out;
    uint64_t count;
    float scale;
    bool accumulate;
} forja_sum_args;
forja_status forja_sum(forja_queue *queue, const forja_sum_args *args);
uint64_t forja_sum_workspace_bytes(const forja_device *device, const forja_sum_args *args);

#ifdef __cplusplus
}
#endif
