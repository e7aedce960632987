import ForjaCore
import ForjaModels
import ForjaNN
import ForjaRuntime
import ForjaTestSupport
import Testing

/// `backward(finishingFirst:)`: the embedding's gradient before weights' gradients of the first block.
@Suite("Embedding's gradient first", .serialized)
struct EarlyEmbeddingTests {
    static let configuration = LlamaConfiguration(
        width: 32, layers: 2, heads: 4, keyValueHeads: 2, feedForwardWidth: 64,
        vocabularySize: 61, contextLength: 8)
    static let rows = 2 * configuration.contextLength

    /// A model's gradients, recorded.
    struct Recording {
        let model = LlamaModel(
            EarlyEmbeddingTests.configuration, computeType: .float32,
            positions: EarlyEmbeddingTests.configuration.contextLength)
        let graph: StepGraph
        let gradients: [Variable]
        let tokens = Variable(
            name: "tokens", shape: [EarlyEmbeddingTests.rows], dtype: .int32)
        let seed = Variable(
            name: "seed", shape: [EarlyEmbeddingTests.rows], dtype: .float32)

        init(isEarly: Bool, recompute: StepGraph.RecomputePolicy) throws {
            graph = StepGraph(recompute: recompute)
            gradients = model.parameters.map {
                Variable(name: "\($0.name).gradient", shape: $0.shape, dtype: .float32)
            }
            for (parameter, gradient) in zip(model.parameters, gradients) {
                graph.collectGradient(of: graph.tensor(parameter.compute), in: gradient)
            }
            let hidden = try model.hidden(
                in: graph, tokens: graph.tensor(tokens), batch: 2,
                source: .sequences(
                    length: EarlyEmbeddingTests.configuration.contextLength, documentStart: nil))
            _ = try graph.labelLogProbability(
                hidden: hidden, weight: graph.tensor(model.head.compute),
                labels: graph.tensor(tokens), gradient: graph.tensor(seed))
            try graph.backward(
                finishingFirst: isEarly ? graph.tensor(model.embedding.compute) : nil)
        }

        func run(on device: TestedDevice) throws -> [[UInt32]] {
            let queue = try device.queue()
            let scheduler = Scheduler(queue: queue)
            let id = try scheduler.add(graph)
            try model.allocate(on: queue)
            try model.initialize(seed: 3, on: queue)
            try scheduler.prepare()
            let rows = EarlyEmbeddingTests.rows
            try tokens.write((0..<Int32(rows)).map { $0 * 7 % 61 }, on: queue)
            try seed.write([Float](repeating: -1, count: rows), on: queue)
            try scheduler.run(id)
            return try gradients.map { try $0.read(Float.self, on: queue).map(\.bitPattern) }
        }

        /// Names of the parameters in the order in which their gradients are finished.
        var order: [String] {
            graph.completionOrder(of: gradients.map(graph.tensor))
                .map { model.parameters[$0].name }
        }
    }

    static let policies: [StepGraph.RecomputePolicy] = [.nothing, .none, .block]

    @Test("has the same bits", arguments: TestedDevice.all, policies)
    func isEqual(device: TestedDevice, recompute: StepGraph.RecomputePolicy) throws {
        let late = try Recording(isEarly: false, recompute: recompute).run(on: device)
        let early = try Recording(isEarly: true, recompute: recompute).run(on: device)
        #expect(late.joined().contains { Float(bitPattern: $0) != 0 })
        #expect(early == late)
    }

    @Test(
        "comes before products of the first block, for no more than its gradients' memory",
        arguments: policies)
    func comesFirst(recompute: StepGraph.RecomputePolicy) throws {
        let late = try Recording(isEarly: false, recompute: recompute)
        let early = try Recording(isEarly: true, recompute: recompute)
        #expect(late.order.last == "embedding")
        #expect(
            early.order.suffix(3)
                == ["embedding", "layers.0.gate_up", "layers.0.attention_fused"])
        #expect(
            early.order.dropLast(3).elementsEqual(
                late.order.filter { !early.order.suffix(3).contains($0) }))
        #expect(
            early.graph.dispatches.map(\.name).sorted()
                == late.graph.dispatches.map(\.name).sorted())
        // dGateUp [N, 2F] and dFused [N, (H + 2G)·D], and the two norms' results [N, C].
        let c = Self.configuration
        let kept = Self.rows * (2 * c.feedForwardWidth + c.fusedWidth + 2 * c.width) * 4
        let (before, after) = (
            try MemoryPlan(late.graph).byteCount, try MemoryPlan(early.graph).byteCount
        )
        #expect(after <= before + kept)
    }
}
