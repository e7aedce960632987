import CAllocationCount
import ForjaCore
import ForjaData
import ForjaModels
import ForjaNN
import ForjaRuntime
import ForjaTestSupport
import ForjaTraining
import Testing

/// What a replayed step costs in countable things. The counts are exact, so a test may hold them to constants where a
/// time would only be a measurement.
@Suite("Counts of a replayed step", .serialized)
struct StepCountsTests {
    static let vocabularySize = 64
    static let shape = StepShape(sequences: 2, sequenceLength: 16)
    static let layers = 2

    struct Counts {
        var queue: Queue.Counters
        var allocations: allocation_count
    }

    /// Counts of steps 3 to 5; the first two build kernels and let drivers settle.
    ///
    /// - Parameter planting: Runs in the counted interval, after the step. Without it the stack of an allocation is
    ///   printed: a failure names the place.
    static func counts(
        _ device: TestedDevice, shape: StepShape = shape, computeType: DType = .float32,
        planting: (() -> Void)? = nil
    ) throws -> [Counts] {
        // One thread: every task of the host's pool then runs on the thread whose allocations count.
        let queue = try device.queue(threadCount: 1)
        let configuration = LlamaConfiguration(
            width: 32, layers: layers, heads: 4, keyValueHeads: 2, feedForwardWidth: 48,
            vocabularySize: vocabularySize, contextLength: shape.sequenceLength)
        let model = LlamaModel(
            configuration, computeType: computeType, positions: shape.sequenceLength)
        let engine = try TrainingEngine(
            model: model, shape: shape,
            optimizer: AdamWSettings(
                beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, decaysOnlyMatrices: true),
            validates: false, queue: queue)
        try engine.prepare()
        try model.initialize(seed: 0, on: queue)
        let tokens = (0..<shape.sequences * shape.sequenceLength).map {
            Int32($0 * 7 % vocabularySize)
        }
        var batch = Batch(tokens: tokens, labels: tokens)
        if shape.documentMask { batch.documentStart = tokens.map { _ in 0 } }
        let microbatches = [Batch](repeating: batch, count: shape.accumulation)
        return try (1...5).map { number in
            let before = queue.counters
            allocation_count_start()
            let result = try engine.step(
                number: number, microbatches: microbatches, learningRate: 1e-3, maxGradientNorm: 1)
            planting?()
            let allocations = allocation_count_stop()
            if number > 2 && allocations.own > 0 && planting == nil { allocation_count_describe() }
            #expect(result.isFinite)
            return Counts(queue: queue.counters - before, allocations: allocations)
        }.suffix(3)
    }

    @Test(
        "no allocation in our code",
        .enabled(if: allocation_count_is_available(), "malloc is replaced on Linux with glibc"),
        arguments: TestedDevice.all, [1, 3])
    func allocatesNothing(device: TestedDevice, accumulation: Int) throws {
        var shape = Self.shape
        shape.accumulation = accumulation
        shape.documentMask = accumulation > 1
        for computeType in [DType.float32, .bfloat16] {
            let counts = try Self.counts(device, shape: shape, computeType: computeType)
            #expect(counts.map(\.allocations.own) == [0, 0, 0])
        }
    }

    @Test(
        "a planted allocation is seen",
        .enabled(if: allocation_count_is_available(), "malloc is replaced on Linux with glibc"),
        arguments: TestedDevice.all)
    func seesPlantedAllocation(device: TestedDevice) throws {
        var planted: [[Float]] = []
        planted.reserveCapacity(8)
        let counts = try Self.counts(device) {
            planted.append([Float](repeating: 1, count: 100))
        }
        #expect(counts.map(\.allocations.own) == [1, 1, 1])
        #expect(counts.allSatisfy { $0.allocations.own_bytes >= 400 })
    }

    @Test("the same launches, waits and bytes in every step", arguments: TestedDevice.all)
    func repeatsExactly(device: TestedDevice) throws {
        let counts = try Self.counts(device).map(\.queue)
        #expect(Set(counts).count == 1)
        let step = counts[0]
        #expect(step.operations == 92)
        let isHost = if case .host = device { true } else { false }
        // Kernels by the variants that CPUs take; narrower instructions on the host take fewer.
        let kind = try device.queue().device.description.kind
        let most = isHost ? 116 : kind == .openCLCPU ? 107 : Int.max
        #expect(0 < step.launches && step.launches <= most, "\(step.launches)")
        // Scalars, tokens and labels in; the report out.
        #expect(step.hostSyncs == (isHost ? 0 : 4))
        let tokenCount = Self.shape.tokensPerStep
        #expect(step.bytesToDevice == 2 * 4 * tokenCount + 4 * StepScalar.lossSum.rawValue)
        #expect(step.bytesFromDevice == 4 * StepScalar.count)
    }
}
