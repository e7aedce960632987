import ForjaCore
import ForjaData
import ForjaModels
import ForjaNN
import ForjaParallel
import ForjaRuntime
import ForjaTestSupport
import ForjaTraining
import Testing

/// Ranks that share one model against one device: the same initial weights, the same rows, twenty steps.
@Suite("Tensor-parallel training", .serialized)
struct TensorParallelTests {
    struct Case: Sendable {
        var mesh = Mesh(data: 1, tensor: 1)
        var accumulation = 1
        var shardsState = true
        var recompute = StepGraph.RecomputePolicy.none
        var tiesEmbeddings = true
        var computeType = DType.float32
        var steps = 20
        /// A longer model, for memory.
        var width = 48
    }

    struct Outcome: Sendable {
        var steps: [StepResult]
        /// Whole, by parameter, after the last step.
        var weights: [[Float]]
        /// First moments, whole, by parameter; none where ranks share out the optimizer's state.
        var moments: [[Float]]
        var weightByteCount: Int
        var activationByteCount: Int
        var plannedByteCount: Int
        var allocatedByteCount: Int
    }

    static let rows = 8
    static let length = 16

    static func configuration(_ it: Case) -> LlamaConfiguration {
        LlamaConfiguration(
            width: it.width, layers: 2, heads: 4, keyValueHeads: 2,
            feedForwardWidth: 2 * it.width, vocabularySize: 132, contextLength: 16,
            tiesEmbeddings: it.tiesEmbeddings)
    }

    /// Every rank of a mesh trains; each returns the whole weights.
    static func train(_ it: Case, on tested: TestedDevice) throws -> [Outcome] {
        let selection: DeviceSelection =
            switch tested {
            case .host: .host
            case .openCL(let index): .openCLIndex(index)
            }
        let devices = try selection.open(rankCount: it.mesh.rankCount, threadCount: 2).devices
        return try RankLauncher.run(it.mesh, timeoutSeconds: 300) { rank throws(ForjaError) in
            let queue = try Queue(device: devices[rank.rank])
            let configuration = configuration(it)
            let model = LlamaModel(
                configuration, computeType: it.computeType, positions: length,
                sharding: try LlamaSharding(configuration, over: rank.tensor))
            let sequences = rows / it.mesh.data / it.accumulation
            let engine = try TrainingEngine(
                model: model,
                shape: StepShape(
                    sequences: sequences, sequenceLength: length, accumulation: it.accumulation,
                    recompute: it.recompute),
                optimizer: DataParallelTests.optimizer, validates: false, queue: queue,
                rank: rank, shardsState: it.shardsState)
            try engine.prepare()
            try model.initialize(seed: 5, on: queue)
            var steps: [StepResult] = []
            for number in 1...it.steps {
                let microbatches = (0..<it.accumulation).map { index in
                    let place = index * it.mesh.data + it.mesh.dataIndex(of: rank.rank)
                    return DataParallelTests.batch(
                        step: number, rows: place * sequences..<(place + 1) * sequences)
                }
                steps.append(
                    try engine.step(
                        number: number, microbatches: microbatches, learningRate: 3e-3,
                        maxGradientNorm: 1))
            }
            try engine.gatherMasters()
            var weights: [[Float]] = []
            for parameter in model.parameters {
                weights.append(
                    try model.wholeMaster(of: parameter, on: queue))
            }
            var moments: [[Float]] = []
            for state in engine.states where !it.shardsState {
                moments.append(
                    try model.sharding.joined(
                        model.slice(of: state.parameter),
                        state.firstMoment.read(Float.self, on: queue)))
            }
            return Outcome(
                steps: steps, weights: weights, moments: moments,
                weightByteCount: model.parameters.reduce(0) { $0 + $1.master.byteCount },
                activationByteCount: engine.scheduler.arenaByteCount,
                plannedByteCount: engine.plannedByteCount,
                allocatedByteCount: queue.device.allocatedBytes)
        }
    }

    static func bits(_ outcome: Outcome) -> [UInt32] {
        outcome.steps.flatMap { [$0.loss.bitPattern, $0.gradientNorm.bitPattern] }
            + outcome.weights.flatMap { $0.map(\.bitPattern) }
    }

    static func expectEqual(_ mesh: [Outcome], _ single: Outcome) {
        for outcome in mesh {
            #expect(outcome.steps.count == single.steps.count)
            for (seen, expected) in zip(outcome.steps, single.steps) {
                #expect(abs(seen.loss / expected.loss - 1) <= DataParallelTests.tolerance)
                #expect(abs(seen.gradientNorm / expected.gradientNorm - 1) <= 1e-4)
            }
            // Every rank has the same whole model, to the bit.
            #expect(bits(outcome) == bits(mesh[0]))
        }
    }

    static let meshes = [Mesh(data: 1, tensor: 2), Mesh(data: 2, tensor: 2)]

