import ForjaCore
import ForjaData
import ForjaFormats
import ForjaModels
import ForjaObjectives
import ForjaRuntime
import ForjaTestSupport
import ForjaTraining
import Testing

/// Chats that share a sequence, kept apart by attention, against one sequence each, and both against the scorer.
@Suite("Packed steps")
struct PackedStepTests {
    static let configuration = LlamaConfiguration(
        width: 32, layers: 2, heads: 4, keyValueHeads: 2, feedForwardWidth: 64,
        vocabularySize: 96, contextLength: 24)
    static let length = 24

    /// Chats of 6 to 15 tokens with a prompt of 2 to 4.
    static let chats: [ChatTokens] = (0..<9).map { chat in
        let random = CounterRandom(seed: 6, purpose: .data, stream: UInt32(chat))
        let count = 6 + chat * 7 % 10
        return ChatTokens(
            ids: (0..<count).map { Int32(random.integer(below: 96, at: UInt64($0))) },
            isLabel: (0..<count).map { $0 >= 2 + chat % 3 })
    }

    static func step(
        packing: PackedExamples.Packing, on device: TestedDevice
    ) throws -> (result: StepResult, engine: TrainingEngine) {
        let packed = PackedExamples(
            chats.map(Example.init), sequenceLength: length, packing: packing, seed: 1, padding: 0)
        let queue = try device.queue()
        let model = LlamaModel(configuration, computeType: .float32, positions: length)
        let engine = try TrainingEngine(
            model: model,
            shape: StepShape(
                sequences: packed.rows.count, sequenceLength: length,
                documentMask: packing == .bestFit),
            optimizer: DataParallelTests.optimizer, queue: queue)
        try engine.prepare()
        try model.initialize(seed: 5, on: queue)
        let work = StepWork(
            microbatches: [Microbatch(packed.batch(of: Array(packed.rows.indices)))],
            objective: LikelihoodObjective())
        // No update, so that the weights stay those scored.
        return (
            try engine.step(number: 1, work: work, learningRate: 0, maxGradientNorm: 0), engine
        )
    }

    @Test(
        "packed, unpacked and scored one by one the loss is the same", arguments: TestedDevice.all)
    func isTheSame(device: TestedDevice) throws {
        let (packed, engine) = try Self.step(packing: .bestFit, on: device)
        let (unpacked, _) = try Self.step(packing: .none, on: device)
        let labelCount = Self.chats.reduce(0) { $0 + $1.labelCount }
        #expect(packed.labelCount == labelCount && unpacked.labelCount == labelCount)
        #expect(abs(packed.loss / unpacked.loss - 1) <= 1e-6)
        #expect(abs(packed.gradientNorm / unpacked.gradientNorm - 1) <= 1e-5)
        let scorer = LlamaScorer(model: engine.model, queue: engine.queue)
        var sum = 0.0
        for chat in Self.chats {
            for (value, isLabel) in zip(
                try scorer.logProbabilities(of: chat.ids), chat.isLabel) where isLabel
            {
                sum -= Double(value ?? .nan)
            }
        }
        #expect(abs(Double(packed.loss) / (sum / Double(labelCount)) - 1) <= 1e-6)
    }
}
