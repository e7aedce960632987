import ForjaCore
import ForjaData
import ForjaFormats
import ForjaModels
import ForjaParallel
import ForjaRuntime

/// What a model says of answers that others wrote: their log-probabilities, of chats or of pairs it was not trained on.
public struct HeldOutLikelihood {
    private let model: LlamaModel
    private let queue: Queue
    /// Positions scored at once.
    private static let positionsAtOnce = 4096

    /// - Parameter model: Allocated, with weights. Every rank of a tensor group calls what follows.
    public init(model: LlamaModel, queue: Queue) {
        self.model = model
        self.queue = queue
    }

    /// Mean −log p over the labels of all examples, nats per token.
    public func loss(of examples: [Example]) throws(ForjaError) -> Double {
        let sums = try logProbabilities(of: examples)
        let labels = examples.reduce(0) { $0 + $1.labelCount }
        return -sums.reduce(0, +) / Double(max(labels, 1))
    }

    /// Share of pairs whose chosen answer has the higher mean log p of its labels; no reference model takes part.
    ///
    /// - Parameter pairs: Chosen and rejected in turn.
    public func preferenceAccuracy(of pairs: [Example]) throws(ForjaError) -> Double {
        precondition(pairs.count.isMultiple(of: 2) && !pairs.isEmpty)
        let means = zip(try logProbabilities(of: pairs), pairs)
            .map { $0 / Double($1.labelCount) }
        let right = stride(from: 0, to: means.count, by: 2).count { means[$0] > means[$0 + 1] }
        return Double(right) / Double(means.count / 2)
    }

    /// Sum of log p over the labels of each example.
    public func logProbabilities(of examples: [Example]) throws(ForjaError) -> [Double] {
        // Rows of about one length share a shape, so that little is computed for padding.
        let order = examples.indices.sorted { examples[$0].count > examples[$1].count }
        var sums = [Double](repeating: 0, count: examples.count)
        var first = 0
        while first < order.count {
            let length = examples[order[first]].count
            let sequences = min(max(Self.positionsAtOnce / length, 1), order.count - first)
            let scorer = try LabelScorer(
                model: model, sequences: sequences, length: length, queue: queue)
            let part = order[first..<first + sequences]
            var tokens: [Int32] = []
            var labels: [Int32] = []
            for index in part {
                let padding = length - examples[index].count
                tokens += examples[index].tokens + [Int32](repeating: 0, count: padding)
                labels +=
                    examples[index].labels
                    + [Int32](repeating: Batch.ignoredLabel, count: padding)
            }
            let values = try scorer.logProbabilities(tokens: tokens, labels: labels)
            for (row, index) in part.enumerated() {
                sums[index] = values[row * length..<(row + 1) * length]
                    .reduce(0.0) { $0 + Double($1) }
            }
            first += sequences
        }
        return sums
    }
}
