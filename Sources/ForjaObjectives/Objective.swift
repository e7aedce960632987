import ForjaCore

/// A loss as a function of the log-probabilities of labels, and nothing else of the model.
///
/// The trainer runs the model, hands the log-probability of each label to the objective, and takes back dLoss/dLogProb of
/// each, which the model's backward pass goes on from. So trainer, scheduler and parallelism know no loss, and a
/// loss knows no model.
///
/// A step's loss is a sum over its microsteps and ranks. Whatever it is divided by, tokens or pairs, is counted over the whole
/// step before any of its parts is evaluated, so that cutting a step into microsteps, packing it or spreading it over ranks
/// changes nothing but rounding.
public protocol Objective: Sendable {
    /// What this part of a step adds to the step's denominator.
    func share(of batch: ObjectiveBatch) -> Double

    /// dLoss/dLogProb, `[N]`, where it does not depend on log-probabilities: the model can then make loss and gradients
    /// in one pass over the head. `nil` where it does.
    ///
    /// - Parameter denominator: The step's; greater than 0.
    func fixedGradient(of batch: ObjectiveBatch, denominator: Double) -> [Float]?

    /// This part's addend to the loss of the step, with its derivative.
    ///
    /// - Parameters:
    ///   - logProbabilities: `[N]`, log p of each position's label; any finite number where there is none.
    ///   - denominator: Sum of `share` over the step; greater than 0.
    /// - Throws: `.shapeMismatch` when lists do not fit; `.invalidInput` when the batch lacks what this objective reads;
    ///   `.notFinite` when a log-probability or the loss is not finite.
    func evaluate(
        _ logProbabilities: [Float], of batch: ObjectiveBatch, denominator: Double
    ) throws(ForjaError) -> ObjectiveValue
}

extension Objective {
    public func fixedGradient(of batch: ObjectiveBatch, denominator: Double) -> [Float]? { nil }
}

/// What an objective makes of one part of a step.
public struct ObjectiveValue: Sendable {
    /// Addend to the step's loss.
    public var loss: Double
    /// dLoss/dLogProb, `[N]`; 0 where there is no label.
    public var gradient: [Float]
    public var metrics: ObjectiveMetrics

    public init(loss: Double, gradient: [Float], metrics: ObjectiveMetrics) {
        self.loss = loss
        self.gradient = gradient
        self.metrics = metrics
    }
}

/// What an objective knows about the labels of one microstep, over N = B·T positions.
///
/// A sequence is one answer with its prompt: a run of positions. Each label belongs to one sequence.
public struct ObjectiveBatch: Sendable {
    /// `[N]`: whether the position has a label.
    public var isLabel: [Bool]
    /// Positions of each sequence.
    public var sequences: [Range<Int>]
    /// Per sequence, Σ log p of its labels under the reference model: preferences.
    public var referenceSums: [Double]?
    /// `[N]`: log p of each label under the reference model: KL penalties.
    public var referenceLogProbabilities: [Float]?
    /// `[N]`: log p under the policy at the start of the batch; `nil`: the policy is still that one.
    public var oldLogProbabilities: [Float]?
    /// `[N]`: log p as the sampler computed it when it drew the label.
    public var samplerLogProbabilities: [Float]?
    /// Per sequence: advantage of its answer.
    public var advantages: [Double]?

    /// - Parameter sequences: `nil`: all positions are one sequence.
    public init(isLabel: [Bool], sequences: [Range<Int>]? = nil) {
        self.isLabel = isLabel
        self.sequences = sequences ?? [0..<isLabel.count]
    }

    public var labelCount: Int { isLabel.count { $0 } }

    /// Positions with a label in a sequence.
    func labels(of sequence: Int) -> [Int] { sequences[sequence].filter { isLabel[$0] } }

    /// Refuses lists that do not fit each other, and labels outside sequences.
    func check(_ logProbabilities: [Float]) throws(ForjaError) {
        let count = isLabel.count
        let perPosition: [(String, Int?)] = [
            ("log-probabilities", logProbabilities.count),
            ("reference log-probabilities", referenceLogProbabilities?.count),
            ("old log-probabilities", oldLogProbabilities?.count),
            ("sampler log-probabilities", samplerLogProbabilities?.count),
        ]
        let perSequence: [(String, Int?)] = [
            ("reference sums", referenceSums?.count), ("advantages", advantages?.count),
        ]
        for (lists, expected) in [(perPosition, count), (perSequence, sequences.count)] {
            for (name, given) in lists {
                guard let given, given != expected else { continue }
                throw ForjaError(
                    .shapeMismatch, "\(given) \(name) for \(expected) places",
                    fix: "give one each, for \(count) positions and \(sequences.count) sequences")
            }
        }
        guard sequences.allSatisfy({ $0.lowerBound >= 0 && $0.upperBound <= count }),
            sequences.reduce(0, { $0 + $1.count { isLabel[$0] } }) == labelCount
        else {
            throw ForjaError(
                .shapeMismatch,
                "\(sequences.count) sequences do not hold each of \(labelCount) labels once",
                fix: "give sequences that do not overlap, within \(count) positions")
        }
        for (position, value) in logProbabilities.enumerated() where isLabel[position] {
            guard value.isFinite else {
                throw ForjaError(
                    .notFinite, "the log-probability at position \(position) is \(value)",
                    fix: "lower optimizer.learning_rate or clip gradients")
            }
        }
    }
}
