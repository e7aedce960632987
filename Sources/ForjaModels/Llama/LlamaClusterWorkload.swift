import ForjaCore
import ForjaNN
import ForjaParallel
import ForjaRuntime

extension LlamaConfiguration {
    /// What one microbatch of a plan asks of one device, taken from the dispatches that training records.
    ///
    /// The slice of one rank (heads, feed-forward and vocabulary divided by the tensor degree, rows by the context degree)
    /// is recorded with one block and with two; the difference is a block, the rest the two ends. Recording allocates
    /// nothing, so the largest models take as long as small ones.
    ///
    /// What the step graph does not know is added here: sequence-parallel norms and residuals see 1/P of the rows, a
    /// context rank's causal attention sees all keys, and selective recomputation.
    ///
    /// - Throws: `.invalidInput` when the tensor degree does not divide what it splits, with the degrees that do.
    public func clusterWorkload(
        for plan: ClusterPlan, computeType: DType
    ) throws(ForjaError) -> ClusterWorkload {
        let slice = try rankSlice(tensor: plan.tensor)
        let one = try RecordedSlice(slice, layers: 1, plan: plan, computeType: computeType)
        let two = try RecordedSlice(slice, layers: 2, plan: plan, computeType: computeType)
        let layerForward = two.forward.subtracting(one.forward)
        let layerBackward = two.backward.subtracting(one.backward)
        let endForward = one.forward.subtracting(layerForward)
        let endBackward = one.backward.subtracting(layerBackward)
        let isEmbedding = { (name: String) in name.hasPrefix("embedding") }
        let layerSaved = two.savedBytes - one.savedBytes

        var layer = ClusterWorkload.Block(
            forward: layerForward.kernels(), backward: layerBackward.kernels(),
            parameters: Double(one.layerParameters), savedBytes: layerSaved)
        var transient = one.peakBytes - one.savedBytes
        let rows = Double(plan.sequences * plan.sequenceLength / plan.context)
        let weightBytes = Double(computeType.byteCount)
        if plan.recompute == .selective {
            layer.backward += recomputedSelectively(layerForward)
            layer.savedBytes = slice.selectivelySavedBytes(
                rows: rows, elementBytes: weightBytes, tensor: plan.tensor)
            transient += layerSaved - layer.savedBytes
        }
        let table = Double(slice.vocabularySize * slice.width)
        // A tied head is a second copy of the table where it stands on another stage.
        let headTable = tiesEmbeddings && plan.pipeline == 1 ? 0 : table
        return ClusterWorkload(
            layers: layers, layer: layer,
            embedding: ClusterWorkload.Block(
                forward: endForward.kernels(where: isEmbedding),
                backward: endBackward.kernels(where: isEmbedding), parameters: table,
                savedBytes: 0),
            head: ClusterWorkload.Block(
                forward: endForward.kernels { !isEmbedding($0) },
                backward: endBackward.kernels { !isEmbedding($0) },
                parameters: headTable + Double(width),
                savedBytes: one.savedBytes - layerSaved),
            transientBytes: transient, activationBytes: rows * Double(width) * weightBytes,
            keyValueBytes: 2 * rows * Double(plan.context)
                * Double(slice.keyValueHeads * headWidth) * weightBytes,
            rows: rows, tokensPerMicrobatch: Double(plan.sequences * plan.sequenceLength),
            flopsPerToken: trainingFlopsPerToken(sequenceLength: plan.sequenceLength),
            parameters: Double(parameterCount), format: computeType.rawValue)
    }

    /// The configuration whose tensors are those that one tensor-parallel rank holds.
    private func rankSlice(tensor: Int) throws(ForjaError) -> LlamaConfiguration {
        try LlamaSharding.check(self, degree: tensor)
        var slice = self
        slice.heads /= tensor
        slice.keyValueHeads /= tensor
        slice.feedForwardWidth /= tensor
        slice.vocabularySize /= tensor
        return slice
    }

    // MARK: Selective recomputation

    /// What backward makes again: elementwise results, and of a block's seven products every second one (key, output
    /// and up projection), as torchtitan's policy does. Attention is kept.
    private func recomputedSelectively(_ forward: KernelTally) -> [ClusterWorkload.Kernel] {
        let keyShare = Double(keyValueHeads) / Double(heads + 2 * keyValueHeads)
        let shares = ["attention_fused": keyShare, "attention_output": 1, "gate_up": 0.5]
        return forward.counts.flatMap { entry, count -> [ClusterWorkload.Kernel] in
            var kernel = entry.kernel
            switch kernel.kind {
            case .elementwise: break
            case .matmul:
                let name = String(entry.name.prefix { $0 != "." })
                guard let share = shares[name] else { return [] }
                kernel.flops *= share
                kernel.bytes *= share
            case .attentionForward, .attentionBackward: return []
            }
            return Array(repeating: kernel, count: count)
        }
    }

    /// Bytes such a block keeps: its input, queries, values, attention's result with its log-sum-exp, gate, and down
    /// projection. The receiver is a rank's slice.
    private func selectivelySavedBytes(
        rows: Double, elementBytes: Double, tensor: Int
    ) -> Double {
        let split = (2 * heads + keyValueHeads) * headWidth + feedForwardWidth
        let shared = 2 * Double(width) / Double(tensor)
        return rows * ((Double(split) + shared) * elementBytes + Double(heads) * 4)
    }
}

