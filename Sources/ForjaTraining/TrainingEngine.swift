import ForjaCore
import ForjaData
import ForjaModels
import ForjaNN
import ForjaObjectives
import ForjaParallel
import ForjaRuntime

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Trains a Llama on one rank's device: records forward, backward and update once, then replays them.
///
/// With one microstep on one device a step is a single graph and gradients are transient: they take the place of
/// activations already used. With several, or several data-parallel ranks, a gradient graph collects into variables and an
/// update graph ends the step.
public final class TrainingEngine {
    public let model: LlamaModel
    public let shape: StepShape
    public let optimizer: AdamWSettings
    /// What this rank updates: every parameter, or with ZeRO-1 its share.
    public let states: [AdamWState]
    public let rank: MeshRank
    public let queue: Queue

    /// Runs the graphs; also says what they need before anything is allocated.
    public let scheduler: Scheduler
    let gradientGraph: Scheduler.GraphID
    /// `nil` when one graph does both.
    private let updateGraph: Scheduler.GraphID?
    private let validationGraph: Scheduler.GraphID?

    private let tokens: Variable
    private let labels: Variable
    private let documentStart: Variable?
    /// Of each position's label, `[N]`: what the host reads between the parts of a step; `nil` in one pass.
    let logProbability: Variable?
    /// `[N]`: −1 in one pass, else written by the host between the parts.
    let logProbabilityGradient: Variable
    private let scalars: Variable
    private let validationLoss: Variable
    /// Collected gradients, one per parameter; empty with one microstep or several ranks.
    private let collected: [Variable]
    /// Gradients, state and weights of a data-parallel rank; `nil` with one.
    private let buckets: ParameterBuckets?
    private let communication: CommunicationLane?
    /// Completes the float32 masters; `nil` where every rank has all of them.
    private let masterGraph: Scheduler.GraphID?
    private var isReady = false

    /// What a recipe can change when a step does not fit.
    public static let recipeMemoryFix =
        "lower training.batch_size_sequences or training.sequence_length_tokens, raise "
        + "training.gradient_accumulation_steps, or set training.recompute: block; forja plan "
        + "shows what each would need"

