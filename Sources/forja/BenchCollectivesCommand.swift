import ArgumentParser
import ForjaCore
import ForjaData
import ForjaParallel
import ForjaRuntime
import ForjaTraining
import Foundation

/// `forja bench collectives`: what ranks pay to exchange, and how much of it a training step hides.
struct BenchCollectivesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "collectives",
        abstract: "Measures collectives between ranks of this process.",
        discussion: """
            Time and bandwidth of each collective by size, the median of the timed calls; bandwidth is what a rank sends over
            the time, so that collectives and rank counts compare.

            With --link-gbps every collective also takes the time of a link so slow, and data-parallel training steps on the
            host CPU are timed without that link, with it, and with it but without overlap. The fraction hidden is
            (t_serial − t_overlapped) / (t_serial − t_no_link).

              forja bench collectives --ranks 2
              forja bench collectives --ranks 2 --shape small --link-gbps 0.5 --json
            """)

    @Option(help: "Ranks that take part.")
    var ranks = 2

    @Option(help: "Largest size in bytes; sizes go up to it in steps of 16.")
    var maxBytes = 16_777_216

    @Option(help: "Timed calls of each collective and size.")
    var calls = 9

    @Option(
        help: ArgumentHelp(
            "Gigabits per second of a simulated link, for the share of communication that overlap hides.",
            valueName: "rate"))
    var linkGbps: Double?

    @Option(help: "Model of the overlapped step: small, medium or smollm.")
    var shape = BenchShape.small

    @Option(help: "Sequences in a step of each rank; the shape's own when absent.")
    var batch: Int?

    @Flag(help: "Print one JSON document.")
    var json = false

    func validate() throws {
        try checkRange("--ranks", ranks, 1...1024)
        try checkRange("--max-bytes", maxBytes, 4...(1 << 32))
        try checkRange("--calls", calls, 1...1_000_000)
        if let batch { try checkRange("--batch", batch, 1...4096) }
        if let linkGbps, !(linkGbps > 0 && linkGbps.isFinite) {
            throw ValidationError("--link-gbps is \(linkGbps); use a number above 0")
        }
    }

    private struct Row: Encodable {
        let collective: String
        let ranks: Int
        let bytes: Int
        let ms: Double
        let bytesPerSecond: Double

        enum CodingKeys: String, CodingKey {
            case collective, ranks, bytes, ms
            case bytesPerSecond = "bytes_per_s"
        }
    }

    private struct Overlap: Encodable {
        let shape: String
        let linkGbps: Double
        let msWithoutLink: Double
        let msSerial: Double
        let msOverlapped: Double
        let hiddenFraction: Double

        enum CodingKeys: String, CodingKey {
            case shape
            case linkGbps = "link_gbps"
            case msWithoutLink = "ms_without_link"
            case msSerial = "ms_serial"
            case msOverlapped = "ms_overlapped"
            case hiddenFraction = "hidden_fraction"
        }
    }

    private struct Report: Encodable {
        let rows: [Row]
        let overlap: Overlap?
    }

    func run() throws {
        let rows = try measureCollectives()
        let overlap = try linkGbps.map { try measureOverlap(gigabitsPerSecond: $0) }
        if json { return try Console.json(Report(rows: rows, overlap: overlap)) }
        for row in rows {
            Console.result(
                row.collective.padding(toLength: 16, withPad: " ", startingAt: 0)
                    + String(
                        format: "%2d ranks %12d bytes %10.3f ms %8.2f GB/s", row.ranks, row.bytes,
                        row.ms, row.bytesPerSecond / 1e9))
        }
        guard let overlap else { return }
        Console.result(
            String(
                format: "a step of \(overlap.shape) over %.3g Gb/s: %.1f ms overlapped, %.1f ms "
                    + "one after another, %.1f ms without the link; %.0f %% hidden",
                overlap.linkGbps, overlap.msOverlapped, overlap.msSerial, overlap.msWithoutLink,
                overlap.hiddenFraction * 100))
    }

    // MARK: Collectives alone

    private typealias Collective =
        @Sendable (
            Collectives, UnsafeMutableRawBufferPointer
        ) throws(ForjaError) -> Void

    private func measureCollectives() throws(ForjaError) -> [Row] {
        let collectives: [(name: String, sentShare: Double, body: Collective)] = [
            (
                "all-reduce", 2,
                { group, bytes throws(ForjaError) in try group.allReduce(bytes, dtype: .float32) }
            ),
            (
                "reduce-scatter", 1,
                { group, bytes throws(ForjaError) in
                    try group.reduceScatter(bytes, dtype: .float32)
                }
            ),
            (
                "all-gather", 1,
                { group, bytes throws(ForjaError) in try group.allGather(bytes, dtype: .float32) }
            ),
            ("broadcast", 0, { group, bytes throws(ForjaError) in try group.broadcast(bytes) }),
            ("barrier", 0, { group, _ throws(ForjaError) in try group.barrier() }),
        ]
        let largest = maxBytes
        let sizes = Array(sequence(first: 4) { $0 * 16 <= largest ? $0 * 16 : nil })
        var rows: [Row] = []
        for (name, share, body) in collectives {
            for size in name == "barrier" ? [0] : sizes {
                let seconds = try medianSeconds(byteCount: size, body)
                let sent =
                    name == "broadcast"
                    ? Double(size) : share * Double(size) * Double(ranks - 1) / Double(ranks)
                rows.append(
                    Row(
                        collective: name, ranks: ranks, bytes: size, ms: seconds * 1e3,
                        bytesPerSecond: sent / seconds))
            }
        }
        return rows
    }

    /// Rank 0's median time of a call.
    private func medianSeconds(
        byteCount: Int, _ body: @escaping Collective
    ) throws(ForjaError) -> Double {
        let calls = calls
        let times = try RankLauncher.run(Mesh(data: ranks, tensor: 1), timeoutSeconds: 600) {
            rank throws(ForjaError) in
            let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 64)
            defer { bytes.deallocate() }
            bytes.initializeMemory(as: UInt8.self, repeating: 0)
            var seconds: [Double] = []
            for call in 0..<(calls + 2) {
                try rank.world.barrier()
                let start = DispatchTime.now().uptimeNanoseconds
                try body(rank.data, bytes)
                let end = DispatchTime.now().uptimeNanoseconds
                if call >= 2 { seconds.append(Double(end - start) * 1e-9) }
            }
            return seconds.sorted()[calls / 2]
        }
        return max(times[0], 1e-9)
    }

    // MARK: Hidden behind a training step

    private func measureOverlap(gigabitsPerSecond: Double) throws(ForjaError) -> Overlap {
        let link = SimulatedLink(bytesPerSecond: gigabitsPerSecond * 1e9 / 8)
        let alone = try stepSeconds(link: nil, overlaps: true)
        let serial = try stepSeconds(link: link, overlaps: false)
        let overlapped = try stepSeconds(link: link, overlaps: true)
        return Overlap(
            shape: shape.rawValue, linkGbps: gigabitsPerSecond, msWithoutLink: alone * 1e3,
            msSerial: serial * 1e3, msOverlapped: overlapped * 1e3,
            hiddenFraction: (serial - overlapped) / max(serial - alone, 1e-9))
    }

    /// Median time of five data-parallel steps, after two more.
    private func stepSeconds(link: SimulatedLink?, overlaps: Bool) throws(ForjaError) -> Double {
        let devices = try DeviceSelection.host.open(rankCount: ranks).devices
        let shape = shape
        let sequences = batch ?? shape.batch
        let times = try RankLauncher.run(
            Mesh(data: ranks, tensor: 1), timeoutSeconds: 600, link: link
        ) { rank throws(ForjaError) in
            let queue = try Queue(device: devices[rank.rank])
            let engine = try shape.engine(
                dtype: .f32, batch: sequences, queue: queue, rank: rank, overlaps: overlaps)
            try engine.prepare()
            try engine.model.initialize(seed: 0, on: queue)
            let count = UInt64(engine.shape.tokensPerStep)
            let random = CounterRandom(
                seed: 0, purpose: .data, stream: UInt32(truncatingIfNeeded: rank.rank))
            let vocabulary = UInt64(engine.model.configuration.vocabularySize)
            let tokens = (0..<count).map { Int32(random.integer(below: vocabulary, at: $0)) }
            var seconds: [Double] = []
            for number in 1...7 {
                let start = DispatchTime.now().uptimeNanoseconds
                _ = try engine.step(
                    number: number, microbatches: [Batch(tokens: tokens, labels: tokens)],
                    learningRate: 1e-4, maxGradientNorm: 1)
                let end = DispatchTime.now().uptimeNanoseconds
                if number > 2 { seconds.append(Double(end - start) * 1e-9) }
            }
            return seconds.sorted()[2]
        }
        return times[0]
    }
}
