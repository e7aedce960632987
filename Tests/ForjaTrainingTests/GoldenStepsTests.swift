import ForjaCore
import ForjaData
import ForjaFormats
import ForjaModels
import ForjaNN
import ForjaRuntime
import ForjaTestSupport
import ForjaTraining
import Foundation
import Testing

/// Twenty AdamW steps against PyTorch's (Tests/Fixtures/llama).
@Suite("AdamW steps against PyTorch", .serialized)
struct GoldenStepsTests {
    struct Golden: Decodable {
        struct Optimizer: Decodable {
            let learningRate: Float
            let beta1: Float
            let beta2: Float
            let epsilon: Float
            let weightDecay: Float
            let maxNorm: Float

            enum CodingKeys: String, CodingKey {
                case beta1, beta2, epsilon
                case learningRate = "learning_rate"
                case weightDecay = "weight_decay"
                case maxNorm = "max_norm"
            }
        }
        let optimizer: Optimizer
        let stepLosses: [Float]
        let stepGradientNorms: [Float]

        enum CodingKeys: String, CodingKey {
            case optimizer
            case stepLosses = "step_losses"
            case stepGradientNorms = "step_gradient_norms"
        }
    }

    static func losses(
        _ name: String, device: TestedDevice, accumulation: Int = 1,
        recompute: StepGraph.RecomputePolicy = .none, computeType: DType = .float32,
        threadCount: Int = 0
    ) throws -> (seen: [StepResult], golden: Golden) {
        let directory = try ModelDirectory(fixture("llama/\(name)"))
        let golden = try JSONDecoder().decode(
            Golden.self,
            from: Data(contentsOf: URL(fileURLWithPath: directory.path + "/golden.json")))
        let file = try SafetensorsFile(contentsOf: directory.path + "/golden.safetensors")
        func integers(_ name: String) throws -> [Int32] {
            try file.withUnsafeBytes(of: name) { Array($0.bindMemory(to: Int32.self)) }
        }
        let ids = try integers("steps.ids")
        let labels = try integers("steps.labels")
        let shape = try file.tensor(named: "steps.ids").shape
        let queue = try device.queue(threadCount: threadCount)
        let sequences = shape[1] / accumulation
        let model = LlamaModel(
            directory.configuration, computeType: computeType, positions: shape[2])
        let o = golden.optimizer
        let engine = try TrainingEngine(
            model: model,
            shape: StepShape(
                sequences: sequences, sequenceLength: shape[2], accumulation: accumulation,
                recompute: recompute),
            optimizer: AdamWSettings(
                beta1: o.beta1, beta2: o.beta2, epsilon: o.epsilon, weightDecay: o.weightDecay,
                decaysOnlyMatrices: true), queue: queue)
        try engine.prepare()
        try model.load(from: directory.safetensors(), on: queue)
        let perMicrostep = sequences * shape[2]
        let seen = try (1...shape[0]).map { number in
            let microbatches = (0..<accumulation).map { index in
                let first = ((number - 1) * accumulation + index) * perMicrostep
                let range = first..<(first + perMicrostep)
                return Batch(tokens: Array(ids[range]), labels: Array(labels[range]))
            }
            return try engine.step(
                number: number, microbatches: microbatches, learningRate: o.learningRate,
                maxGradientNorm: o.maxNorm)
        }
        return (seen, golden)
    }

    @Test(
        "twenty losses and gradient norms are PyTorch's",
        arguments: ["tied", "untied-wide-heads"], TestedDevice.all)
    func matchesPyTorch(name: String, device: TestedDevice) throws {
        let (seen, golden) = try Self.losses(name, device: device)
        #expect(
            largestDifference(seen.map(\.loss), golden.stepLosses) <= ModelTolerance.stepLosses)
        for (result, norm) in zip(seen, golden.stepGradientNorms) {
            #expect(abs(result.gradientNorm / norm - 1) <= 1e-4)
        }
    }

    @Test("three microsteps give the losses of one", arguments: TestedDevice.all)
    func accumulationKeepsLosses(device: TestedDevice) throws {
        let (seen, golden) = try Self.losses("tied", device: device, accumulation: 3)
        #expect(
            largestDifference(seen.map(\.loss), golden.stepLosses) <= ModelTolerance.stepLosses)
    }

    @Test("recomputation gives the same bits", arguments: TestedDevice.all)
    func recomputationKeepsBits(device: TestedDevice) throws {
        let kept = try Self.losses("tied", device: device).seen
        let recomputed = try Self.losses("tied", device: device, recompute: .block).seen
        #expect(kept.map(\.loss) == recomputed.map(\.loss))
        #expect(kept.map(\.gradientNorm) == recomputed.map(\.gradientNorm))
    }

    @Test("one, two and three threads give the same bits")
    func threadsKeepBits() throws {
        let one = try Self.losses("tied", device: .host, threadCount: 1).seen.map(\.loss)
        for threadCount in [2, 3] {
            let other = try Self.losses("tied", device: .host, threadCount: threadCount).seen
            #expect(other.map(\.loss) == one)
        }
    }

    @Test("bfloat16 storage follows float32", arguments: TestedDevice.all)
    func bfloat16Follows(device: TestedDevice) throws {
        let (seen, golden) = try Self.losses("tied", device: device, computeType: .bfloat16)
        #expect(
            largestDifference(seen.map(\.loss), golden.stepLosses)
                <= 2 * ModelTolerance.bfloat16Loss)
    }
}
