/// Log-probability of labels under a row of logits: the one loss core.
#pragma once

#include "forja_queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/// For each row r of logits [R, V], with s = logit_scale:
///
///     lse[r] = log Σ_v exp(s · logits[r, v])
///     log_probability[r] = s · logits[r, label[r]] − lse[r]          (0 where label < 0)
///     entropy[r] = lse[r] − Σ_v p_v · s · logits[r, v]
///
/// and, when `gradient` is present (dLoss/dLogProbability, [R] f32), the logits are replaced by
///
///     dLogits[r, v] = s · gradient[r] · (1[v = label[r]] − p_v)        (0 where label < 0)
///
/// so that a loss whose weights are known beforehand needs one pass over each row.
typedef struct forja_log_probability_args {
    forja_dtype dtype; /// of the logits, f32 or bf16.
    forja_span logits; /// [R, V], rows `row_stride` elements apart; overwritten when `gradient` is present.
    forja_span labels; /// [R] i32; negative: the row carries no label. Labels ≥ V are the caller's to refuse.
    forja_span log_probability; /// [R] f32.
    forja_span lse;             /// [R] f32, optional.
    forja_span entropy;         /// [R] f32, optional.
    forja_span gradient;        /// [R] f32, optional.
    uint64_t rows, vocabulary, row_stride;
    float logit_scale;
} forja_log_probability_args;

forja_status forja_log_probability(forja_queue *queue, const forja_log_probability_args *args);

/// The gradient alone, for losses whose weights depend on the log-probabilities: logits (computed
/// again) become dLogits in place, from `lse` and `gradient`, both required; the other outputs are ignored.
forja_status forja_log_probability_backward(forja_queue *queue,
                                            const forja_log_probability_args *args);

#ifdef __cplusplus
}
#endif
