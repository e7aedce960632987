import ArgumentParser
import ForjaCore
import ForjaData
import ForjaModels
import ForjaNN
import ForjaParallel
import ForjaRuntime
import ForjaTraining
import Foundation

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures speed on this machine.",
        subcommands: [
            BenchKernelsCommand.self, BenchStepCommand.self, BenchGenerateCommand.self,
            BenchCollectivesCommand.self, BenchOverlapCommand.self, BenchScalingCommand.self,
            BenchGroupRelativeCommand.self,
        ])
}

/// Model shapes that benchmarks share, with the batch each is measured at.
enum BenchShape: String, ExpressibleByArgument, CaseIterable {
    case small, medium, smollm
    /// Llama 3.2 1B, for GPUs: weights, gradients and moments alone take 20 GB.
    case llama1B = "llama-1b"

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
        case .llama1B:
            LlamaConfiguration(
                width: 2048, layers: 16, heads: 32, keyValueHeads: 8, feedForwardWidth: 8192,
                vocabularySize: 128_256, contextLength: 2048, ropeBase: 500_000)
        }
    }

    var batch: Int {
        switch self {
        case .small: 8
        case .medium: 4
        case .smollm: 1
        case .llama1B: 4
        }
    }

    /// The training step that benchmarks measure and tune for.
    func engine(
        dtype: ComputeType, batch: Int? = nil, queue: Queue, rank: MeshRank = .single,
        overlaps: Bool = true
    ) throws(ForjaError) -> TrainingEngine {
        let length = configuration.contextLength
        return try TrainingEngine(
            model: LlamaModel(configuration, computeType: dtype.dtype, positions: length),
            shape: StepShape(sequences: batch ?? self.batch, sequenceLength: length),
            optimizer: AdamWSettings(
                beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, decaysOnlyMatrices: true),
            validates: false, queue: queue, rank: rank, overlapsCommunication: overlaps,
            memoryFix: "lower --batch or choose a smaller --shape")
    }
}

