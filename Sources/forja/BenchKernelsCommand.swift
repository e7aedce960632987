import ArgumentParser
import ForjaCore
import ForjaNN
import ForjaRuntime
import Foundation

struct BenchKernelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kernels",
        abstract: "Measures each operation of a training step by itself.",
        discussion: """
            One row for each operation and size that the step of --shape calls, on random operands: the median of the
            calmest of five bursts, warm-ups left out. Products and attention are counted in FLOP/s (attention: the
            visible half of the scores; 2 products forward, 5 backward), everything else in bytes read and written once.

            The fraction of peak divides FLOP/s by the device's own multiply-adds in registers, measured in the same
            run, and bytes per second by a copy of as many bytes, measured in turn with the operation: small tensors
            live in caches, and so do their copies. A copy writes half of what it moves; an operation that only reads
            may pass it. There is no fraction on matrix units, whose peak is not measured. The error is the largest
            distance of an output from float64, over the largest output. On the host's cores, f32 products are also
            made by one call of the BLAS library on as many threads, in turn; the ratio is its time over Forja's.

              forja bench kernels --shape small --device cpu
              forja bench kernels --op attention --device opencl --json
              forja bench kernels --product 8192x8192x8192 --dtype bf16 --device opencl
            """)

    @Option(help: "Whose sizes are measured: small, medium, smollm or llama-1b, as in bench step.")
    var shape = BenchShape.small

    @Option(
        help: ArgumentHelp(
            "Only operations whose name starts so: matmul, rmsnorm_backward, …; may be given often.",
            discussion: "attention adds 8 heads of 64, 4 key-value heads, at lengths 256 to 4096."))
    var op: [String] = []

    @Option(
        help: ArgumentHelp(
            "A product MxNxK in each layout (nt, nn, tn) instead of the step's calls; may be given often.",
            valueName: "MxNxK"))
    var product: [ProductSizes] = []

    @Option(help: "Storage of weights' copies and activations, f32 or bf16.")
    var dtype = ComputeType.f32

    @Option(help: "Seconds spent on each measured thing, beyond ten samples.")
    var secondsPerRow = 0.2

    @Flag(help: "Print one JSON document.")
    var json = false

    @OptionGroup var compute: ComputeOptions

    func validate() throws {
        guard secondsPerRow >= 0, secondsPerRow <= 60 else {
            throw ValidationError("--seconds-per-row is \(secondsPerRow); use 0 ... 60")
        }
        guard product.isEmpty || op.isEmpty else {
            throw ValidationError("--product measures products alone; leave --op out")
        }
    }

    func run() throws {
        let queue = try compute.open()
        let calls = try chosenCalls(on: queue)
        let bench = try KernelBench(queue: queue, secondsPerRow: secondsPerRow)
        let device = queue.device.description
        Console.note(
            String(
                format: "%@, %d threads: %.1f GFLOP/s of multiply-adds, %.1f GB/s of a large copy",
                device.name, device.threadCount, bench.peakFlopsPerSecond / 1e9,
                bench.peakBytesPerSecond / 1e9))
        var rows: [KernelRow] = []
        for (index, call) in calls.enumerated() {
            Console.note("[\(index + 1)/\(calls.count)] \(call.operation) \(call.shape)")
            let row = KernelRow(try bench.measure(call))
            rows.append(row)
            if !json { Console.result(row.line) }
        }
        let summaries = KernelSummary.all(of: rows)
        guard json else {
            for summary in summaries { Console.result(summary.line) }
            return
        }
        try Console.json(
            KernelReport(
                device: device.name, threads: device.threadCount,
                shape: product.isEmpty ? shape.rawValue : "products",
                peaks: KernelReport.Peaks(
                    flopsPerSecond: bench.peakFlopsPerSecond,
                    bytesPerSecond: bench.peakBytesPerSecond), rows: rows, summary: summaries))
    }

    private func chosenCalls(on queue: Queue) throws -> [KernelCall] {
        guard product.isEmpty else {
            return product.flatMap { KernelCall.products($0.m, $0.n, $0.k, dtype: dtype.dtype) }
        }
        let configuration = shape.configuration
        let engine = try shape.engine(dtype: dtype, queue: queue)
        let tokens = engine.shape.tokensPerStep
        var calls =
            engine.scheduler.kernelCalls
            + KernelCall.besideStep(
                logitRows: min(
                    tokens, HeadChunking(vocabulary: configuration.vocabularySize).rows),
                vocabulary: configuration.vocabularySize,
                weightCount: 2 * configuration.feedForwardWidth * configuration.width,
                dtype: dtype.dtype)
        guard !op.isEmpty else { return calls }
        if op.contains(where: { $0.hasPrefix("attention") }) {
            for length in [256, 512, 1024, 2048, 4096] {
                calls += KernelCall.attention(
                    batch: 1, length: length, heads: 8, keyValueHeads: 4, headWidth: 64,
                    dtype: dtype.dtype)
            }
        }
        if let unknown = op.first(where: { name in
            !calls.contains { $0.operation.hasPrefix(name) }
        }) {
            var names: [String] = []
            for call in calls where !names.contains(call.operation) { names.append(call.operation) }
            throw ForjaError(
                .invalidInput, "no operation's name starts with \"\(unknown)\"",
                fix: "give --op one of \(names.sorted().joined(separator: ", ")), or its beginning")
        }
        return calls.filter { call in op.contains { call.operation.hasPrefix($0) } }
    }
}

/// "8192x4096x2048": M×N×K of a product.
struct ProductSizes: ExpressibleByArgument {
    let m, n, k: Int

    init?(argument: String) {
        let sizes = argument.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
        guard sizes.count == 3, sizes.allSatisfy({ 1...(1 << 20) ~= $0 ?? 0 }) else { return nil }
        (m, n, k) = (sizes[0]!, sizes[1]!, sizes[2]!)
    }
}
