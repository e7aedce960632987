import ForjaCore
import ForjaData
import ForjaModels
import ForjaNN
import ForjaParallel
import ForjaRuntime
import ForjaTestSupport
import ForjaTraining
import Testing

/// Data-parallel ranks against one device: the same model, the same rows, twenty steps.
@Suite("Data-parallel training", .serialized)
struct DataParallelTests {
    /// How a step is made; every case trains on the same rows.
    struct Case: Sendable {
        var ranks = 1
        var accumulation = 1
        var shardsState = true
        var overlaps = true
        var recompute = StepGraph.RecomputePolicy.none
        var computeType = DType.float32
        var steps = 20
    }

    /// What a run leaves: results by step, and the weights at its end.
    struct Outcome: Sendable {
        var steps: [StepResult]
        var weights: [[Float]]
        var momentByteCount: Int
        /// Of the rank's device.
        var allocatedByteCount: Int
    }

    static let configuration = LlamaConfiguration(
        width: 48, layers: 2, heads: 4, keyValueHeads: 2, feedForwardWidth: 96,
        vocabularySize: 131, contextLength: 16)
    /// Sequences of a step, and their length.
    static let rows = 8
    static let length = 16
    static let optimizer = AdamWSettings(
        beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, decaysOnlyMatrices: true)

    /// Rows of a step; some labels are missing, unevenly over the rows, so that ranks have different counts.
    static func batch(step: Int, rows: Range<Int>) -> Batch {
        let random = CounterRandom(seed: 3, purpose: .data, stream: UInt32(step))
        var tokens: [Int32] = []
        var labels: [Int32] = []
        for row in rows {
            for position in 0..<length {
                let index = UInt64(row * (length + 1) + position)
                let draw = { Int32(random.integer(below: 131, at: $0)) }
                tokens.append(draw(index))
                labels.append(position < row ? Batch.ignoredLabel : draw(index + 1))
            }
        }
        return Batch(tokens: tokens, labels: labels)
    }

    static func train(_ it: Case, on tested: TestedDevice) throws -> [Outcome] {
        let selection: DeviceSelection =
            switch tested {
            case .host: .host
            case .openCL(let index): .openCLIndex(index)
            }
        let devices = try selection.open(rankCount: it.ranks, threadCount: 2).devices
        return try RankLauncher.run(Mesh(data: it.ranks, tensor: 1), timeoutSeconds: 300) {
            rank throws(ForjaError) in
            let queue = try Queue(device: devices[rank.rank])
            let model = LlamaModel(
                configuration, computeType: it.computeType, positions: length)
            let sequences = rows / it.ranks / it.accumulation
            let engine = try TrainingEngine(
                model: model,
                shape: StepShape(
                    sequences: sequences, sequenceLength: length, accumulation: it.accumulation,
                    recompute: it.recompute),
                optimizer: optimizer, queue: queue, rank: rank, shardsState: it.shardsState,
                overlapsCommunication: it.overlaps)
            try engine.prepare()
            try model.initialize(seed: 5, on: queue)
            var steps: [StepResult] = []
            for number in 1...it.steps {
                let microbatches = (0..<it.accumulation).map { index in
                    let first = (index * it.ranks + rank.rank) * sequences
                    return batch(step: number, rows: first..<first + sequences)
                }
                steps.append(
                    try engine.step(
                        number: number, microbatches: microbatches, learningRate: 3e-3,
                        maxGradientNorm: 1))
            }
            try engine.gatherMasters()
            var weights: [[Float]] = []
            for parameter in model.parameters {
                weights.append(try parameter.master.read(Float.self, on: queue))
            }
            return Outcome(
                steps: steps, weights: weights,
                momentByteCount: engine.states.reduce(0) {
                    $0 + $1.firstMoment.byteCount + $1.secondMoment.byteCount
                }, allocatedByteCount: queue.device.allocatedBytes)
        }
    }

    static func bits(_ outcome: Outcome) -> [UInt32] {
        outcome.steps.flatMap { [$0.loss.bitPattern, $0.gradientNorm.bitPattern] }
            + outcome.weights.flatMap { $0.map(\.bitPattern) }
    }