struct BenchStepCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "step",
        abstract: "Measures whole training steps on random tokens.",
        discussion: """
            A step is forward, backward, clipping at 1.0 and AdamW, without recomputation; the median of the timed steps
            counts, after two that do not. MFU divides model FLOP/s by the best of six 1536³ BLAS products on the same
            threads in the same process; it is n/a where kernels do not run on the host's cores. Three more steps are
            profiled: the overhead is the share of their time in which no kernel ran. The first step starts when one
            that takes as long as the median would have had to: what the first takes longer goes to building programs.

              forja bench step --shape medium --device cpu --json
            """)

    @Option(
        help: """
            small (C 256, L 6, H 8, G 4, F 768, V 4096, T 256), medium (C 512, L 8, H 8, G 4, F 1536, V 16384, T 512),
            smollm (C 576, L 30, H 9, G 3, F 1536, V 49152, T 512) or, for a GPU of 64 GB, llama-1b (C 2048, L 16, H 32,
            G 8, F 8192, V 128256, T 2048); heads tied.
            """)
    var shape = BenchShape.small

    @Option(help: "Sequences in a step; the shape's own (8, 4, 1, 4) when absent.")
    var batch: Int?

    @Option(help: "Storage of weights' copies and activations, f32 or bf16.")
    var dtype = ComputeType.f32

    @Option(help: "Timed steps; at least 5.")
    var steps = 5

    @Flag(help: "Also say how long a step's kernels take, by operation.")
    var profile = false

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
        /// From the start of the process, building programs included: when the first step ended, less a step. `nil`
        /// where the system does not say when a process started.
        let firstStepStartsSeconds: Double?
        let launchesPerStep: Int
        let operationsPerStep: Int
        let hostSyncsPerStep: Int
        let bytesToDevicePerStep: Int
        let bytesFromDevicePerStep: Int
        /// Share of a profiled step in which no kernel ran.
        let overheadFraction: Double
        let operations: [Operation]?

        /// All dispatches of one name in a step.
        struct Operation: Encodable {
            let name: String
            let count: Int
            let seconds: Double
            /// Of the profiled steps; with `overheadFraction` all shares add up to 1.
            let share: Double
        }

        enum CodingKeys: String, CodingKey {
            case shape, batch, device, dtype, threads, mfu, operations
            case tokensPerSecond = "tokens_per_s"
            case flopsPerSecond = "flops_per_s"
            case peakFlopsPerSecond = "peak_flops_per_s"
            case peakBytes = "peak_bytes"
            case engineBytes = "engine_bytes"
            case secondsPerStep = "seconds_per_step"
            case firstStepStartsSeconds = "first_step_starts_s"
            case launchesPerStep = "launches_per_step"
            case operationsPerStep = "operations_per_step"
            case hostSyncsPerStep = "host_syncs_per_step"
            case bytesToDevicePerStep = "bytes_to_device_per_step"
            case bytesFromDevicePerStep = "bytes_from_device_per_step"
            case overheadFraction = "overhead_fraction"
        }
    }

    func run() throws {
        let queue = try compute.open()
        let configuration = shape.configuration
        let sequences = batch ?? shape.batch
        let length = configuration.contextLength
        let engine = try shape.engine(dtype: dtype, batch: sequences, queue: queue)
        try engine.prepare()
        try engine.model.initialize(seed: 0, on: queue)
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
        var firstStepEnd: Double?
        var counts = queue.counters
        /// Seconds of a step.
        func run(_ number: Int) throws -> Double {
            let start = DispatchTime.now().uptimeNanoseconds
            let result = try engine.step(
                number: number, microbatches: [microbatch], learningRate: 1e-4, maxGradientNorm: 1)
            let end = DispatchTime.now().uptimeNanoseconds
            guard result.isFinite else {
                throw ForjaError(.notFinite, "step \(number) of the benchmark is not finite")
            }
            return Double(end - start) * 1e-9
        }
        for number in 1...(steps + 2) {
            let before = queue.counters
            let elapsed = try run(number)
            if number == 1 { firstStepEnd = ProcessAge.seconds }
            if number > 2 { seconds.append(elapsed) }
            counts = queue.counters - before
        }
        let profile = try engine.scheduler.startProfile()
        let profiledSteps = 3
        let profiledSeconds = try (1...profiledSteps).reduce(0) { try $0 + run(steps + 2 + $1) }
        let profiledRows = try profile.rows()
        // Last: what it takes is no part of the start, and BLAS's threads look for work for a while after it.
        let peak = try queue.device.measuredPeak()
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
            firstStepStartsSeconds: firstStepEnd.map { max($0 - median, 0) },
            launchesPerStep: counts.launches, operationsPerStep: counts.operations,
            hostSyncsPerStep: counts.hostSyncs, bytesToDevicePerStep: counts.bytesToDevice,
            bytesFromDevicePerStep: counts.bytesFromDevice,
            overheadFraction: 1 - profiledRows.reduce(0) { $0 + $1.seconds } / profiledSeconds,
            operations: self.profile
                ? profiledRows.map {
                    Report.Operation(
                        name: $0.name, count: $0.dispatchCount / profiledSteps,
                        seconds: $0.seconds / Double(profiledSteps),
                        share: $0.seconds / profiledSeconds)
                } : nil)
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
                    + "%d launches, %d syncs  overhead %.1f %%", report.tokensPerSecond,
                flops / 1e9,
                report.mfu.map { String(format: "%.0f %% of %.1f GFLOP/s", $0 * 100, peak! / 1e9) }
                    ?? "n/a", Double(report.peakBytes) / 1e6, Double(report.engineBytes) / 1e6,
                counts.launches, counts.hostSyncs, report.overheadFraction * 100))
        if let start = report.firstStepStartsSeconds {
            Console.result(
                String(format: "first step starts %.2f s after the process", start))
        }
        for operation in report.operations ?? [] {
            Console.result(
                String(
                    format: "%9.3f ms  %5.1f %%  %4d  ", operation.seconds * 1e3,
                    operation.share * 100, operation.count) + operation.name)
        }
    }
}
