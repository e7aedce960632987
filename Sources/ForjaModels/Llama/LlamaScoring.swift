import ForjaCore
import ForjaNN
import ForjaRuntime

/// Log-probability of each token of a text given those before it. Every rank of a tensor group calls it with the same
/// text and gets the same result.
public final class LlamaScorer {
    private let model: LlamaModel
    private let queue: Queue

    /// - Parameter model: Allocated, with weights.
    public init(model: LlamaModel, queue: Queue) {
        self.model = model
        self.queue = queue
    }

    /// - Parameter ids: At least one token, each below the vocabulary's size, no more than the model's positions.
    /// - Returns: One log-probability (natural logarithm) per token; the first has none.
    public func logProbabilities(of ids: [Int32]) throws(ForjaError) -> [Float?] {
        try model.check(ids)
        guard ids.count > 1 else { return ids.map { _ in nil } }
        let rows = try LabelScorer(
            model: model, sequences: 1, length: ids.count - 1, queue: queue)
        return [nil]
            + (try rows.logProbabilities(
                tokens: Array(ids.dropLast()), labels: Array(ids.dropFirst()))).map { $0 }
    }
}

/// Log p of labels, for as many rows of one shape as come: recorded once, run for each.
public final class LabelScorer {
    /// B and T.
    public let sequences: Int
    public let length: Int
    private let queue: Queue
    private let scheduler: Scheduler
    private let graph: Scheduler.GraphID
    private let tokens: Variable
    private let labels: Variable
    private let result: Variable

    /// - Parameter model: Allocated, with weights; what they are when rows are scored counts.
    public init(
        model: LlamaModel, sequences: Int, length: Int, queue: Queue
    ) throws(ForjaError) {
        guard length <= model.positions else {
            throw ForjaError(
                .invalidInput,
                "\(length + 1) tokens, and the model was opened for \(model.positions + 1)",
                fix: "score a shorter text")
        }
        self.sequences = sequences
        self.length = length
        self.queue = queue
        let count = sequences * length
        tokens = Variable(name: "tokens", shape: [count], dtype: .int32)
        labels = Variable(name: "labels", shape: [count], dtype: .int32)
        result = Variable(name: "log-probabilities", shape: [count], dtype: .float32)
        let graph = StepGraph()
        let logProbability = try graph.labelLogProbability(
            hidden: model.hidden(
                in: graph, tokens: graph.tensor(tokens), batch: sequences,
                source: .sequences(length: length, documentStart: nil)),
            weight: graph.tensor(model.head.compute), labels: graph.tensor(labels),
            over: model.sharding.group)
        graph.copy(logProbability, into: result)
        scheduler = Scheduler(
            queue: queue, communication: try model.sharding.lane(on: queue.device),
            memoryFix: "score a shorter text, or use a device with more memory")
        self.graph = try scheduler.add(graph)
        try scheduler.prepare()
    }

    /// - Parameters:
    ///   - tokens: `[B·T]`.
    ///   - labels: `[B·T]`, below 0 where there is none.
    /// - Returns: `[B·T]`, natural logarithms; 0 where there is no label.
    public func logProbabilities(
        tokens: [Int32], labels: [Int32]
    ) throws(ForjaError) -> [Float] {
        precondition(tokens.count == sequences * length && labels.count == tokens.count)
        try self.tokens.write(tokens, on: queue)
        try self.labels.write(labels, on: queue)
        try scheduler.run(graph)
        return try result.read(Float.self, on: queue)
    }
}

extension LlamaModel {
    /// Refuses an empty list and ids outside the vocabulary.
    package func check(_ ids: [Int32]) throws(ForjaError) {
        guard !ids.isEmpty else {
            throw ForjaError(.invalidInput, "no tokens", fix: "give at least one token")
        }
        if let index = ids.firstIndex(where: {
            $0 < 0 || $0 >= Int32(configuration.vocabularySize)
        }) {
            throw ForjaError(
                .invalidInput,
                "token \(ids[index]) at place \(index) is outside the vocabulary of "
                    + "\(configuration.vocabularySize)",
                fix: "use the model's own tokenizer, or ids in 0 ..< "
                    + "\(configuration.vocabularySize)")
        }
    }
}
