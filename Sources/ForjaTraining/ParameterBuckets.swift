import ForjaCore
import ForjaModels
import ForjaNN
import ForjaParallel
import ForjaRuntime

/// Parameters of one data-parallel rank, laid out so that whole buckets are exchanged: gradients that are reduced while
/// the backward pass still runs, and with ZeRO-1 the shard of state and update that is this rank's.
///
/// A step with ZeRO-1, for each bucket:
///
///     backward → reduce-scatter of gradients → norm → AdamW on the shard → all-gather of weights
///
/// and without: backward → all-reduce of gradients → norm → AdamW on everything. Both give every rank the same weights.
/// Reductions run beside the backward pass, gathers beside the next step's forward pass.
/// ZeRO-1: Rajbhandari et al., 2020, arXiv:1910.02054.
final class ParameterBuckets {
    /// What this rank updates.
    let states: [AdamWState]
    private let parameters: [Parameter]
    private let layout: GradientBuckets
    private let group: Collectives
    private let sharding: LlamaSharding
    private let isReplicated: (Parameter) -> Bool
    private let shardsState: Bool
    /// By bucket; gradients and masters are float32, weights of the computation's type.
    private let gradients: [Variable]
    private let weights: [Variable]
    /// By parameter, in the buckets.
    private let parameterGradients: [Variable]
    /// Empty where the weights are the masters.
    private let masters: [Variable]
    /// Sums of squares of every rank's gradients, `[tensor ranks · data ranks · most of a rank]`; without ZeRO-1 the data
    /// ranks have the same.
    private let partials: Variable
    private let partialCount: Int

    /// Lays the model's parameters into buckets; nothing is allocated.
    ///
    /// - Parameters:
    ///   - completionOrder: As `GradientBuckets` takes it.
    ///   - shardsState: ZeRO-1.
    init(
        _ model: LlamaModel, completionOrder: [Int], group: Collectives, shardsState: Bool
    ) {
        let parameters = model.parameters
        let counts = parameters.map(\.shape.elementCount)
        let layout = GradientBuckets(
            elementCounts: counts, completionOrder: completionOrder,
            leastElementCount: GradientBuckets.leastElementCount(total: counts.reduce(0, +)))
        self.parameters = parameters
        self.layout = layout
        self.group = group
        sharding = model.sharding
        isReplicated = { model.slice(of: $0).isReplicated }
        self.shardsState = shardsState
        func buckets(_ name: String, _ dtype: DType) -> [Variable] {
            layout.elementCounts.enumerated().map {
                Variable(name: "\(name) bucket \($0)", shape: [$1], dtype: dtype)
            }
        }
        gradients = buckets("gradient", .float32)
        weights = buckets("weight", model.computeType)
        masters = model.computeType == .float32 ? [] : buckets("master", .float32)
        parameterGradients = parameters.map {
            Variable(name: "\($0.name).gradient", shape: $0.shape, dtype: .float32)
        }
        for (gradient, slot) in zip(parameterGradients, layout.slots) {
            gradient.lay(into: gradients[slot.bucket], at: slot.offset)
        }
        for (parameter, slot) in zip(parameters, layout.slots) {
            parameter.compute.lay(into: weights[slot.bucket], at: slot.offset)
            if !masters.isEmpty {
                parameter.master.lay(into: masters[slot.bucket], at: slot.offset)
            }
        }
        func piecesOf(_ rank: Int) -> [GradientBuckets.Piece] {
            layout.pieces(rank: rank, rankCount: group.rankCount)
        }
        states =
            shardsState
            ? piecesOf(group.rank).map {
                AdamWState(for: parameters[$0.parameter], elements: $0.elements)
            } : parameters.map { AdamWState(for: $0) }
        partialCount =
            shardsState
            ? (0..<group.rankCount).map {
                StepGraph.sumSquaresCount(piecesOf($0).map(\.elements.count))
            }.max()! : StepGraph.sumSquaresCount(counts)
        partials = Variable(
            name: "gradient norm partials",
            shape: [
                model.sharding.group.rankCount * (shardsState ? group.rankCount : 1) * partialCount
            ], dtype: .float32)
    }

    /// Sets to zero what no dispatch writes and exchanges carry.
    func clear(on queue: Queue) throws(ForjaError) {
        for variable in gradients + [partials] { try variable.clear(on: queue) }
    }

    /// Makes `graph` collect the parameters' gradients in the buckets. Before its backward pass is recorded.
    func collectGradients(in graph: StepGraph) {
        for (parameter, gradient) in zip(parameters, parameterGradients) {
            graph.collectGradient(of: graph.tensor(parameter.compute), in: gradient)
        }
    }

    /// Has the loss reduced as soon as it is there and each bucket as soon as it is complete. After the backward pass is
    /// recorded.
    ///
    /// - Parameter loss: The sum that the graph makes; `nil` where the host makes it.
    func reduceGradients(in graph: StepGraph, loss: Tensor?) {
        if let loss { graph.insertCollective(.allReduce, afterLastWriteOf: loss, over: group) }
        // Ranks pair their collectives by position, so every rank goes through the buckets in the order of the recorded
        // step, never in the order in which they happen to be ready.
        for bucket in gradients {
            graph.insertCollective(
                shardsState ? .reduceScatter : .allReduce, afterLastWriteOf: graph.tensor(bucket),
                over: group)
        }
    }

    /// Records the step's end: global norm, update, and every rank's weights for all.
    func recordUpdate(in graph: StepGraph, scalars: Tensor, settings: AdamWSettings) {
        /// States with their gradients, by bucket.
        var own = gradients.map { _ in [(state: AdamWState, gradient: Tensor)]() }
        for state in states {
            let index = parameters.firstIndex { $0 === state.parameter }!
            let part = graph.tensor(parameterGradients[index])
                .elements(from: state.elements.lowerBound, count: state.elements.count)
            own[layout.slots[index].bucket].append((state, part))
        }
        let all = graph.tensor(partials)
        let tensor = sharding.group
        let replica = all.elementCount / tensor.rankCount
        let part = all.elements(from: tensor.rank * replica, count: replica)
        // What every rank of the tensor group has counts once: the other ranks' places stay zero.
        // Bucket by bucket, while later ones are still being reduced.
        let counted = own.joined()
            .filter { tensor.rank == 0 || !isReplicated($0.state.parameter) }.map(\.gradient)
        if shardsState {
            graph.recordSumSquares(
                of: counted,
                into: part.elements(from: group.rank * partialCount, count: partialCount))
            graph.recordCollective(.allGather, on: part, over: group, block: partialCount)
        } else {
            graph.recordSumSquares(of: counted, into: part)
        }
        graph.recordCollective(.allGather, on: all, over: tensor, block: replica)
        graph.recordGradientNorm(partials: all, scalars: scalars)
        // What backward finished last, the next step's forward reads first: that is updated and sent first, and every
        // bucket is waited for only where forward comes to it.
        for bucket in weights.indices.reversed() {
            for (state, gradient) in own[bucket] {
                graph.recordAdamW(state, gradient: gradient, scalars: scalars, settings: settings)
            }
            guard shardsState else { continue }
            graph.recordCollective(
                .allGather, on: graph.tensor(weights[bucket]), over: group, overlaps: true)
        }
    }

    /// Records what gives every rank all float32 masters, of which it updates only its shard; `nil` when it has them.
    func recordMasterGather() -> StepGraph? {
        guard shardsState, !masters.isEmpty else { return nil }
        let graph = StepGraph()
        for master in masters {
            graph.recordCollective(.allGather, on: graph.tensor(master), over: group)
        }
        return graph
    }
}
