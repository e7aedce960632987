import ArgumentParser
import ForjaCore
import ForjaFormats
import ForjaParallel
import ForjaRuntime

struct BenchCollectivesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "collectives",
        abstract: "Measures what ranks exchange, as threads or under an MPI launcher.",
        discussion: """
            Each collective at each size: the median over repetitions of the slowest rank's time, which for few bytes is the
            latency; bytes of the array by that time; and bytes that each rank sends by that time. The checksum is of rank
            0's result: the same for threads and for any MPI.

              forja bench collectives --ranks 2
              mpirun -n 2 forja bench collectives --json
            """)

    @Option(help: "Ranks as threads of this process; under a launcher its processes are the ranks.")
    var ranks: Int?

    @Option(help: "Bytes of each rank's array; may be given often.")
    var bytes: [Int] = [1 << 10, 32 << 10, 1 << 20, 32 << 20]

    @Option(help: "What reductions add: f32 or bf16, in float32 either way.")
    var dtype = ComputeType.f32

    @Flag(help: "Print one JSON document.")
    var json = false

    func validate() throws {
        for count in bytes { try checkRange("--bytes", count, 4...(1 << 36)) }
        guard bytes.allSatisfy({ $0 % 4 == 0 }) else {
            throw ValidationError("--bytes takes multiples of 4")
        }
        if let ranks { try checkRange("--ranks", ranks, 1...256) }
    }

    private struct Report: Encodable {
        let ranks: Int
        let ranksPerHost: Int
        /// "threads", or the MPI library.
        let implementation: String
        let dtype: String
        var rows: [Row] = []

        enum CodingKeys: String, CodingKey {
            case ranks, implementation, dtype, rows
            case ranksPerHost = "ranks_per_host"
        }

        struct Row: Encodable {
            let collective: String
            let bytes: Int
            let seconds: Double
            let bytesPerSecond: Double
            let sentBytesPerSecond: Double
            let checksum: String

            enum CodingKeys: String, CodingKey {
                case collective, bytes, seconds, checksum
                case bytesPerSecond = "bytes_per_s"
                case sentBytesPerSecond = "sent_bytes_per_s"
            }
        }
    }

    func run() throws {
        guard let run = try Ranks.join() else {
            let count = ranks ?? 2
            let reports = try InProcessRanks.run(count: count, timeoutSeconds: 600) {
                communicator throws(ForjaError) in
                try measure(
                    Collectives(communicator),
                    into: Report(
                        ranks: count, ranksPerHost: count, implementation: "threads",
                        dtype: dtype.rawValue))
            }
            return try show(reports[0])
        }
        try Ranks.perform(on: run) {
            let count = run.world.rankCount
            if let ranks, ranks != count {
                throw ForjaError(
                    .invalidInput,
                    "--ranks is \(ranks) and the launcher started \(count) processes",
                    fix: "leave --ranks out, or start \(ranks) processes")
            }
            run.setTimeout(seconds: 600)
            try show(
                measure(
                    Collectives(run.world),
                    into: Report(
                        ranks: count, ranksPerHost: run.hostRankCount,
                        implementation: run.libraryVersion, dtype: dtype.rawValue)))
        }
    }

    private func measure(
        _ collectives: Collectives, into empty: Report
    ) throws(ForjaError) -> Report {
        var report = empty
        let benchmark = CollectiveBenchmark(byteCounts: bytes, dtype: dtype.dtype)
        try benchmark.run(on: collectives) { row throws(ForjaError) in
            report.rows.append(
                Report.Row(
                    collective: row.operation.rawValue, bytes: row.byteCount,
                    seconds: row.medianSeconds, bytesPerSecond: row.bytesPerSecond,
                    sentBytesPerSecond: row.sentBytesPerSecond,
                    checksum: row.result.withUnsafeBytes { SHA256Digest(of: $0) }.description))
        }
        return report
    }

    private func show(_ report: Report) throws(ForjaError) {
        if json { return try Console.json(report) }
        Console.result(
            "\(report.ranks) ranks, \(report.ranksPerHost) on this host, \(report.implementation), "
                + report.dtype)
        for row in report.rows {
            Console.result(
                row.collective.padding(toLength: 16, withPad: " ", startingAt: 0)
                    + String(format: "%12d bytes  %10.1f µs", row.bytes, row.seconds * 1e6)
                    + (row.bytes == 0
                        ? ""
                        : String(
                            format: "  %8.3f GB/s, each rank sends %8.3f GB/s",
                            row.bytesPerSecond / 1e9, row.sentBytesPerSecond / 1e9)))
        }
    }
}
