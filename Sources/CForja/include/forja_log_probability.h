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
    /// Of a vocabulary shared by several ranks the logits are those of the labels vocabulary_start ..<
    /// vocabulary_start + vocabulary, and `label_logit`, [R] f32, is present instead of `log_probability` and `gradient`:
    ///
    ///     label_logit[r] = s · logits[r, label[r] − vocabulary_start]     (0 where the label is none of these)
    ///
    /// It, `lse` (then required) and `entropy` are what forja_log_probability_combine takes.
    uint64_t vocabulary_start;
    forja_span label_logit;
} forja_log_probability_args;

forja_status forja_log_probability(forja_queue *queue, const forja_log_probability_args *args);

/// Joins what the parts of a shared vocabulary gave, parts added in ascending order:
///
///     lse[r] = log Σ_p exp(lse_p[r])
///     log_probability[r] = Σ_p label_logit_p[r] − lse[r]      (0 where label < 0, NaN where label ≥ vocabulary)
///     entropy[r] = lse[r] − Σ_p exp(lse_p[r] − lse[r]) · (lse_p[r] − entropy_p[r])
///
/// forja_log_probability_backward with that lse gives each part's share of the gradient.
typedef struct forja_log_probability_combine_args {
    forja_span parts; /// [P, K, R] f32: of each part its lse, label_logit and, where `entropy` is present, entropy; K is 2 or 3.
    forja_span labels;          /// [R] i32.
    forja_span log_probability; /// [R] f32.
    forja_span lse;             /// [R] f32, optional.
    forja_span entropy;         /// [R] f32, optional.
    uint64_t rows, part_count;
    uint64_t vocabulary; /// of all parts.
} forja_log_probability_combine_args;
forja_status forja_log_probability_combine(forja_queue *queue,
                                           const forja_log_probability_combine_args *args);

/// The gradient alone, for losses whose weights depend on the log-probabilities: logits (computed
/// again) become dLogits in place, from `lse` and `gradient`, both required; the other outputs are ignored. With a shared
/// vocabulary `lse` is that of the whole: a label that is none of this part's leaves −s · gradient · p everywhere.
forja_status forja_log_probability_backward(forja_queue *queue,
                                            const forja_log_probability_args *args);

#ifdef __cplusplus
}
#endif
