import ForjaCore
import ForjaData
import ForjaModels
import ForjaNN
import ForjaObjectives
import ForjaParallel
import ForjaRuntime
import ForjaTestSupport
import ForjaTraining
import Foundation
import Testing

/// Steps in two passes: any objective between the parts of a recorded step.
@Suite("Steps of an objective", .serialized)
struct ObjectiveStepTests {
    /// How a step is made; every case trains on the same rows.
    struct Case: Sendable {
        var mesh = Mesh(data: 1, tensor: 1)
        var accumulation = 1
        var recompute = StepGraph.RecomputePolicy.none
        var shardsState = true
        var steps = 6
    }

    static let configuration = LlamaConfiguration(
        width: 48, layers: 2, heads: 4, keyValueHeads: 2, feedForwardWidth: 96,
        vocabularySize: 132, contextLength: 16)
    static let rows = 8
    static let length = 16
    static let objective = PreferenceObjective(.dpoNorm)

    /// Four pairs: prompts of 1 to 4 tokens, answers that end where the row number says.
    static func microbatch(step: Int, rows: Range<Int>) -> Microbatch {
        let random = CounterRandom(seed: 4, purpose: .data, stream: UInt32(step))
        var tokens: [Int32] = []
        var labels: [Int32] = []
        for row in rows {
            let prompt = row / 2 + 1
            let end = length - 1 - row % 5
            for position in 0..<length {
                let index = UInt64(row * (length + 1) + position)
                tokens.append(Int32(random.integer(below: 132, at: index)))
                let isLabel = prompt <= position && position < end
                labels.append(
                    isLabel ? Int32(random.integer(below: 132, at: index + 1)) : Batch.ignoredLabel)
            }
        }
        var microbatch = Microbatch(
            Batch(tokens: tokens, labels: labels),
            sequences: (0..<rows.count).map { $0 * length..<($0 + 1) * length })
        // Of another model than the one trained, so that no pair is at its reference.
        microbatch.labels.referenceSums = rows.map { -48.0 - Double($0 * 3 % 7) }
        return microbatch
    }

    static func engine(
        _ it: Case, form: LossForm, queue: Queue, rank: MeshRank,
        optimizer: AdamWSettings = DataParallelTests.optimizer
    ) throws(ForjaError) -> TrainingEngine {
        let model = LlamaModel(
            configuration, computeType: .float32, positions: length,
            sharding: try LlamaSharding(configuration, over: rank.tensor))
        let engine = try TrainingEngine(
            model: model,
            shape: StepShape(
                sequences: rows / it.mesh.data / it.accumulation, sequenceLength: length,
                accumulation: it.accumulation, recompute: it.recompute, lossForm: form),
            optimizer: optimizer, queue: queue, rank: rank, shardsState: it.shardsState)
        try engine.prepare()
        try model.initialize(seed: 5, on: queue)
        return engine
    }

    static func train(
        _ it: Case, _ objective: any Objective, form: LossForm, on tested: TestedDevice
    ) throws -> [StepResult] {
        let selection: DeviceSelection =
            switch tested {
            case .host: .host
            case .openCL(let index): .openCLIndex(index)
            }
        let devices = try selection.open(rankCount: it.mesh.rankCount, threadCount: 2).devices
        let ranks = try RankLauncher.run(it.mesh, timeoutSeconds: 300) { rank throws(ForjaError) in
            let engine = try engine(
                it, form: form, queue: try Queue(device: devices[rank.rank]), rank: rank)
            var steps: [StepResult] = []
            for number in 1...it.steps {
                let microbatches = engine.shape.places(of: rank).map {
                    microbatch(step: number, rows: $0)
                }
                steps.append(
                    try engine.step(
                        number: number,
                        work: StepWork(microbatches: microbatches, objective: objective),
                        learningRate: 3e-3, maxGradientNorm: 1))
            }
            return steps
        }
        for rank in ranks {
            #expect(rank.map(\.loss) == ranks[0].map(\.loss))
            #expect(rank.map(\.metrics) == ranks[0].map(\.metrics))
        }
        return ranks[0]
    }

    /// Relative difference of losses and norms: sums in another order, over steps that each start from the last.
    static let tolerance: Float = 2e-5

    static func expectEqual(_ seen: [StepResult], _ expected: [StepResult]) {
        #expect(seen.count == expected.count)
        for (seen, expected) in zip(seen, expected) {
            #expect(abs(seen.loss / expected.loss - 1) <= tolerance)
            #expect(abs(seen.gradientNorm / expected.gradientNorm - 1) <= 1e-4)
            #expect(seen.labelCount == expected.labelCount)
            for (name, value) in expected.metrics.values {
                let other = seen.metrics.values[name] ?? .nan
                #expect(abs(other - value) <= 1e-4 * max(1, abs(value)), "\(name)")
            }
        }
    }

