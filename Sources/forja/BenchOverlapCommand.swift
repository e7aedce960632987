import ArgumentParser
import ForjaCore
import ForjaData
import ForjaParallel
import ForjaRuntime
import ForjaTraining
import Foundation

/// `forja bench overlap`: how much of what ranks pay to exchange a training step hides.
struct BenchOverlapCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "overlap",
        abstract: "Measures how much communication a training step hides.",
        discussion: """
            Every collective also takes the time of a slow link, and data-parallel training steps on the host CPU are timed
            without that link, with it, and with it but without overlap. The fraction hidden is
            (t_serial − t_overlapped) / (t_serial − t_no_link).

              forja bench overlap --ranks 2 --shape small --link-gbps 0.5 --json
            """)

    @Option(help: "Ranks that take part.")
    var ranks = 2

    @Option(
        help: ArgumentHelp(
            "Gigabits per second of a simulated link, for the share of communication that overlap hides.",
            valueName: "rate"))
    var linkGbps = 1.0

    @Option(help: "Model of the overlapped step: small, medium or smollm.")
    var shape = BenchShape.small

    @Option(help: "Sequences in a step of each rank; the shape's own when absent.")
    var batch: Int?

    @Flag(help: "Print one JSON document.")
    var json = false

    func validate() throws {
        try checkRange("--ranks", ranks, 1...1024)
        if let batch { try checkRange("--batch", batch, 1...4096) }
        guard linkGbps > 0, linkGbps.isFinite else {
            throw ValidationError("--link-gbps is \(linkGbps); use a number above 0")
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

    func run() throws {
        let overlap = try measureOverlap(gigabitsPerSecond: linkGbps)
        if json { return try Console.json(overlap) }
        Console.result(
            String(
                format: "a step of \(overlap.shape) over %.3g Gb/s: %.1f ms overlapped, %.1f ms "
                    + "one after another, %.1f ms without the link; %.0f %% hidden",
                overlap.linkGbps, overlap.msOverlapped, overlap.msSerial, overlap.msWithoutLink,
                overlap.hiddenFraction * 100))
    }

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