    @Test("twenty losses are those of one device", arguments: meshes, TestedDevice.all)
    func matchesOneDevice(mesh: Mesh, device: TestedDevice) throws {
        for tied in [true, false] {
            let single = try Self.train(Case(tiesEmbeddings: tied), on: device)[0]
            let outcome = try Self.train(Case(mesh: mesh, tiesEmbeddings: tied), on: device)
            Self.expectEqual(outcome, single)
        }
    }

    @Test(
        "so are those with accumulation, recomputation and whole optimizer state",
        arguments: meshes, TestedDevice.all)
    func matchesWithAccumulation(mesh: Mesh, device: TestedDevice) throws {
        let single = try Self.train(Case(accumulation: 2), on: device)[0]
        for (shardsState, recompute) in [
            (true, StepGraph.RecomputePolicy.block), (false, .block), (false, .none),
        ] {
            let outcome = try Self.train(
                Case(
                    mesh: mesh, accumulation: 2, shardsState: shardsState, recompute: recompute),
                on: device)
            Self.expectEqual(outcome, single)
        }
        let oneGraph = try Self.train(Case(mesh: mesh, recompute: .block), on: device)
        Self.expectEqual(oneGraph, single)
    }

    @Test("the same mesh twice gives the same bits", arguments: meshes, TestedDevice.all)
    func isReproducible(mesh: Mesh, device: TestedDevice) throws {
        let runs = try (0..<2).map { _ in
            Self.bits(try Self.train(Case(mesh: mesh, steps: 6), on: device)[0])
        }
        #expect(runs[0] == runs[1])
    }

    /// AdamW's first moment after one step is 1 − β₁ of the gradient.
    @Test(
        "every gradient is that of one device",
        arguments: meshes + [Mesh(data: 2, tensor: 1), Mesh(data: 4, tensor: 1)], TestedDevice.all)
    func matchesGradients(mesh: Mesh, device: TestedDevice) throws {
        for (accumulation, recompute) in [(1, StepGraph.RecomputePolicy.none), (2, .block)] {
            var it = Case(
                accumulation: accumulation, shardsState: false, recompute: recompute,
                tiesEmbeddings: false, steps: 1)
            let single = try Self.train(it, on: device)[0]
            it.mesh = mesh
            let outcome = try Self.train(it, on: device)[0]
            #expect(outcome.moments.count == single.moments.count)
            for (seen, expected) in zip(outcome.moments, single.moments) {
                #expect(seen.count == expected.count)
                #expect(relativeNorm(seen, expected) <= ModelTolerance.meshGradient)
            }
        }
    }

    @Test("bfloat16 weights are the same on every rank")
    func bfloat16() throws {
        let single = try Self.train(Case(computeType: .bfloat16, steps: 6), on: .host)[0]
        for mesh in Self.meshes {
            let outcome = try Self.train(
                Case(mesh: mesh, computeType: .bfloat16, steps: 6), on: .host)
            #expect(outcome.allSatisfy { Self.bits($0) == Self.bits(outcome[0]) })
            for (seen, expected) in zip(outcome[0].steps, single.steps) {
                // Activations of bfloat16: 8 bits of fraction, summed in two parts.
                #expect(abs(seen.loss / expected.loss - 1) <= 4e-3)
            }
        }
    }

    @Test("two ranks hold half the weights each and about half the activations, as planned")
    func sharesMemory() throws {
        let single = try Self.train(Case(steps: 1, width: 256), on: .host)[0]
        let ranks = try Self.train(
            Case(mesh: Mesh(data: 1, tensor: 2), steps: 1, width: 256), on: .host)
        for rank in ranks {
            let weights = Double(rank.weightByteCount) / Double(single.weightByteCount)
            #expect((0.5...0.51).contains(weights))
            let activations = Double(rank.activationByteCount) / Double(single.activationByteCount)
            // What both products of a block read is gathered: [N, C] twice a block on every rank.
            #expect((0.45...0.62).contains(activations), "\(activations)")
            let planned = Double(rank.plannedByteCount) / Double(rank.allocatedByteCount)
            #expect((0.9...1.1).contains(planned), "\(planned)")
        }
    }

    @Test("a degree that does not divide is refused with the valid ones")
    func refusesDegrees() throws {
        let configuration = Self.configuration(Case())
        for (degree, rows, fix) in [(4, nil, "1, 2"), (3, nil, "1, 2"), (2, 15, "1")] {
            #expect {
                try LlamaSharding.check(configuration, degree: degree, rows: rows)
            } throws: { error in
                let error = error as? ForjaError
                return error?.code == .invalidInput
                    && error?.message.contains("parallel.tensor is \(degree)") == true
                    && error?.fix == "set parallel.tensor to \(fix)"
            }
        }
        try LlamaSharding.check(configuration, degree: 2, rows: 16)
    }
}