    /// Records and plans; allocates nothing.
    ///
    /// - Parameters:
    ///   - shape: Of this rank's part of a step.
    ///   - rank: Its place in the mesh; every rank records the same step.
    ///   - shardsState: ZeRO-1: each data-parallel rank keeps and updates its share of the optimizer's state.
    ///   - overlapsCommunication: Whether gradients are reduced while the backward pass still runs, and weights gathered
    ///     during the next step's forward pass.
    ///   - memoryFix: As `Scheduler` takes it.
    public init(
        model: LlamaModel, shape: StepShape, optimizer: AdamWSettings, validates: Bool = true,
        queue: Queue, rank: MeshRank = .single, shardsState: Bool = true,
        overlapsCommunication: Bool = true, memoryFix: String = recipeMemoryFix
    ) throws(ForjaError) {
        self.model = model
        self.rank = rank
        self.shape = shape
        self.optimizer = optimizer
        self.queue = queue
        precondition(model.sharding.group.rankCount == rank.tensor.rankCount)
        let count = shape.sequences * shape.sequenceLength
        try LlamaSharding.check(
            model.configuration, degree: rank.tensor.rankCount, rows: count)
        tokens = Variable(name: "tokens", shape: [count], dtype: .int32)
        labels = Variable(name: "labels", shape: [count], dtype: .int32)
        documentStart =
            shape.documentMask
            ? Variable(name: "document start", shape: [count], dtype: .int32) : nil
        logProbability =
            shape.lossForm == .twoPass
            ? Variable(name: "label log-probability", shape: [count], dtype: .float32) : nil
        logProbabilityGradient = Variable(
            name: "dLoss/dLogProb", shape: [count], dtype: .float32)
        scalars = Variable(name: "step scalars", shape: [StepScalar.count], dtype: .float32)
        validationLoss = Variable(name: "validation loss", shape: [1], dtype: .float32)
        let parameters = model.parameters
        let isParallel = rank.data.rankCount > 1
        let (tokens, labels, documentStart) = (tokens, labels, documentStart)
        let (logProbability, logProbabilityGradient) = (logProbability, logProbabilityGradient)
        let scalars = scalars
        func recordGradients(in graph: StepGraph) throws(ForjaError) {
            let hidden = try Self.hidden(
                in: graph, model: model, shape: shape, tokens: tokens,
                documentStart: documentStart)
            let gradient = graph.tensor(logProbabilityGradient)
            if let logProbability {
                try Self.recordTwoPasses(
                    in: graph, hidden: hidden, model: model, shape: shape, labels: labels,
                    logProbability: logProbability, gradient: gradient)
            } else {
                graph.recordSum(
                    of: try Self.head(
                        in: graph, hidden: hidden, model: model, labels: labels, gradient: gradient),
                    scale: -1,
                    into: graph.tensor(scalars)
                        .elements(from: StepScalar.lossSum.rawValue, count: 1),
                    accumulation: .addAfterFirstMicrostep)
            }
            // The next step reads the embedding first, so its gradient should not be what all ranks have last.
            try graph.backward(
                finishingFirst: isParallel ? graph.tensor(model.embedding.compute) : nil)
        }
        /// Each rank of the tensor group has norms' gradients of its own rows.
        func sumReplicatedGradients(in graph: StepGraph, isOneGraph: Bool) {
            for parameter in parameters where model.slice(of: parameter).isReplicated {
                let gradient = graph.gradient(of: graph.tensor(parameter.compute))!
                if isOneGraph {
                    graph.recordCollective(.allReduce, on: gradient, over: rank.tensor)
                } else {
                    graph.insertCollective(
                        .allReduce, afterLastWriteOf: gradient, over: rank.tensor)
                }
            }
        }
        if isParallel {
            // Recorded once to see in which order gradients are finished, then into buckets of that order.
            let trial = StepGraph(recompute: shape.recompute)
            try recordGradients(in: trial)
            let order = trial.completionOrder(
                of: parameters.map { trial.gradient(of: trial.tensor($0.compute))! })
            let buckets = ParameterBuckets(
                model, completionOrder: order, group: rank.data, shardsState: shardsState)
            self.buckets = buckets
            states = buckets.states
        } else {
            buckets = nil
            states = parameters.map { AdamWState(for: $0) }
        }
        collected =
            shape.accumulation > 1 && !isParallel
            ? parameters.map {
                Variable(name: "\($0.name).gradient", shape: $0.shape, dtype: .float32)
            } : []
        communication =
            rank.mesh.rankCount > 1
            ? try CommunicationLane(device: queue.device, overlaps: overlapsCommunication) : nil
        scheduler = Scheduler(
            queue: queue, communication: communication, memoryFix: memoryFix)

        let graph = StepGraph(recompute: shape.recompute)
        for (parameter, variable) in zip(parameters, collected) {
            graph.collectGradient(of: graph.tensor(parameter.compute), in: variable)
        }
        buckets?.collectGradients(in: graph)
        try recordGradients(in: graph)
        let isOneGraph = shape.accumulation == 1 && !isParallel
        sumReplicatedGradients(in: graph, isOneGraph: isOneGraph)
        buckets?.reduceGradients(
            in: graph,
            loss: shape.lossForm == .twoPass
                ? nil
                : graph.tensor(scalars).elements(from: StepScalar.lossSum.rawValue, count: 1))
        let update = isOneGraph ? graph : StepGraph()
        if let buckets {
            buckets.recordUpdate(
                in: update, scalars: update.tensor(scalars), settings: optimizer)
        } else {
            update.adamW(
                states: states,
                gradients: isOneGraph
                    ? parameters.map { graph.gradient(of: graph.tensor($0.compute))! }
                    : collected.map(update.tensor),
                scalars: update.tensor(scalars), settings: optimizer, over: rank.tensor,
                isSplit: { !model.slice(of: $0).isReplicated })
        }
        gradientGraph = try scheduler.add(graph)
        updateGraph = isOneGraph ? nil : try scheduler.add(update)
        if let gather = buckets?.recordMasterGather() {
            masterGraph = try scheduler.add(gather)
        } else {
            masterGraph = nil
        }
        if validates, shape.lossForm == .onePass {
            let validation = StepGraph()
            let hidden = try Self.hidden(
                in: validation, model: model, shape: shape, tokens: tokens,
                documentStart: documentStart)
            validation.recordSum(
                of: try Self.head(
                    in: validation, hidden: hidden, model: model, labels: labels, gradient: nil),
                scale: -1, into: validation.tensor(validationLoss),
                accumulation: .addAfterFirstMicrostep)
            validationGraph = try scheduler.add(validation)
        } else {
            validationGraph = nil
        }
    }

