/// Gradient norm, clipping and AdamW, driven by scalars that live on the device.
#pragma once

#include "forja_queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Places in the step-scalar buffer ([FORJA_STEP_SCALAR_COUNT] f32). The host writes the first group before
/// a step; `forja_gradient_norm` writes the second; one read of the buffer per step reports them.
enum {
    FORJA_STEP_LEARNING_RATE = 0,
    FORJA_STEP_BIAS_CORRECTION1 = 1, /// 1 − β1ⁿ for update number n
    FORJA_STEP_BIAS_CORRECTION2 = 2, /// 1 − β2ⁿ
    FORJA_STEP_GRADIENT_SCALE = 3,   /// what sums must be multiplied by: 1 / label count
    FORJA_STEP_MAX_NORM = 4,         /// clip threshold after scaling; ≤ 0: no clipping
    FORJA_STEP_LOSS_SUM = 8,         /// Σ of −log-probability over the step's labels
    FORJA_STEP_GRADIENT_NORM = 9,    /// ‖gradient‖ · GRADIENT_SCALE, before clipping
    FORJA_STEP_UPDATE_SCALE = 10,    /// GRADIENT_SCALE · min(1, MAX_NORM / (norm + 1e-6))
    FORJA_STEP_IS_FINITE = 11,       /// 1, or 0 when norm or loss is NaN or infinite
    FORJA_STEP_SCALAR_COUNT = 16,
};

/// Elements that one partial sum of squares covers.
enum { FORJA_SUM_SQUARES_CHUNK = 65536 };

/// partials[i] = Σ of x² over chunk i of FORJA_SUM_SQUARES_CHUNK elements, for ⌈count / CHUNK⌉ chunks.
typedef struct forja_sum_squares_args {
    forja_span x;        /// [count] f32
    forja_span partials; /// f32
    uint64_t count;
} forja_sum_squares_args;
forja_status forja_sum_squares(forja_queue *queue, const forja_sum_squares_args *args);

/// Adds the partials in order (compensated) and fills the second group of the step scalars but LOSS_SUM, which it reads.
typedef struct forja_gradient_norm_args {
    forja_span partials; /// [partial_count] f32
    forja_span scalars;  /// [FORJA_STEP_SCALAR_COUNT] f32
    uint64_t partial_count;
} forja_gradient_norm_args;
forja_status forja_gradient_norm(forja_queue *queue, const forja_gradient_norm_args *args);

/// One AdamW update with decoupled decay, Loshchilov and Hutter, 2019, arXiv:1711.05101, eq. as in PyTorch:
///
///     g ← UPDATE_SCALE · gradient
///     w ← w · (1 − lr · weight_decay)
///     m ← β1·m + (1 − β1)·g;   v ← β2·v + (1 − β2)·g²
///     w ← w − (lr / BIAS_CORRECTION1) · m / (√v / √BIAS_CORRECTION2 + epsilon)
///
/// Does nothing at all when IS_FINITE is 0.
typedef struct forja_adamw_args {
    forja_span weight;      /// [count] f32 master
    forja_span weight_bf16; /// [count] bf16 copy rewritten from the master, optional
    forja_span gradient, m, v; /// [count] f32
    forja_span scalars;
    uint64_t count;
    float beta1, beta2, epsilon, weight_decay;
} forja_adamw_args;
forja_status forja_adamw(forja_queue *queue, const forja_adamw_args *args);

#ifdef __cplusplus
}
#endif