/// Kernels by name, with how often each is dispatched.
private struct KernelTally {
    struct Entry: Hashable {
        let name: String
        let kernel: ClusterWorkload.Kernel
    }

    var counts: [Entry: Int] = [:]

    func subtracting(_ other: KernelTally) -> KernelTally {
        KernelTally(
            counts: counts.merging(other.counts.mapValues { -$0 }, uniquingKeysWith: +)
                .filter { $0.value > 0 })
    }

    /// In an order that does not change from run to run, so that sums do not either.
    func kernels(where matches: (String) -> Bool = { _ in true }) -> [ClusterWorkload.Kernel] {
        counts.filter { matches($0.key.name) }
            .sorted {
                ($0.key.name, $0.key.kernel.flops, $0.key.kernel.bytes)
                    < ($1.key.name, $1.key.kernel.flops, $1.key.kernel.bytes)
            }
            .flatMap { Array(repeating: $0.key.kernel, count: $0.value) }
    }
}

/// The dispatches and lifetimes of a rank's slice with a given number of blocks.
private struct RecordedSlice {
    var forward = KernelTally()
    var backward = KernelTally()
    /// Written before backward starts and read after.
    var savedBytes = 0.0
    var peakBytes = 0.0
    let layerParameters: Int

    init(
        _ slice: LlamaConfiguration, layers: Int, plan: ClusterPlan, computeType: DType
    ) throws(ForjaError) {
        var configuration = slice
        configuration.layers = layers
        let length = plan.sequenceLength / plan.context
        let rows = plan.sequences * length
        let model = LlamaModel(configuration, computeType: computeType, positions: length)
        layerParameters = model.layers[0].all.reduce(0) { $0 + $1.shape.elementCount }
        let graph = StepGraph(recompute: plan.recompute == .block ? .block : .nothing)
        for parameter in model.parameters {
            // Gradients are counted with the parameters, not with activations.
            graph.collectGradient(
                of: graph.tensor(parameter.compute),
                in: Variable(name: "gradient", shape: parameter.shape, dtype: .float32))
        }
        func input(_ name: String, _ dtype: DType) -> Tensor {
            graph.tensor(Variable(name: name, shape: [rows], dtype: dtype))
        }
        let hidden = try model.hidden(
            in: graph, tokens: input("tokens", .int32), batch: plan.sequences,
            source: .sequences(length: length, documentStart: nil))
        _ = try graph.labelLogProbability(
            hidden: hidden, weight: graph.tensor(model.head.compute),
            labels: input("labels", .int32), gradient: input("gradient", .float32),
            chunking: HeadChunking(rows: min(plan.headRows ?? rows, rows)))
        let boundary = graph.dispatches.count
        try graph.backward()
        for (index, dispatch) in graph.dispatches.enumerated() {
            let entry = KernelTally.Entry(
                name: dispatch.name, kernel: Self.kernel(of: dispatch, plan: plan))
            if index < boundary {
                forward.counts[entry, default: 0] += 1
            } else {
                backward.counts[entry, default: 0] += 1
            }
        }
        savedBytes = Self.savedBytes(of: graph, boundary: boundary, tensor: plan.tensor)
        peakBytes = Double(try MemoryPlan(graph).byteCount)
    }

    private static func kernel(
        of dispatch: StepGraph.Dispatch, plan: ClusterPlan
    ) -> ClusterWorkload.Kernel {
        var kernel = ClusterWorkload.Kernel(
            kind: .elementwise, flops: dispatch.flops, bytes: dispatch.bytes)
        switch dispatch.name {
        case "attention.forward": kernel.kind = .attentionForward
        case "attention.backward": kernel.kind = .attentionBackward
        default: if dispatch.flops > 0 { kernel.kind = .matmul }
        }
        switch kernel.kind {
        case .attentionForward, .attentionBackward: kernel.flops *= Double(plan.context)
        case .elementwise where isSequenceParallel(dispatch.name):
            kernel.bytes /= Double(plan.tensor)
        case .elementwise, .matmul: break
        }
        return kernel
    }

    private static func isSequenceParallel(_ name: String) -> Bool {
        name.hasPrefix("rmsnorm") || name == "add"
    }

    private static func savedBytes(of graph: StepGraph, boundary: Int, tensor: Int) -> Double {
        var writers: [Int: String] = [:]
        for dispatch in graph.dispatches[..<boundary] {
            for storage in dispatch.writes {
                guard case .transient = graph.storages[storage].kind else { continue }
                writers[storage] = dispatch.name
            }
        }
        let read = Set(graph.dispatches[boundary...].flatMap(\.reads))
        return writers.reduce(0.0) { sum, entry in
            guard read.contains(entry.key) else { return sum }
            let isShared = isSequenceParallel(entry.value) || entry.value.hasPrefix("embedding")
            return sum + Double(graph.storages[entry.key].byteCount)
                / Double(isShared ? tensor : 1)
        }
    }
}