    @Test(
        "likelihood in two passes is likelihood in one", arguments: TestedDevice.all,
        LikelihoodObjective.Reduction.allCases)
    func likelihoodIsTheSame(
        device: TestedDevice, reduction: LikelihoodObjective.Reduction
    ) throws {
        let objective = LikelihoodObjective(reduction: reduction)
        for accumulation in [1, 2] {
            let it = Case(accumulation: accumulation)
            Self.expectEqual(
                try Self.train(it, objective, form: .twoPass, on: device)
                    .map {
                        var step = $0
                        step.metrics = ObjectiveMetrics()
                        return step
                    }, try Self.train(it, objective, form: .onePass, on: device))
        }
    }

    @Test(
        "microsteps, recomputation, data and tensor ranks change rounding alone",
        arguments: TestedDevice.all)
    func isTheSameHoweverSpread(device: TestedDevice) throws {
        let single = try Self.train(Case(), Self.objective, form: .twoPass, on: device)
        for it in [
            Case(accumulation: 4), Case(accumulation: 2, recompute: .block),
            Case(mesh: Mesh(data: 2, tensor: 1)),
            Case(mesh: Mesh(data: 2, tensor: 1), accumulation: 2, shardsState: false),
            Case(mesh: Mesh(data: 1, tensor: 2)), Case(mesh: Mesh(data: 2, tensor: 2)),
        ] {
            Self.expectEqual(
                try Self.train(it, Self.objective, form: .twoPass, on: device), single)
        }
    }

    @Test(
        "along its gradient the loss changes as fast as the gradient is long",
        arguments: TestedDevice.all)
    func gradientIsTheDerivative(device: TestedDevice) throws {
        // So large an epsilon makes AdamW's first update the gradient itself.
        let engine = try Self.engine(
            Case(), form: .twoPass, queue: try device.queue(), rank: .single,
            optimizer: AdamWSettings(
                beta1: 0.9, beta2: 0.95, epsilon: 1e4, weightDecay: 0, decaysOnlyMatrices: true))
        let work = StepWork(
            microbatches: [Self.microbatch(step: 1, rows: 0..<Self.rows)],
            objective: Self.objective)
        func weights() throws -> [[Float]] {
            try engine.model.parameters.map { try $0.master.read(Float.self, on: engine.queue) }
        }
        let before = try weights()
        let result = try engine.step(
            number: 1, work: work, learningRate: 1e4, maxGradientNorm: 0)
        let gradient = zip(before, try weights()).map { zip($0, $1).map { $0 - $1 } }
        let norm = gradient.joined().reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        #expect(abs(norm / Double(result.gradientNorm) - 1) <= 1e-3)
        func loss(at distance: Double) throws -> Double {
            for (index, parameter) in engine.model.parameters.enumerated() {
                try parameter.master.write(
                    zip(before[index], gradient[index]).map {
                        $0 + Float(distance * Double($1) / norm)
                    }, on: engine.queue)
            }
            var turns = work.microbatches[...]
            return try engine.evaluate(Self.objective) { turns.popFirst() }.loss
        }
        #expect(abs(try loss(at: 0) - Double(result.loss)) <= 1e-6)
        let h = 2e-3
        let slope = (try loss(at: h) - loss(at: -h)) / (2 * h)
        #expect(abs(slope / norm - 1) <= 5e-3, "\(slope) along a gradient of length \(norm)")
    }

    @Test("at the reference the loss of a pair is log 2", arguments: TestedDevice.all)
    func isLogTwoAtTheReference(device: TestedDevice) throws {
        let engine = try Self.engine(
            Case(), form: .twoPass, queue: try device.queue(), rank: .single)
        var microbatch = Self.microbatch(step: 1, rows: 0..<Self.rows)
        let values = try engine.logProbabilities(of: microbatch.batch)
        microbatch.labels.referenceSums = microbatch.labels.sequences.map { range in
            range.reduce(0) {
                $0 + (microbatch.labels.isLabel[$1] ? Double(values[$1]) : 0)
            }
        }
        for loss in [PreferenceObjective.Loss.dpo, .dpoNorm] {
            var turns = [microbatch][...]
            let (value, metrics) = try engine.evaluate(PreferenceObjective(loss)) {
                turns.popFirst()
            }
            #expect(abs(value - log(2)) <= 1e-12)
            #expect(metrics.values["reward_margin"] == 0)
        }
    }

    @Test("log-probabilities are those of the scorer", arguments: TestedDevice.all)
    func scoresAlike(device: TestedDevice) throws {
        let engine = try Self.engine(
            Case(), form: .twoPass, queue: try device.queue(), rank: .single)
        let random = CounterRandom(seed: 8, purpose: .data, stream: 0)
        let ids = (0...UInt64(Self.length)).map { Int32(random.integer(below: 132, at: $0)) }
        let filler = [Int32](repeating: 0, count: Self.length * (Self.rows - 1))
        let seen = try engine.logProbabilities(
            of: Batch(
                tokens: Array(ids.dropLast()) + filler,
                labels: Array(ids.dropFirst()) + filler.map { _ in Batch.ignoredLabel }))
        let scored = try LlamaScorer(model: engine.model, queue: engine.queue)
            .logProbabilities(of: ids)
        for (one, other) in zip(seen, scored.dropFirst()) {
            #expect(abs(one - (other ?? .nan)) <= 1e-5)
        }
        #expect(seen.dropFirst(Self.length).allSatisfy { $0 == 0 })
    }
}