    /// Relative difference of losses and norms between a mesh and one device: each step's sums are taken in another
    /// order, which float32 rounds differently.
    static let tolerance: Float = 1e-5

    static func expectEqual(_ mesh: Outcome, _ single: Outcome) {
        for (seen, expected) in zip(mesh.steps, single.steps) {
            #expect(abs(seen.loss / expected.loss - 1) <= tolerance)
            #expect(abs(seen.gradientNorm / expected.gradientNorm - 1) <= 1e-4)
            #expect(seen.labelCount == expected.labelCount)
        }
    }

    @Test("twenty losses are those of one device", arguments: [2, 4], TestedDevice.all)
    func matchesOneDevice(ranks: Int, device: TestedDevice) throws {
        let single = try Self.train(Case(), on: device)[0]
        for shardsState in [true, false] {
            let mesh = try Self.train(Case(ranks: ranks, shardsState: shardsState), on: device)
            for rank in mesh { Self.expectEqual(rank, single) }
            #expect(mesh.allSatisfy { Self.bits($0) == Self.bits(mesh[0]) })
        }
    }

    @Test("so are those with accumulation and recomputation", arguments: TestedDevice.all)
    func matchesWithAccumulation(device: TestedDevice) throws {
        let single = try Self.train(Case(accumulation: 2), on: device)[0]
        for recompute in [StepGraph.RecomputePolicy.none, .block] {
            let mesh = try Self.train(
                Case(ranks: 2, accumulation: 2, recompute: recompute), on: device)
            for rank in mesh { Self.expectEqual(rank, single) }
        }
    }

    @Test(
        "the same mesh twice, overlapped or not, gives the same bits", arguments: TestedDevice.all)
    func isReproducible(device: TestedDevice) throws {
        let first = try Self.train(Case(ranks: 3, steps: 1), on: device)
        #expect(first.count == 3)
        let runs = try [true, true, false].map {
            Self.bits(try Self.train(Case(ranks: 4, overlaps: $0, steps: 6), on: device)[0])
        }
        #expect(runs[0] == runs[1])
        #expect(runs[0] == runs[2])
    }

    @Test(
        "bfloat16 weights and float32 masters are the same on every rank",
        arguments: TestedDevice.all)
    func bfloat16(device: TestedDevice) throws {
        let single = try Self.train(Case(computeType: .bfloat16, steps: 6), on: device)[0]
        let mesh = try Self.train(Case(ranks: 2, computeType: .bfloat16, steps: 6), on: device)
        #expect(Self.bits(mesh[0]) == Self.bits(mesh[1]))
        for (seen, expected) in zip(mesh[0].steps, single.steps) {
            // Gradients of bfloat16 activations: 8 bits of fraction.
            #expect(abs(seen.loss / expected.loss - 1) <= 2e-3)
        }
    }

    @Test("with ZeRO-1 the ranks' states add up to one device's")
    func sharesState() throws {
        let single = try Self.train(Case(steps: 1), on: .host)[0]
        let mesh = try Self.train(Case(ranks: 4, steps: 1), on: .host)
        #expect(
            mesh.reduce(0) { $0 + $1.momentByteCount } == single.momentByteCount)
        #expect(mesh.allSatisfy { $0.momentByteCount < single.momentByteCount / 3 })
    }

    @Test(
        "a rank holds what the plan of its mesh says, however many steps",
        arguments: [true, false], TestedDevice.all)
    func matchesPlan(shardsState: Bool, device: TestedDevice) throws {
        let planned = try TrainingEngine(
            model: LlamaModel(Self.configuration, computeType: .float32, positions: Self.length),
            shape: StepShape(sequences: Self.rows / 4, sequenceLength: Self.length),
            optimizer: Self.optimizer, queue: device.queue(),
            rank: MeshRank(planning: Mesh(data: 4, tensor: 1)), shardsState: shardsState
        ).plannedByteCount
        let held = try [1, 3].map { steps in
            try Self.train(Case(ranks: 4, shardsState: shardsState, steps: steps), on: device)
                .map(\.allocatedByteCount)
        }
        #expect(held[0].allSatisfy { abs(Double($0) / Double(planned) - 1) < 0.1 })
        #expect(held[0] == held[1])
    }
}
