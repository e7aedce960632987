import ForjaCore

/// Pre-training and supervised fine-tuning: the negative log-likelihood of the labels.
///
///     mean   L = −1/N · Σ log p        N = labels of the whole step, over all microsteps and ranks
///     sum    L = −Σ log p
///
/// With `mean` every label of the step counts alike; a mean of the means of microsteps would favour the labels of short
/// answers. `sum` is the reduction that Tülu 3 was trained with (Lambert et al., 2024, arXiv:2411.15124, section 4.3).
public struct LikelihoodObjective: Objective {
    public enum Reduction: String, Sendable, CaseIterable {
        case mean, sum
    }

    public let reduction: Reduction

    public init(reduction: Reduction = .mean) { self.reduction = reduction }

    /// Labels.
    public func share(of batch: ObjectiveBatch) -> Double { Double(batch.labelCount) }

    public func fixedGradient(of batch: ObjectiveBatch, denominator: Double) -> [Float]? {
        let weight = Float(-scale(denominator))
        return batch.isLabel.map { $0 ? weight : 0 }
    }

    public func evaluate(
        _ logProbabilities: [Float], of batch: ObjectiveBatch, denominator: Double
    ) throws(ForjaError) -> ObjectiveValue {
        try batch.check(logProbabilities)
        var sum = 0.0
        for (value, isLabel) in zip(logProbabilities, batch.isLabel) where isLabel {
            sum += Double(value)
        }
        var metrics = ObjectiveMetrics()
        let count = Double(batch.labelCount)
        if count > 0 { metrics.add("nll_per_token", -sum / count, weight: count) }
        return ObjectiveValue(
            loss: -sum * scale(denominator),
            gradient: fixedGradient(of: batch, denominator: denominator) ?? [], metrics: metrics)
    }

    private func scale(_ denominator: Double) -> Double {
        reduction == .mean ? 1 / denominator : 1
    }
}
