import CForja
import ForjaCore

extension StepGraph {
    /// Label log-probabilities of rows of logits; with `gradient` the logits become their own gradient.
    package func recordLogProbability(
        logits: Tensor, labels: Tensor, logProbability: Tensor, lse: Tensor? = nil,
        entropy: Tensor? = nil, gradient: Tensor? = nil, logitScale: Float
    ) {
        record(
            "log_probability",
            reads: [logits, labels] + [gradient].compactMap { $0 },
            writes: [logProbability]
                + [lse, entropy, gradient == nil ? nil : logits]
                .compactMap { $0 }, forja_log_probability
        ) {
            forja_log_probability_args(
                dtype: logits.dtype.engine, logits: $0[logits], labels: $0[labels],
                log_probability: $0[logProbability], lse: $0[lse], entropy: $0[entropy],
                gradient: $0[gradient], rows: UInt64(logits.rows),
                vocabulary: UInt64(logits.width), row_stride: UInt64(logits.width),
                logit_scale: logitScale, vocabulary_start: 0, label_logit: $0[nil])
        }
    }

    /// What one part of a shared vocabulary, the labels from `vocabularyStart` on, adds to its rows' log-probabilities.
    package func recordLogProbabilityPart(
        logits: Tensor, vocabularyStart: Int, labels: Tensor, lse: Tensor, labelLogit: Tensor,
        entropy: Tensor?, logitScale: Float
    ) {
        record(
            "log_probability.part", reads: [logits, labels],
            writes: [lse, labelLogit] + [entropy].compactMap { $0 }, forja_log_probability
        ) {
            forja_log_probability_args(
                dtype: logits.dtype.engine, logits: $0[logits], labels: $0[labels],
                log_probability: $0[nil], lse: $0[lse], entropy: $0[entropy], gradient: $0[nil],
                rows: UInt64(logits.rows), vocabulary: UInt64(logits.width),
                row_stride: UInt64(logits.width), logit_scale: logitScale,
                vocabulary_start: UInt64(vocabularyStart), label_logit: $0[labelLogit])
        }
    }

    /// Log-probabilities over a whole vocabulary from those of its parts.
    ///
    /// - Parameters:
    ///   - parts: `[P, K, N]` float32: of each part log-sum-exp, label's logit and, with `entropy`, entropy.
    ///   - vocabulary: Of all parts.
    package func recordLogProbabilityCombine(
        parts: Tensor, labels: Tensor, logProbability: Tensor, lse: Tensor, entropy: Tensor?,
        vocabulary: Int
    ) {
        record(
            "log_probability.combine", reads: [parts, labels],
            writes: [logProbability, lse] + [entropy].compactMap { $0 },
            forja_log_probability_combine
        ) {
            forja_log_probability_combine_args(
                parts: $0[parts], labels: $0[labels], log_probability: $0[logProbability],
                lse: $0[lse], entropy: $0[entropy], rows: UInt64(labels.elementCount),
                part_count: UInt64(parts.shape[0]), vocabulary: UInt64(vocabulary))
        }
    }

    /// Logits become their gradient, from the saved log-sum-exp and dLoss/dLogProbability.
    ///
    /// - Parameter vocabularyStart: First label of the logits, when they are part of a shared vocabulary.
    package func recordLogProbabilityBackward(
        logits: Tensor, labels: Tensor, lse: Tensor, gradient: Tensor, logitScale: Float,
        vocabularyStart: Int = 0
    ) {
        record(
            "log_probability.backward", reads: [logits, labels, lse, gradient], writes: [logits],
            forja_log_probability_backward
        ) {
            forja_log_probability_args(
                dtype: logits.dtype.engine, logits: $0[logits], labels: $0[labels],
                log_probability: $0[nil], lse: $0[lse], entropy: $0[nil], gradient: $0[gradient],
                rows: UInt64(logits.rows), vocabulary: UInt64(logits.width),
                row_stride: UInt64(logits.width), logit_scale: logitScale,
                vocabulary_start: UInt64(vocabularyStart), label_logit: $0[nil])
        }
    }
}