    deinit {
        // Nobody may write into buffers that are about to go. Whoever waits for this step's end already has the error.
        try? scheduler.finishCollectives()
        communication?.end()
    }

    /// Has every dispatch and collective recorded from now on.
    public func record(in trace: Trace.Recorder) { scheduler.trace = trace }

    private static func hidden(
        in graph: StepGraph, model: LlamaModel, shape: StepShape, tokens: Variable,
        documentStart: Variable?
    ) throws(ForjaError) -> Tensor {
        try model.hidden(
            in: graph, tokens: graph.tensor(tokens), batch: shape.sequences,
            source: .sequences(
                length: shape.sequenceLength, documentStart: documentStart.map(graph.tensor)))
    }

    private static func head(
        in graph: StepGraph, hidden: Tensor, model: LlamaModel, labels: Variable, gradient: Tensor?
    ) throws(ForjaError) -> Tensor {
        try graph.labelLogProbability(
            hidden: hidden, weight: graph.tensor(model.head.compute),
            labels: graph.tensor(labels), gradient: gradient, over: model.sharding.group)
    }

    /// Bytes the engine will hold in all: weights, optimizer state, activations, workspace.
    public var plannedByteCount: Int { scheduler.plannedByteCount }

    /// Floating-point operations of one optimizer step as dispatched, recomputation included.
    public var dispatchedFlopsPerStep: Double {
        scheduler.flops(of: gradientGraph) * Double(shape.accumulation)
    }

    /// Bytes that this rank sends to others in one optimizer step.
    public var sentByteCountPerStep: Int {
        scheduler.sentByteCount(of: gradientGraph)
            + (updateGraph.map(scheduler.sentByteCount) ?? 0)
    }

    /// Allocates everything and clears optimizer state. Weights are the caller's to write, before or after.
    public func prepare() throws(ForjaError) {
        guard !isReady else { return }
        try scheduler.checkFits()
        try model.allocate(on: queue)
        try scheduler.prepare()
        for state in states {
            try state.firstMoment.clear(on: queue)
            try state.secondMoment.clear(on: queue)
        }
        try scalars.clear(on: queue)
        try buckets?.clear(on: queue)
        // Likelihood: the sum of log-probabilities is maximised; labels of −100 carry no gradient.
        try logProbabilityGradient.write(
            [Float](repeating: -1, count: logProbabilityGradient.shape.elementCount), on: queue)
        isReady = true
    }

    /// Waits for the weights that other ranks updated and that still come in when `step` returns. This thread's graphs and
    /// reads of weights wait by themselves; other threads' come after this, and so do calls of `rank.data`.
    public func finishCollectives() throws(ForjaError) { try scheduler.finishCollectives() }

    /// Gives every rank all weights and all float32 masters, of which each updates only its share. Every rank calls it.
    public func gatherMasters() throws(ForjaError) {
        try finishCollectives()
        if let masterGraph { try scheduler.run(masterGraph) }
    }

    /// Runs one optimizer step of any objective. Every rank of the mesh calls it.
    ///
    /// - Parameters: As of the other; recorded with `LossForm.onePass`, `work` has a `LikelihoodObjective`.
    /// - Throws: `.notFinite` before any weight changes, besides the others of devices and ranks.
    public func step(
        number: Int, work: StepWork, learningRate: Float, maxGradientNorm: Float
    ) throws(ForjaError) -> StepResult {
        guard shape.lossForm == .onePass else {
            return try twoPassStep(
                number: number, work: work, learningRate: learningRate,
                maxGradientNorm: maxGradientNorm)
        }
        guard let likelihood = work.objective as? LikelihoodObjective else {
            preconditionFailure("a step in one pass takes a likelihood")
        }
        return try step(
            number: number, microbatches: work.microbatches.map(\.batch),
            reduction: likelihood.reduction, learningRate: learningRate,
            maxGradientNorm: maxGradientNorm)
    }

