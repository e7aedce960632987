import ForjaCore
import ForjaNN
import ForjaRuntime
import ForjaTestSupport
import Testing

/// Backward rules as the graph wires them, against central differences of the same graph's forward pass: a rule that
/// feeds a gradient to the wrong tensor, or twice, is seen here. Kernels have their own float64 tests.
@Suite("Backward rules", .serialized)
struct GraphGradientTests {
    /// A scalar Σ seed · output of a small graph, and its gradient with respect to each input.
    struct Harness {
        let queue: Queue
        let inputs: [Variable]
        let build: (StepGraph, [Tensor]) throws -> Tensor

        func run(_ values: [[Float]], seed: [Float]?) throws -> (
            output: [Float], gradients: [[Float]]
        ) {
            let graph = StepGraph()
            let tensors = inputs.map(graph.tensor)
            let collected = inputs.map {
                Variable(name: "gradient", shape: $0.shape, dtype: .float32)
            }
            if seed != nil {
                for (tensor, variable) in zip(tensors, collected) {
                    graph.collectGradient(of: tensor, in: variable)
                }
            }
            let output = try build(graph, tensors)
            let result = Variable(name: "result", shape: output.shape, dtype: .float32)
            graph.copy(output, into: result)
            let seedVariable = Variable(name: "seed", shape: output.shape, dtype: .float32)
            if seed != nil {
                let gradient = graph.transient("seed copy", output.shape, .float32)
                graph.recordCast(from: graph.tensor(seedVariable), to: gradient)
                graph.adoptGradient(gradient, for: output, isBorrowed: false)
                try graph.backward()
            }
            let scheduler = Scheduler(queue: queue)
            let id = try scheduler.add(graph)
            try scheduler.prepare()
            for (variable, values) in zip(inputs, values) { try variable.write(values, on: queue) }
            if let seed { try seedVariable.write(seed, on: queue) }
            try scheduler.run(id)
            return (
                try result.read(Float.self, on: queue),
                seed == nil ? [] : try collected.map { try $0.read(Float.self, on: queue) }
            )
        }
    }

    func check(
        _ shapes: [Shape], device: TestedDevice, tolerance: Double = 5e-3,
        _ build: @escaping (StepGraph, [Tensor]) throws -> Tensor
    ) throws {
        let inputs = shapes.enumerated().map {
            Variable(name: "input \($0)", shape: $1, dtype: .float32)
        }
        let harness = Harness(queue: try device.queue(), inputs: inputs, build: build)
        var values = shapes.enumerated().map { index, shape in
            let random = CounterRandom(seed: 7, purpose: .data, stream: UInt32(index))
            return (0..<shape.elementCount).map {
                Float(random.uniform(at: UInt64($0)) * 2 - 1)
            }
        }
        let count = try harness.run(values, seed: nil).output.count
        let random = CounterRandom(seed: 8, purpose: .data)
        let seed = (0..<count).map { Float(random.uniform(at: UInt64($0)) * 2 - 1) }
        let analytic = try harness.run(values, seed: seed).gradients
        let step: Float = 1e-2
        for input in inputs.indices {
            // A handful of places in each input: every one runs the graph twice.
            for place in stride(
                from: 0, to: values[input].count, by: max(values[input].count / 7, 1))
            {
                let original = values[input][place]
                var sides: [Double] = []
                for sign: Float in [1, -1] {
                    values[input][place] = original + sign * step
                    let output = try harness.run(values, seed: nil).output
                    sides.append(zip(output, seed).reduce(0) { $0 + Double($1.0) * Double($1.1) })
                }
                values[input][place] = original
                let numeric = (sides[0] - sides[1]) / (2 * Double(step))
                let seen = Double(analytic[input][place])
                #expect(
                    abs(numeric - seen) <= tolerance * max(1, abs(numeric)),
                    "input \(input) place \(place): \(seen), by differences \(numeric)")
            }
        }
    }

    @Test("linear", arguments: TestedDevice.all)
    func linear(device: TestedDevice) throws {
        try check([[5, 6], [7, 6]], device: device) { try $0.linear($1[0], weight: $1[1]) }
    }

    @Test("one tensor through two linears gets both gradients", arguments: TestedDevice.all)
    func sharedInput(device: TestedDevice) throws {
        try check([[5, 6], [6, 6]], device: device) { graph, inputs in
            let a = try graph.linear(inputs[0], weight: inputs[1])
            let b = try graph.linear(a, weight: inputs[1])
            return b
        }
    }

    @Test("norm", arguments: TestedDevice.all)
    func norm(device: TestedDevice) throws {
        try check([[4, 9], [9]], device: device) {
            try $0.rmsNorm($1[0], weight: $1[1], epsilon: 1e-5)
        }
    }

    @Test("gated unit", arguments: TestedDevice.all)
    func swiGLU(device: TestedDevice) throws {
        try check([[4, 5], [10, 5]], device: device) {
            try $0.swiGLU($0.linear($1[0], weight: $1[1]))
        }
    }

    @Test("softmax", arguments: TestedDevice.all)
    func softmax(device: TestedDevice) throws {
        try check([[4, 5], [9, 5]], device: device) {
            $0.softmax(try $0.linear($1[0], weight: $1[1]))
        }
    }

    @Test("residual around a norm and a linear", arguments: TestedDevice.all)
    func residual(device: TestedDevice) throws {
        try check([[4, 8], [8], [8, 8], [8, 8]], device: device) { graph, inputs in
            let x = try graph.linear(inputs[0], weight: inputs[3])
            let branch = try graph.linear(
                graph.rmsNorm(x, weight: inputs[1], epsilon: 1e-5), weight: inputs[2])
            return try graph.residualAdd(x, branch: branch)
        }
    }

    @Test("grouped-query attention", arguments: TestedDevice.all)
    func attention(device: TestedDevice) throws {
        try check([[12, 5], [32, 5]], device: device) { graph, inputs in
            try graph.attention(
                fused: graph.linear(inputs[0], weight: inputs[1]), batch: 2, sequenceLength: 6,
                heads: 4, keyValueHeads: 2, headWidth: 4)
        }
    }
}
