import Benchmark
import ForjaData
import ForjaModels
import ForjaNN
import ForjaRuntime
import ForjaTraining

/// A training step of the shape `small` of `forja bench step`, recorded once and replayed.
private final class SmallStep {
    private let engine: TrainingEngine
    private let microbatches: [Batch]
    private var number = 0

    init(on device: Device) throws {
        let configuration = LlamaConfiguration(
            width: 256, layers: 6, heads: 8, keyValueHeads: 4, feedForwardWidth: 768,
            vocabularySize: 4096, contextLength: 256)
        let model = LlamaModel(configuration, computeType: .float32, positions: 256)
        engine = try TrainingEngine(
            model: model, shape: StepShape(sequences: 8, sequenceLength: 256),
            optimizer: AdamWSettings(
                beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, decaysOnlyMatrices: true),
            validates: false, queue: Queue(device: device))
        try engine.prepare()
        try model.initialize(seed: 0, on: engine.queue)
        // Any tokens: no count depends on them.
        let tokens = (0..<engine.shape.tokensPerStep).map { Int32($0 * 31 % 4096) }
        microbatches = [Batch(tokens: tokens, labels: tokens)]
        // Two steps build kernels and let a driver settle.
        try run()
        try run()
    }

    var counters: Queue.Counters { engine.queue.counters }

    func run() throws {
        number += 1
        _ = try engine.step(
            number: number, microbatches: microbatches, learningRate: 1e-4, maxGradientNorm: 1)
    }
}

func registerStepBenchmarks() {
    for device in BenchmarkedDevice.present {
        let step = OnFirstUse { try SmallStep(on: device.open()) }
        Benchmark(
            "step-small-\(device)",
            configuration: configuration(Count.queue + [Count.allocations], iterations: 5)
        ) { benchmark in
            let step = try step.get()
            let before = step.counters
            try benchmark.measure { try step.run() }
            benchmark.report(step.counters - before)
        }
    }
}
