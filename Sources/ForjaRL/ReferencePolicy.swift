import ForjaCore
import ForjaData
import ForjaModels
import ForjaNN
import ForjaRuntime
import ForjaTraining

/// The weights that a run started from, kept beside those that are trained: what the KL term measures against.
final class ReferencePolicy {
    private let queue: Queue
    private let scheduler: Scheduler
    private let graph: Scheduler.GraphID
    private let tokens: Variable
    private let labels: Variable
    private let result: Variable

    /// Allocates a second model and scores batches of the step's shape.
    init(_ context: StageContext) throws(ForjaError) {
        let (policy, shape) = (context.model, context.engine.shape)
        queue = context.queue
        let model = LlamaModel(
            policy.configuration, computeType: policy.computeType, positions: policy.positions,
            isTrained: false, sharding: policy.sharding)
        try model.allocate(on: queue)
        try context.start.write(to: model, on: queue)
        let count = shape.sequences * shape.sequenceLength
        tokens = Variable(name: "reference tokens", shape: [count], dtype: .int32)
        labels = Variable(name: "reference labels", shape: [count], dtype: .int32)
        result = Variable(name: "reference log-probability", shape: [count], dtype: .float32)
        let recorded = StepGraph()
        let hidden = try model.hidden(
            in: recorded, tokens: recorded.tensor(tokens), batch: shape.sequences,
            source: .sequences(length: shape.sequenceLength, documentStart: nil))
        recorded.copy(
            try recorded.labelLogProbability(
                hidden: hidden, weight: recorded.tensor(model.head.compute),
                labels: recorded.tensor(labels), logitScale: shape.logitScale,
                over: model.sharding.group),
            into: result)
        scheduler = Scheduler(
            queue: queue, communication: try model.sharding.lane(on: queue.device),
            memoryFix: "set grpo.kl_beta: 0 to do without the starting weights, or lower "
                + "training.batch_size_sequences")
        graph = try scheduler.add(recorded)
        try scheduler.prepare()
    }

    /// Log p of the label of every position, `[B·T]`; 0 where there is none.
    func logProbabilities(of batch: Batch) throws(ForjaError) -> [Float] {
        try tokens.write(batch.tokens, on: queue)
        try labels.write(batch.labels, on: queue)
        try scheduler.run(graph)
        return try result.read(Float.self, on: queue)
    }
}
