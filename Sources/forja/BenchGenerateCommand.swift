import ArgumentParser
import ForjaCore
import ForjaModels
import ForjaRuntime
import Foundation

struct BenchGenerateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate",
        abstract: "Measures generation of many texts at once, with random weights.",
        discussion: """
            Every text has a prompt of 64 random tokens and gets 48 new ones, greedily, with their log-probabilities. Two runs
            are timed by turns, of 1 and of 48 new tokens: the first is prefill_s, and the difference counts as the decoding of
            47 tokens a text. Medians of --repeats.

            Two limits stand beside the speed. Memory: a decoding step reads every weight of a product once, at the speed of a
            copy. Compute: it multiplies every weight by every text's row, at the speed of a large BLAS product. Both are measured
            in the same run; a step of few texts cannot pass the first nor one of many the second, but for weights that fit a
            cache.

              forja bench generate --shape smollm --batch 8 --device cpu --json
            """)

    private static let promptTokens = 64
    private static let newTokens = 48

    @Option(help: "small, medium or smollm; forja bench step --help has their sizes.")
    var shape = BenchShape.small

    @Option(help: "Texts at once.")
    var batch = 1

    @Option(help: "Storage of weights and caches, f32 or bf16.")
    var dtype = ComputeType.f32

    @Option(help: "Timed runs of each kind; at least 1.")
    var repeats = 3

    @Flag(help: "Also say how long a decoding step's kernels take, by operation.")
    var profile = false

    @Flag(help: "Print one JSON document.")
    var json = false

    @OptionGroup var compute: ComputeOptions

    func validate() throws {
        try checkRange("--batch", batch, 1...4096)
        try checkRange("--repeats", repeats, 1...1000)
    }

    private struct Report: Encodable {
        let shape: String
        let device: String
        let dtype: String
        let threads: Int
        let batch: Int
        let promptTokens: Int
        let newTokens: Int
        let prefillSeconds: Double
        let decodeTokensPerSecond: Double
        let weightBytes: Int
        let copyBytesPerSecond: Double
        /// Least time of a step by memory over its time.
        let memoryFraction: Double
        let peakFlopsPerSecond: Double?
        /// Least time of a step by arithmetic over its time.
        let computeFraction: Double?
        let peakBytes: Int
        let operations: [Operation]?

        struct Operation: Encodable {
            let name: String
            let seconds: Double
        }

        enum CodingKeys: String, CodingKey {
            case shape, device, dtype, threads, batch, operations
            case promptTokens = "prompt_tokens"
            case newTokens = "new_tokens"
            case prefillSeconds = "prefill_s"
            case decodeTokensPerSecond = "decode_tokens_per_s"
            case weightBytes = "weight_bytes"
            case copyBytesPerSecond = "copy_bytes_per_s"
            case memoryFraction = "fraction_of_memory_limit"
            case peakFlopsPerSecond = "peak_flops_per_s"
            case computeFraction = "fraction_of_compute_limit"
            case peakBytes = "peak_bytes"
        }
    }

    func run() throws {
        let queue = try compute.open()
        let device = queue.device
        let configuration = shape.configuration
        let peak = try device.measuredPeak()
        let copySpeed = try KernelBench(queue: queue, secondsPerRow: 0.2).peakBytesPerSecond
        let positions = Self.promptTokens + Self.newTokens
        let model = LlamaModel(
            configuration, computeType: dtype.dtype, positions: positions, isTrained: false)
        try model.allocate(on: queue)
        try model.initialize(seed: 0, on: queue)
        let engine = try BatchEngine(
            model: model, width: batch, capacity: positions, queue: queue)
        let random = CounterRandom(seed: 0, purpose: .data)
        let requests = (0..<batch).map { text in
            GenerationRequest(
                prompt: (0..<UInt64(Self.promptTokens)).map {
                    Int32(
                        random.integer(
                            below: UInt64(configuration.vocabularySize),
                            at: UInt64(text) << 32 | $0))
                }, sequence: text)
        }
        let greedy = try SamplingSettings(temperature: 0)
        func seconds(_ newTokens: Int) throws -> Double {
            let start = ContinuousClock.now
            try engine.run(requests, maxNewTokens: newTokens, sampling: greedy)
            return (ContinuousClock.now - start) / .seconds(1)
        }
        _ = try seconds(2)
        var prefills: [Double] = []
        var decodings: [Double] = []
        for _ in 0..<repeats {
            let prefill = try seconds(1)
            prefills.append(prefill)
            decodings.append(try seconds(Self.newTokens) - prefill)
        }
        let steps = Self.newTokens - 1
        let stepSeconds = median(decodings) / Double(steps)
        let weights = Double(configuration.matmulParameterCount)
        let weightBytes = weights * Double(dtype.dtype.byteCount)
        let report = Report(
            shape: shape.rawValue, device: device.description.name, dtype: dtype.rawValue,
            threads: device.description.threadCount, batch: batch,
            promptTokens: Self.promptTokens, newTokens: Self.newTokens,
            prefillSeconds: median(prefills),
            decodeTokensPerSecond: Double(batch) / stepSeconds, weightBytes: Int(weightBytes),
            copyBytesPerSecond: copySpeed,
            memoryFraction: weightBytes / copySpeed / stepSeconds, peakFlopsPerSecond: peak,
            computeFraction: peak.map { 2 * weights * Double(batch) / $0 / stepSeconds },
            peakBytes: ResidentMemory.peak(with: device),
            operations: profile ? try operations(of: engine, requests, steps: steps) : nil)
        if json { return try Console.json(report) }
        Console.result(
            "\(report.shape), batch \(batch), \(report.dtype), \(report.device), "
                + "\(report.threads) threads")
        Console.result(
            String(
                format: "%.0f tokens/s  %.3f ms a step  prefill %.3f s  %.0f %% of the memory "
                    + "limit  %@ of the compute limit", report.decodeTokensPerSecond,
                stepSeconds * 1e3, report.prefillSeconds, report.memoryFraction * 100,
                report.computeFraction.map { String(format: "%.0f %%", $0 * 100) } ?? "n/a"))
        for operation in report.operations ?? [] {
            Console.result(
                String(
                    format: "%9.3f ms  %5.1f %%  ", operation.seconds * 1e3,
                    operation.seconds / stepSeconds * 100) + operation.name)
        }
    }

    private func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

    /// Seconds of a decoding step by operation: what a run of 48 tokens takes beyond one of 1.
    private func operations(
        of engine: BatchEngine, _ requests: [GenerationRequest], steps: Int
    ) throws -> [Report.Operation] {
        func profile(_ newTokens: Int) throws -> [String: Double] {
            let profile = try engine.startProfile()
            try engine.run(
                requests, maxNewTokens: newTokens, sampling: SamplingSettings(temperature: 0))
            let rows = try profile.rows()
            return Dictionary(uniqueKeysWithValues: rows.map { ($0.name, $0.seconds) })
        }
        let prefill = try profile(1)
        return try profile(Self.newTokens).map { name, seconds in
            Report.Operation(
                name: name, seconds: max(0, seconds - (prefill[name] ?? 0)) / Double(steps))
        }.sorted { ($0.seconds, $1.name) > ($1.seconds, $0.name) }
    }
}
