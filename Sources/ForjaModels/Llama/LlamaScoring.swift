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
        guard ids.count - 1 <= model.positions else {
            throw ForjaError(
                .invalidInput,
                "\(ids.count) tokens, and the model was opened for \(model.positions + 1)",
                fix: "score a shorter text")
        }
        let count = ids.count - 1
        let tokens = Variable(name: "tokens", shape: [count], dtype: .int32)
        let labels = Variable(name: "labels", shape: [count], dtype: .int32)
        let result = Variable(name: "log-probabilities", shape: [count], dtype: .float32)
        let graph = StepGraph()
        let logProbability = try graph.labelLogProbability(
            hidden: model.hidden(
                in: graph, tokens: graph.tensor(tokens), batch: 1,
                source: .sequences(length: count, documentStart: nil)),
            weight: graph.tensor(model.head.compute), labels: graph.tensor(labels),
            over: model.sharding.group)
        graph.copy(logProbability, into: result)
        let scheduler = Scheduler(
            queue: queue, communication: try model.sharding.lane(on: queue.device),
            memoryFix: "score a shorter text, or use a device with more memory")
        let id = try scheduler.add(graph)
        try scheduler.prepare()
        try tokens.write(Array(ids.dropLast()), on: queue)
        try labels.write(Array(ids.dropFirst()), on: queue)
        try scheduler.run(id)
        return [nil] + (try result.read(Float.self, on: queue)).map { $0 }
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
