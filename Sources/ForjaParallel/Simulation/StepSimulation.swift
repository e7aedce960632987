/// One optimizer step on the stages of one pipeline, event by event: compute, collectives of the tensor and context
/// axes, sends between stages, gradient reductions beside backward, the update.
///
/// All data, tensor and context ranks of a stage do the same at the same time, so one device stands for them. Collectives
/// of the tensor and context axes stand between kernels and are waited for. The step is one of many: weights that
/// another rank updated are gathered at its start.
///
/// Not modelled: stragglers, congestion, host work, data loading.
public struct StepSimulation: Sendable {
    /// Seconds of the whole step.
    public let seconds: Double
    /// Kernels of the busiest stage, update excluded.
    public let computeSeconds: Double
    /// Collectives of the tensor axis on that stage, all of them waited for.
    public let tensorSeconds: Double
    /// Collectives of the context axis, likewise.
    public let contextSeconds: Double
    /// Reductions and gathers of the data axis on that stage, hidden or not.
    public let dataSeconds: Double
    /// The part of those that ran beside kernels.
    public let hiddenDataSeconds: Double
    /// What kernels lose to collectives that run beside them.
    public let contentionSeconds: Double
    public let optimizerSeconds: Double
    /// Share of the step, averaged over stages, in which a stage computes nothing and communicates nothing it waits for.
    public let idleFraction: Double
    /// Bytes one device sends in the step.
    public let bytesSent: Double

    public init(
        workload: ClusterWorkload, plan: ClusterPlan, profile: ClusterProfile,
        rates: ClusterProfile.Rates
    ) {
        var builder = StepBuilder(workload: workload, plan: plan, profile: profile, rates: rates)
        builder.build()
        let timeline = builder.timeline
        let stages = 0..<plan.pipeline
        let busiest = stages.max {
            timeline.busySeconds(of: builder.compute($0))
                < timeline.busySeconds(of: builder.compute($1))
        }!
        let overlap = { (stage: Int) in
            plan.overlapsDataParallel
                ? timeline.overlapSeconds(of: builder.compute(stage), and: builder.data(stage)) : 0
        }
        let end = timeline.end
        let busy = stages.reduce(0) { $0 + timeline.busySeconds(of: builder.compute($1)) }
        contentionSeconds = (stages.map(overlap).max() ?? 0) * profile.collectiveComputeShare
        seconds = end + contentionSeconds
        idleFraction = end > 0 ? 1 - busy / (end * Double(plan.pipeline)) : 0
        let totals = builder.totals[busiest]
        computeSeconds = totals.compute
        tensorSeconds = totals.tensor
        contextSeconds = totals.context
        dataSeconds = totals.data
        hiddenDataSeconds = overlap(busiest)
        optimizerSeconds = totals.optimizer
        bytesSent = builder.totals.map(\.bytesSent).max() ?? 0
    }
}

/// Lays the tasks of a step onto streams: three a stage, for kernels, for the data axis, and for sends in both directions.
private struct StepBuilder {
    struct Totals {
        var compute = 0.0
        var tensor = 0.0
        var context = 0.0
        var data = 0.0
        var optimizer = 0.0
        var bytesSent = 0.0
    }

    /// Seconds and bytes of one pass through a part of the model.
    struct Pass {
        var compute = 0.0
        var tensor = 0.0
        var context = 0.0
        var bytesSent = 0.0
        var seconds: Double { compute + tensor + context }
    }

    /// One pass of one part on one stage, in the stage's order.
    struct Use {
        let chunk: Int
        let part: Int
        let isForward: Bool
        let isFirst: Bool
        let isLast: Bool
        var task: Int
    }

    let workload: ClusterWorkload
    let plan: ClusterPlan
    let profile: ClusterProfile
    let cost: CollectiveCost
    let chunks: [[ClusterPlan.Part]]
    let forward: [ClusterPlan.Part: Pass]
    let backward: [ClusterPlan.Part: Pass]
    var timeline: EventTimeline
    var totals: [Totals]

