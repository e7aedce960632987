import ForjaCore
import Foundation

/// Direct preference optimisation: chosen answers are to become more likely than rejected ones.
///
/// Sequences come in pairs, the chosen one first. With s = Σ (log π − log π_ref) over the n labels of an answer, w and l
/// for chosen and rejected:
///
///     L = mean over pairs of −(1−ε)·log σ(z) − ε·log σ(−z)        ε: label smoothing, 0 by default
///
///     dpo        z = β·(s_w − s_l)                     Rafailov et al., 2023, arXiv:2305.18290
///     dpo_norm   z = β·(s_w/n_w − s_l/n_l)             Lambert et al., 2024, arXiv:2411.15124 (Tülu 3)
///     simpo      z = β·(m_w − m_l) − γ                 Meng et al., 2024, arXiv:2405.14734; m = mean log π, no reference
///
/// dpo's s grows with an answer's length, so it can be lowered by making answers longer; dpo_norm compares what a
/// label contributes on average. For answers of one length n, dpo_norm at β·n is dpo at β.
public struct PreferenceObjective: Objective {
    public enum Loss: Sendable, Equatable {
        case dpo(beta: Double)
        /// β 5 in Tülu 3.
        case dpoNorm(beta: Double)
        /// γ = β · `gammaRatio`.
        case simPO(beta: Double, gammaRatio: Double)

        public static let dpo = Loss.dpo(beta: 0.1)
        public static let dpoNorm = Loss.dpoNorm(beta: 5)
        public static let simPO = Loss.simPO(beta: 2, gammaRatio: 0.3)

        /// Whether log-probabilities of a reference model are needed.
        public var needsReference: Bool {
            switch self {
            case .dpo, .dpoNorm: true
            case .simPO: false
            }
        }

        var beta: Double {
            switch self {
            case .dpo(let beta), .dpoNorm(let beta), .simPO(let beta, _): beta
            }
        }

        var isAveraging: Bool {
            switch self {
            case .dpo: false
            case .dpoNorm, .simPO: true
            }
        }

        var gamma: Double {
            switch self {
            case .dpo, .dpoNorm: 0
            case .simPO(let beta, let gammaRatio): beta * gammaRatio
            }
        }
    }

    public let loss: Loss
    public let labelSmoothing: Double

    /// - Parameter labelSmoothing: ε, share of pairs taken to be the wrong way round; within 0 ..< 0.5.
    public init(_ loss: Loss, labelSmoothing: Double = 0) {
        precondition((0..<0.5).contains(labelSmoothing))
        self.loss = loss
        self.labelSmoothing = labelSmoothing
    }

    /// Pairs.
    public func share(of batch: ObjectiveBatch) -> Double { Double(batch.sequences.count / 2) }

    /// One answer of a pair.
    private struct Answer {
        let labels: [Int]
        /// Σ log π.
        let sum: Double
        /// What one label's log π counts for in the reward: 1 or 1/n.
        let weight: Double
        /// Implicit reward β·(s or s/n), β·m for SimPO.
        let reward: Double
    }

    public func evaluate(
        _ logProbabilities: [Float], of batch: ObjectiveBatch, denominator: Double
    ) throws(ForjaError) -> ObjectiveValue {
        try batch.check(logProbabilities)
        guard batch.sequences.count.isMultiple(of: 2) else {
            throw ForjaError(
                .shapeMismatch, "\(batch.sequences.count) sequences are not pairs",
                fix: "give chosen and rejected in turn")
        }
        guard !loss.needsReference || batch.referenceSums != nil else {
            throw ForjaError(
                .invalidInput, "the batch has no log-probabilities of the reference model",
                fix: "score it with the reference model first, or use simpo")
        }
        var value = ObjectiveValue(
            loss: 0, gradient: [Float](repeating: 0, count: logProbabilities.count),
            metrics: ObjectiveMetrics())
        for pair in 0..<(batch.sequences.count / 2) {
            let chosen = try answer(2 * pair, logProbabilities, batch)
            let rejected = try answer(2 * pair + 1, logProbabilities, batch)
            let z = chosen.reward - rejected.reward - loss.gamma
            let (right, wrong) = (1 - labelSmoothing, labelSmoothing)
            value.loss += (right * softplus(-z) + wrong * softplus(z)) / denominator
            // d/dz of −log σ(z) is −σ(−z); of −log σ(−z), σ(z).
            let slope = (wrong * sigmoid(z) - right * sigmoid(-z)) / denominator
            for (answer, sign) in [(chosen, 1.0), (rejected, -1.0)] {
                let gradient = Float(sign * slope * loss.beta * answer.weight)
                for position in answer.labels { value.gradient[position] = gradient }
            }
            record(chosen, rejected, in: &value.metrics)
        }
        guard value.loss.isFinite else { throw notFinite(value.loss) }
        return value
    }

    private func answer(
        _ sequence: Int, _ logProbabilities: [Float], _ batch: ObjectiveBatch
    ) throws(ForjaError) -> Answer {
        let labels = batch.labels(of: sequence)
        guard !labels.isEmpty else {
            throw ForjaError(
                .invalidInput,
                "the \(sequence.isMultiple(of: 2) ? "chosen" : "rejected") answer of pair "
                    + "\(sequence / 2) has no label",
                fix: "leave out pairs whose answers are cut away")
        }
        let sum = labels.reduce(0) { $0 + Double(logProbabilities[$1]) }
        let reference = loss.needsReference ? batch.referenceSums?[sequence] ?? 0 : 0
        let weight = loss.isAveraging ? 1 / Double(labels.count) : 1
        return Answer(
            labels: labels, sum: sum, weight: weight,
            reward: loss.beta * (sum - reference) * weight)
    }

    private func record(
        _ chosen: Answer, _ rejected: Answer, in metrics: inout ObjectiveMetrics
    ) {
        metrics.add("reward_chosen", chosen.reward)
        metrics.add("reward_rejected", rejected.reward)
        metrics.add("reward_margin", chosen.reward - rejected.reward)
        metrics.add("preference_accuracy", chosen.reward > rejected.reward ? 1 : 0)
        metrics.add("logprob_chosen", chosen.sum)
        metrics.add("logprob_rejected", rejected.sum)
        metrics.add("length_chosen", Double(chosen.labels.count))
        metrics.add("length_rejected", Double(rejected.labels.count))
    }
}

/// log(1 + eˣ) = −log σ(−x), without overflow.
func softplus(_ x: Double) -> Double { max(x, 0) + log1p(exp(-abs(x))) }

func sigmoid(_ x: Double) -> Double { x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)) }

func notFinite(_ loss: Double) -> ForjaError {
    ForjaError(
        .notFinite, "the loss is \(loss)", fix: "lower optimizer.learning_rate or check the data")
}
