import ArgumentParser
import ForjaCore
import ForjaData
import ForjaModels
import ForjaNN
import ForjaRuntime
import ForjaTraining
import Foundation

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures speed on this machine.",
        subcommands: [BenchStepCommand.self, BenchCollectivesCommand.self])
}

/// Model shapes that benchmarks share, with the batch each is measured at.
enum BenchShape: String, ExpressibleByArgument, CaseIterable {
    case small, medium, smollm

    var configuration: LlamaConfiguration {
        switch self {
        case .small:
            LlamaConfiguration(
                width: 256, layers: 6, heads: 8, keyValueHeads: 4, feedForwardWidth: 768,
                vocabularySize: 4096, contextLength: 256)
        case .medium:
            LlamaConfiguration(
                width: 512, layers: 8, heads: 8, keyValueHeads: 4, feedForwardWidth: 1536,
                vocabularySize: 16_384, contextLength: 512)
        case .smollm:
            LlamaConfiguration(
                width: 576, layers: 30, heads: 9, keyValueHeads: 3, feedForwardWidth: 1536,
                vocabularySize: 49_152, contextLength: 512, ropeBase: 100_000)
        }
    }

    var batch: Int {
        switch self {
        case .small: 8
        case .medium: 4
        case .smollm: 1
        }
    }
}

struct BenchStepCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "step",
        abstract: "Measures whole training steps on random tokens.",
        discussion: """
            A step is forward, backward, clipping at 1.0 and AdamW, without recomputation; the median of the timed steps
            counts, after two that do not. MFU divides model FLOP/s by the best of six 1536³ BLAS products on the same
            threads in the same process; it is n/a where kernels do not run on the host's cores.

              forja bench step --shape medium --device cpu --json
            """)

    @Option(
        help: """
            small (C 256, L 6, H 8, G 4, F 768, V 4096, T 256), medium (C 512, L 8, H 8, G 4, F 1536, V 16384, T 512) or
            smollm (C 576, L 30, H 9, G 3, F 1536, V 49152, T 512); heads tied.
            """)
    var shape = BenchShape.small

    @Option(help: "Sequences in a step; the shape's own (8, 4, 1) when absent.")
    var batch: Int?

    @Option(help: "Storage of weights' copies and activations, f32 or bf16.")
    var dtype = ComputeType.f32

    @Option(help: "Timed steps; at least 5.")
    var steps = 5

    @Flag(help: "Print one JSON document.")
    var json = false

    @OptionGroup var compute: ComputeOptions

    func validate() throws {
        try checkRange("--steps", steps, 5...1_000_000)
        if let batch {
            try checkRange("--batch", batch, 1...(mostAtOnce / shape.configuration.contextLength))
        }
    }

    private struct Report: Encodable {
        let shape: String
        let batch: Int
        let device: String
        let dtype: String
        let threads: Int
        let tokensPerSecond: Double
        let flopsPerSecond: Double
        let peakFlopsPerSecond: Double?
        let mfu: Double?
        let peakBytes: Int
        let engineBytes: Int
        let secondsPerStep: [Double]
        let launchesPerStep: Int

        enum CodingKeys: String, CodingKey {
            case shape, batch, device, dtype, threads, mfu
            case tokensPerSecond = "tokens_per_s"
            case flopsPerSecond = "flops_per_s"
            case peakFlopsPerSecond = "peak_flops_per_s"
            case peakBytes = "peak_bytes"
            case engineBytes = "engine_bytes"
            case secondsPerStep = "seconds_per_step"
            case launchesPerStep = "launches_per_step"
        }
    }

    func run() throws {
        let queue = try compute.open()
        let configuration = shape.configuration
        let sequences = batch ?? shape.batch
        let length = configuration.contextLength
        let peak = try queue.device.measuredPeak()
        let model = LlamaModel(configuration, computeType: dtype.dtype, positions: length)
        let engine = try TrainingEngine(
            model: model, shape: StepShape(sequences: sequences, sequenceLength: length),
            optimizer: AdamWSettings(
                beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, decaysOnlyMatrices: true),
            validates: false, queue: queue,
            memoryFix: "lower --batch or choose a smaller --shape")
        try engine.prepare()
        try model.initialize(seed: 0, on: queue)
        let tokens = engine.shape.tokensPerStep
        let random = CounterRandom(seed: 0, purpose: .data)
        let draw = { (stream: UInt64) in
            (0..<UInt64(tokens)).map {
                Int32(
                    random.integer(
                        below: UInt64(configuration.vocabularySize), at: stream << 32 | $0))
            }
        }
        let microbatch = Batch(tokens: draw(0), labels: draw(1))
        var seconds: [Double] = []
        var launches = 0
        for number in 1...(steps + 2) {
            let before = queue.launchCount
            let start = DispatchTime.now().uptimeNanoseconds
            let result = try engine.step(
                number: number, microbatches: [microbatch], learningRate: 1e-4, maxGradientNorm: 1)
            let end = DispatchTime.now().uptimeNanoseconds
            guard result.isFinite else {
                throw ForjaError(.notFinite, "step \(number) of the benchmark is not finite")
            }
            if number > 2 { seconds.append(Double(end - start) * 1e-9) }
            launches = queue.launchCount - before
        }
        let median = seconds.sorted()[seconds.count / 2]
        let flops =
            configuration.trainingFlopsPerToken(sequenceLength: length) * Double(tokens) / median
        let device = queue.device
        let report = Report(
            shape: shape.rawValue, batch: sequences, device: device.description.name,
            dtype: dtype.rawValue, threads: device.description.threadCount,
            tokensPerSecond: Double(tokens) / median, flopsPerSecond: flops,
            peakFlopsPerSecond: peak, mfu: peak.map { flops / $0 },
            peakBytes: ResidentMemory.peak(with: device),
            engineBytes: device.peakAllocatedBytes, secondsPerStep: seconds,
            launchesPerStep: launches)
        if json {
            try Console.json(report)
            return
        }
        Console.result(
            "\(report.shape), batch \(report.batch), \(report.dtype), \(report.device), "
                + "\(report.threads) threads")
        Console.result(
            String(
                format: "%.0f tokens/s  %.1f GFLOP/s  MFU %@  peak %.0f MB (engine %.0f MB)  "
                    + "%d launches", report.tokensPerSecond, flops / 1e9,
                report.mfu.map { String(format: "%.0f %% of %.1f GFLOP/s", $0 * 100, peak! / 1e9) }
                    ?? "n/a", Double(report.peakBytes) / 1e6, Double(report.engineBytes) / 1e6,
                launches))
    }
}
