import ArgumentParser
import ForjaCore
import ForjaParallel
import Foundation

/// `forja bench overlap`: how much of what ranks pay to exchange a training step hides.
struct BenchOverlapCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "overlap",
        abstract: "Measures how much communication a training step hides.",
        discussion: """
            Every collective also takes the time of a slow link, and data-parallel training steps on the host CPU are timed
            without that link, with it, and with it but without overlap, in turn. The fraction hidden is
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

    @Option(help: "Rounds of the three, in turn, of which medians are taken.")
    var rounds = 3

    @Flag(help: "Print one JSON document.")
    var json = false

    func validate() throws {
        try checkRange("--ranks", ranks, 1...1024)
        try checkRange("--rounds", rounds, 1...1000)
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
        var times: (alone: [Double], serial: [Double], overlapped: [Double]) = ([], [], [])
        for _ in 0..<rounds {
            times.alone.append(try stepSeconds(link: nil, overlaps: true))
            times.serial.append(try stepSeconds(link: link, overlaps: false))
            times.overlapped.append(try stepSeconds(link: link, overlaps: true))
        }
        let (alone, serial) = (times.alone.median, times.serial.median)
        let overlapped = times.overlapped.median
        return Overlap(
            shape: shape.rawValue, linkGbps: gigabitsPerSecond, msWithoutLink: alone * 1e3,
            msSerial: serial * 1e3, msOverlapped: overlapped * 1e3,
            hiddenFraction: (serial - overlapped) / max(serial - alone, 1e-9))
    }

    private func stepSeconds(link: SimulatedLink?, overlaps: Bool) throws(ForjaError) -> Double {
        try shape.stepSeconds(
            ranks: ranks, sequencesPerRank: batch ?? shape.batch, threadCount: 0, steps: 5,
            link: link, overlaps: overlaps)
    }
}
