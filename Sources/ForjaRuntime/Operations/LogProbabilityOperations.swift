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
                logit_scale: logitScale)
        }
    }

    /// Logits become their gradient, from the saved log-sum-exp and dLoss/dLogProbability.
    package func recordLogProbabilityBackward(
        logits: Tensor, labels: Tensor, lse: Tensor, gradient: Tensor, logitScale: Float
    ) {
        record(
            "log_probability.backward", reads: [logits, labels, lse, gradient], writes: [logits],
            forja_log_probability_backward
        ) {
            forja_log_probability_args(
                dtype: logits.dtype.engine, logits: $0[logits], labels: $0[labels],
                log_probability: $0[nil], lse: $0[lse], entropy: $0[nil], gradient: $0[gradient],
                rows: UInt64(logits.rows), vocabulary: UInt64(logits.width),
                row_stride: UInt64(logits.width), logit_scale: logitScale)
        }
    }
}