    init(
        workload: ClusterWorkload, plan: ClusterPlan, profile: ClusterProfile,
        rates: ClusterProfile.Rates
    ) {
        self.workload = workload
        self.plan = plan
        self.profile = profile
        cost = CollectiveCost(intraNode: profile.intraNode, interNode: profile.interNode.link)
        chunks = plan.chunks(layers: workload.layers)
        timeline = EventTimeline(streams: 4 * plan.pipeline)
        totals = Array(repeating: Totals(), count: plan.pipeline)
        func kernels(_ list: [ClusterWorkload.Kernel]) -> Double {
            list.reduce(0) {
                $0
                    + profile.seconds(
                        of: $1, rates: rates, elementwiseTraffic: plan.elementwiseTraffic)
            }
        }
        let cost = cost
        /// A pass with so many gathers or scatters of activations over the tensor axis, and of keys and values over
        /// the context axis.
        func pass(_ list: [ClusterWorkload.Kernel], tensor: Double, context: Double) -> Pass {
            func share(_ group: ProcessGroup) -> Double { 1 - 1 / Double(group.size) }
            return Pass(
                compute: kernels(list),
                tensor: tensor
                    * cost.allGather(bytes: workload.activationBytes, over: plan.tensorGroup),
                context: context
                    * cost.allGather(bytes: workload.keyValueBytes, over: plan.contextGroup),
                bytesSent: tensor * workload.activationBytes * share(plan.tensorGroup)
                    + context * workload.keyValueBytes * share(plan.contextGroup))
        }
        // A block gathers rows before and scatters sums after attention and feed-forward; recomputation does so again.
        // Keys and values are gathered in both passes, their gradients scattered in backward.
        let again: Double = plan.recompute == .block ? 2 : 1
        forward = [
            .embedding: pass(workload.embedding.forward, tensor: 1, context: 0),
            .layer: pass(workload.layer.forward, tensor: 4, context: 1),
            .head: pass(workload.head.forward, tensor: 2, context: 0),
        ]
        backward = [
            .embedding: pass(workload.embedding.backward, tensor: 1, context: 0),
            .layer: pass(workload.layer.backward, tensor: 4 * again, context: 2),
            .head: pass(workload.head.backward, tensor: 0, context: 0),
        ]
    }

    func compute(_ stage: Int) -> Int { 4 * stage }
    func data(_ stage: Int) -> Int {
        plan.overlapsDataParallel ? 4 * stage + 1 : compute(stage)
    }
    func link(_ stage: Int, isForward: Bool) -> Int { 4 * stage + (isForward ? 2 : 3) }

    private func parameters(_ part: ClusterPlan.Part) -> Double { block(part).parameters }
    private func block(_ part: ClusterPlan.Part) -> ClusterWorkload.Block {
        switch part {
        case .embedding: workload.embedding
        case .layer: workload.layer
        case .head: workload.head
        }
    }

    mutating func build() {
        let uses = addPasses()
        var reductions: [Int] = []
        for stage in 0..<plan.pipeline {
            reductions +=
                plan.sharding == .everything
                ? addShardedWeights(stage, uses[stage])
                : addReplicatedWeights(stage, uses[stage])
        }
        addUpdates(after: reductions)
        timeline.run()
    }

    // MARK: Passes and sends

    /// Adds kernels and sends of all microbatches; returns each stage's passes in its order.
    private mutating func addPasses() -> [[Use]] {
        let schedule = PipelineSchedule(
            stages: plan.pipeline, microbatches: plan.microbatches,
            virtualStages: plan.virtualStages)
        var uses = [[Use]](repeating: [], count: plan.pipeline)
        // First and last task of each pass, by chunk and microbatch.
        typealias Ends = (first: Int, last: Int)
        let empty = [[Ends?]](
            repeating: [Ends?](repeating: nil, count: plan.microbatches), count: chunks.count)
        var forwardEnds = empty
        var backwardEnds = empty
        var sends: [(from: Int, to: (chunk: Int, microbatch: Int), isForward: Bool)] = []
        let sendBytes = workload.activationBytes / Double(plan.tensor)
        let sendSeconds = cost.send(bytes: sendBytes, withinNode: plan.stagesShareNode)

        // Without overlap a microstep's collectives stand in the compute queue, which needs their tasks in order, so
        // they are added with the passes there.
        for stage in 0..<plan.pipeline {
            if !plan.overlapsDataParallel, plan.sharding == .optimizer { addGathers(stage) }
            for action in schedule.actions[stage] {
                let chunk = action.chunk * plan.pipeline + stage
                var order = Array(chunks[chunk].indices)
                if !action.isForward { order.reverse() }
                var tasks: [Int] = []
                for part in order {
                    let pass = (action.isForward ? forward : backward)[chunks[chunk][part]]!
                    totals[stage].compute += pass.compute
                    totals[stage].tensor += pass.tensor
                    totals[stage].context += pass.context
                    totals[stage].bytesSent += pass.bytesSent
                    if !plan.overlapsDataParallel, plan.sharding == .everything {
                        addCollective(stage, part: chunks[chunk][part], isGather: true)
                    }
                    let task = timeline.add(stream: compute(stage), seconds: pass.seconds)
                    tasks.append(task)
                    uses[stage].append(
                        Use(
                            chunk: chunk, part: part, isForward: action.isForward,
                            isFirst: action.microbatch == 0,
                            isLast: action.microbatch == plan.microbatches - 1, task: task))
                    if !plan.overlapsDataParallel, plan.sharding == .everything,
                        !action.isForward
                    {
                        addCollective(stage, part: chunks[chunk][part], isGather: false)
                    }
                }
                let ends = (first: tasks[0], last: tasks[tasks.count - 1])
                let next = action.isForward ? chunk + 1 : chunk - 1
                if action.isForward {
                    forwardEnds[chunk][action.microbatch] = ends
                } else {
                    backwardEnds[chunk][action.microbatch] = ends
                }
                guard chunks.indices.contains(next) else { continue }
                var arrival = ends.last
                if plan.pipeline > 1 {
                    arrival = timeline.add(
                        stream: link(stage, isForward: action.isForward), seconds: sendSeconds,
                        after: [ends.last])
                    totals[stage].bytesSent += sendBytes
                }
                sends.append((arrival, (next, action.microbatch), action.isForward))
            }
        }
        for send in sends {
            let ends = (send.isForward ? forwardEnds : backwardEnds)[send.to.chunk][
                send.to.microbatch]!
            timeline.addDependency(of: ends.first, on: send.from)
        }
        for (chunk, row) in backwardEnds.enumerated() {
            for (microbatch, ends) in row.enumerated() {
                timeline.addDependency(
                    of: ends!.first, on: forwardEnds[chunk][microbatch]!.last)
            }
        }
        return uses
    }