    /// Runs one optimizer step of likelihood, recorded with `LossForm.onePass`. Every rank of the mesh calls it;
    /// `finishCollectives` says what may still be under way when it returns. On one device, from the second on it allocates
    /// no memory (StepCountsTests), drivers apart.
    ///
    /// - Parameters:
    ///   - number: Number of the update, from 1: sets AdamW's bias corrections.
    ///   - microbatches: One per microstep, in order; each `shape.sequences` rows, this rank's.
    ///   - maxGradientNorm: Clip threshold; 0 clips nothing.
    public func step(
        number: Int, microbatches: [Batch], reduction: LikelihoodObjective.Reduction = .mean,
        learningRate: Float, maxGradientNorm: Float
    ) throws(ForjaError) -> StepResult {
        precondition(microbatches.count == shape.accumulation && shape.lossForm == .onePass)
        try prepare()
        // The mean is over the step's labels on all ranks, however they are spread.
        // Over the world, which is this thread's: `data` may still gather the last step's weights.
        let labelCount =
            try rank.world.sum(microbatches.reduce(0) { $0 + $1.labelCount }) / rank.mesh.tensor
        let divisor = reduction == .mean ? Float(max(labelCount, 1)) : 1
        try writeScalars(
            number: number, learningRate: learningRate, maxGradientNorm: maxGradientNorm,
            gradientScale: 1 / divisor)
        for (index, batch) in microbatches.enumerated() {
            try write(batch)
            try scheduler.run(
                gradientGraph, isFirstMicrostep: index == 0,
                isLastMicrostep: index == microbatches.count - 1)
        }
        let values = try update()
        return StepResult(
            loss: values[.lossSum] / divisor, gradientNorm: values[.gradientNorm],
            isFinite: values[.isFinite] == 1, labelCount: labelCount)
    }

    /// Writes what the host decides about an update.
    func writeScalars(
        number: Int, learningRate: Float, maxGradientNorm: Float, gradientScale: Float
    ) throws(ForjaError) {
        var values = StepScalar.Values()
        values[.learningRate] = learningRate
        values[.biasCorrection1] = Float(1 - pow(Double(optimizer.beta1), Double(number)))
        values[.biasCorrection2] = Float(1 - pow(Double(optimizer.beta2), Double(number)))
        values[.gradientScale] = gradientScale
        values[.maxNorm] = maxGradientNorm
        try values.writeInputs(to: scalars, on: queue)
    }

    /// Ends a step whose gradients are there; waits for it.
    func update() throws(ForjaError) -> StepScalar.Values {
        if let updateGraph { try scheduler.run(updateGraph) }
        var values = StepScalar.Values()
        try values.read(from: scalars, on: queue)
        return values
    }

    /// Mean −log p over the labels of the batches that `next` gives until `nil`, of this rank and all others of the data
    /// axis, in nats per token; weights do not change. Every rank calls it.
    public func validate(
        _ next: () throws(ForjaError) -> Batch?
    ) throws(ForjaError) -> Double {
        guard let validationGraph else { preconditionFailure("recorded without validation") }
        try prepare()
        var sum = 0.0
        var count = 0
        while let batch = try next() {
            try write(batch)
            try scheduler.run(validationGraph)
            sum += Double(try validationLoss.read(Float.self, on: queue)[0])
            count += batch.labelCount
        }
        try finishCollectives()
        let sums = try rank.data.gather(sum)
        let counts = try rank.data.gather(count)
        return sums.reduce(0, +) / Double(max(counts.reduce(0, +), 1))
    }

    func write(_ batch: Batch) throws(ForjaError) {
        precondition(batch.tokens.count == tokens.shape.elementCount)
        try tokens.write(batch.tokens, on: queue)
        try labels.write(batch.labels, on: queue)
        if let documentStart {
            guard let starts = batch.documentStart else {
                preconditionFailure("the batch has no document starts")
            }
            try documentStart.write(starts, on: queue)
        }
    }
}
