import ForjaCore
import Foundation

/// Group relative policy optimisation (GRPO): answers better than others to the same prompt become more likely.
///
/// For each label, with ρ = π/π_old, A the advantage of its answer and d = log π_ref − log π:
///
///     l = w · max(−A·ρ, −A·clip(ρ, 1 − ε_low, 1 + ε_high)) + β·(eᵈ − d − 1)
///     w = min(π_old/π_sampler, C)
///     L = Σ l / what the aggregation says
///
/// The second term is the estimator k3 of KL(π ‖ π_ref). w corrects, truncated at C, for a sampler whose numbers are not the
/// trainer's; it carries no gradient. Without old log-probabilities the policy is still the one at the start of the batch,
/// ρ is 1, and the first term's gradient is REINFORCE's, −A per label.
///
/// Shao et al., 2024, arXiv:2402.03300 (GRPO); Yu et al., 2025, arXiv:2503.14476 (ε_high, token mean); Liu et al., 2025,
/// arXiv:2503.20783 (Dr. GRPO: constant).
public struct GroupRelativeObjective: Objective {
    /// What the sum over labels is divided by; counts are of the whole step.
    public enum Aggregation: Sendable, Equatable {
        /// Labels: every token counts alike.
        case tokenMean
        /// Answers · `length`, the longest answer possible: an answer's length changes nothing (Dr. GRPO).
        case constant(length: Int)
        /// Mean over answers of the mean over their labels: the original GRPO.
        case sequenceMean
        /// Mean over answers of the sum over their labels.
        case sequenceSum
    }

    public struct Settings: Sendable, Equatable {
        /// ε_low.
        public var clipLow = 0.2
        /// ε_high.
        public var clipHigh = 0.2
        /// β; 0: no KL term and no reference model.
        public var klWeight = 0.0
        public var aggregation = Aggregation.tokenMean
        /// C; `nil`: no correction, mismatch is only measured.
        public var samplerWeightLimit: Double?

        public init() {}
    }

    /// Bound on differences of log-probabilities before they are exponentiated; beyond, the gradient is 0.
    static let logRatioLimit = 20.0

    public let settings: Settings

    public init(_ settings: Settings) {
        precondition(settings.clipLow >= 0 && settings.clipLow < 1 && settings.clipHigh >= 0)
        precondition(settings.klWeight >= 0 && settings.samplerWeightLimit ?? 1 > 0)
        self.settings = settings
    }

    public func share(of batch: ObjectiveBatch) -> Double {
        switch settings.aggregation {
        case .tokenMean: Double(batch.labelCount)
        case .constant(let length): Double(batch.sequences.count * length)
        case .sequenceMean, .sequenceSum: Double(batch.sequences.count)
        }
    }

    public func evaluate(
        _ logProbabilities: [Float], of batch: ObjectiveBatch, denominator: Double
    ) throws(ForjaError) -> ObjectiveValue {
        try batch.check(logProbabilities)
        guard let advantages = batch.advantages else {
            throw ForjaError(
                .invalidInput, "the batch has no advantages", fix: "grade its answers first")
        }
        guard settings.klWeight == 0 || batch.referenceLogProbabilities != nil else {
            throw ForjaError(
                .invalidInput,
                "the batch has no log-probabilities of the reference model for the KL term",
                fix: "score it with the reference model first, or set the KL weight to 0")
        }
        guard settings.samplerWeightLimit == nil || batch.samplerLogProbabilities != nil else {
            throw ForjaError(
                .invalidInput, "the batch has no log-probabilities of the sampler to correct by",
                fix: "keep them when sampling, or leave the correction out")
        }
        var value = ObjectiveValue(
            loss: 0, gradient: [Float](repeating: 0, count: logProbabilities.count),
            metrics: ObjectiveMetrics())
        for sequence in batch.sequences.indices {
            let labels = batch.labels(of: sequence)
            let share =
                settings.aggregation == .sequenceMean ? Double(max(labels.count, 1)) : 1
            for position in labels {
                let now = Double(logProbabilities[position])
                let old = batch.oldLogProbabilities.map { Double($0[position]) } ?? now
                let weight = samplerWeight(
                    old, batch.samplerLogProbabilities?[position], &value.metrics)
                var term = policy(now - old, advantages[sequence], &value.metrics)
                term.loss *= weight
                term.slope *= weight
                if let reference = batch.referenceLogProbabilities?[position] {
                    let kl = k3(Double(reference) - now)
                    value.metrics.add("kl", kl.loss)
                    term.loss += settings.klWeight * kl.loss
                    term.slope += settings.klWeight * kl.slope
                }
                value.loss += term.loss / (denominator * share)
                value.gradient[position] = Float(term.slope / (denominator * share))
            }
            value.metrics.add("answer_length", Double(labels.count))
        }
        guard value.loss.isFinite else { throw notFinite(value.loss) }
        return value
    }

    /// A term and its derivative with respect to log π.
    private typealias Term = (loss: Double, slope: Double)

    private func policy(
        _ logRatio: Double, _ advantage: Double, _ metrics: inout ObjectiveMetrics
    ) -> Term {
        let isBounded = abs(logRatio) <= Self.logRatioLimit
        let ratio = exp(min(max(logRatio, -Self.logRatioLimit), Self.logRatioLimit))
        let kept = min(max(ratio, 1 - settings.clipLow), 1 + settings.clipHigh)
        let (free, clipped) = (-advantage * ratio, -advantage * kept)
        let isClipped = clipped > free
        metrics.add("ratio", ratio)
        metrics.add("clipped_low", isClipped && ratio < 1 ? 1 : 0)
        metrics.add("clipped_high", isClipped && ratio > 1 ? 1 : 0)
        return isClipped ? (clipped, 0) : (free, isBounded ? free : 0)
    }

    private func k3(_ difference: Double) -> Term {
        let isBounded = abs(difference) <= Self.logRatioLimit
        let d = min(max(difference, -Self.logRatioLimit), Self.logRatioLimit)
        // expm1 keeps the digits that exp(d) − 1 loses near 0.
        return (expm1(d) - d, isBounded ? -expm1(d) : 0)
    }

    /// w, 1 without a correction; measures how far sampler and trainer are apart.
    private func samplerWeight(
        _ old: Double, _ sampler: Float?, _ metrics: inout ObjectiveMetrics
    ) -> Double {
        guard let sampler else { return 1 }
        let difference = old - Double(sampler)
        metrics.add("sampler_mismatch", abs(difference))
        metrics.raise("sampler_mismatch_max", to: abs(difference))
        guard let limit = settings.samplerWeightLimit else { return 1 }
        let ratio = exp(min(max(difference, -Self.logRatioLimit), Self.logRatioLimit))
        metrics.add("sampler_weight", min(ratio, limit))
        metrics.add("sampler_weight_truncated", ratio > limit ? 1 : 0)
        return min(ratio, limit)
    }
}