    // MARK: The data axis

    /// Adds one collective of a part's weights or gradients. Weights travel as kernels read them.
    @discardableResult
    private mutating func addCollective(
        _ stage: Int, part: ClusterPlan.Part, isGather: Bool, after: [Int] = []
    ) -> Int {
        let group = plan.replicaGroup
        let bytes = parameters(part) * (isGather ? workload.weightBytes : plan.gradientBytes)
        let isAllReduce = !isGather && plan.sharding == .none
        let seconds =
            isAllReduce
            ? cost.allReduce(bytes: bytes, over: group)
            : cost.allGather(bytes: bytes, over: group)
        totals[stage].data += seconds
        totals[stage].bytesSent +=
            (isAllReduce ? 2 : 1) * bytes * (1 - 1 / Double(group.size))
        return timeline.add(stream: data(stage), seconds: seconds, after: after)
    }

    /// Gathers of the weights updated elsewhere, in order of first use, by chunk and part.
    @discardableResult
    private mutating func addGathers(_ stage: Int) -> [[Int]: Int] {
        var gathers: [[Int]: Int] = [:]
        for chunk in stride(from: stage, to: chunks.count, by: plan.pipeline) {
            for (part, kind) in chunks[chunk].enumerated() {
                gathers[[chunk, part]] = addCollective(stage, part: kind, isGather: true)
            }
        }
        return gathers
    }

    /// ZeRO-1 or none: weights are gathered before the first microbatch, gradients reduced after the last.
    private mutating func addReplicatedWeights(_ stage: Int, _ uses: [Use]) -> [Int] {
        if plan.sharding == .optimizer, plan.overlapsDataParallel {
            let gathers = addGathers(stage)
            for use in uses where use.isForward && use.isFirst {
                timeline.addDependency(of: use.task, on: gathers[[use.chunk, use.part]]!)
            }
        }
        var reductions: [Int] = []
        for use in uses where !use.isForward && use.isLast {
            reductions.append(
                addCollective(
                    stage, part: chunks[use.chunk][use.part], isGather: false,
                    after: [use.task]))
        }
        return reductions
    }

    /// ZeRO-3: a part's weights are gathered before each pass, one part ahead of compute, and its gradients reduced
    /// after each backward pass.
    private mutating func addShardedWeights(_ stage: Int, _ uses: [Use]) -> [Int] {
        guard plan.overlapsDataParallel else { return uses.map(\.task) }
        var reductions: [Int] = []
        for (index, use) in uses.enumerated() {
            // Two parts are held at a time, so a gather waits for the part before the last.
            let gather = addCollective(
                stage, part: chunks[use.chunk][use.part], isGather: true,
                after: index >= 2 ? [uses[index - 2].task] : [])
            timeline.addDependency(of: use.task, on: gather)
            // In the queue a gather goes before the reduction of the part ahead of it, so that compute can go on.
            if index > 0, !uses[index - 1].isForward {
                reductions.append(addReduction(stage, uses[index - 1]))
            }
        }
        if let last = uses.last, !last.isForward { reductions.append(addReduction(stage, last)) }
        return reductions
    }

    private mutating func addReduction(_ stage: Int, _ use: Use) -> Int {
        addCollective(
            stage, part: chunks[use.chunk][use.part], isGather: false, after: [use.task])
    }

    // MARK: The update

    /// The gradient norm needs every stage's gradients; then each stage updates what it holds.
    private mutating func addUpdates(after reductions: [Int]) {
        let norm = cost.allReduce(bytes: 4, over: plan.world)
        for stage in 0..<plan.pipeline {
            var held = 0.0
            for chunk in stride(from: stage, to: chunks.count, by: plan.pipeline) {
                for part in chunks[chunk] { held += parameters(part) }
            }
            if plan.sharding != .none { held /= Double(plan.replicaGroup.size) }
            // Reads the gradient twice (norm, update), reads and writes master and both moments, writes the copy.
            let bytes = held * (32 + (workload.hasMaster ? workload.weightBytes : 0))
            let seconds = norm + bytes / profile.memoryBytesPerSecond
            totals[stage].optimizer = seconds
            _ = timeline.add(stream: compute(stage), seconds: seconds, after: reductions)
        }
    }
}
