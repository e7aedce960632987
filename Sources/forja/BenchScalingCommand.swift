import ArgumentParser
import ForjaCore
import ForjaParallel
import ForjaRuntime
import Foundation

/// `forja bench scaling`: how much faster data-parallel ranks are than one, beside what the machine gives them.
struct BenchScalingCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scaling",
        abstract: "Measures how much faster ranks of one thread train than one of them.",
        discussion: """
            Measured in turn, round after round, and medians taken: 1536³ BLAS products on one thread; on N threads at once,
            each its own; on N threads of OpenBLAS together; training steps of one rank with one thread on B/N sequences;
            and of N such ranks on B sequences. The machine's scaling is that of the products that each thread makes for
            itself, which exchange nothing: more is not to be had where cores share power, caches and memory. The ranks'
            scaling by the machine's is what exchange and waiting leave.

              forja bench scaling --ranks 2 --shape small --batch 4
            """)

    @Option(help: "Ranks, each with one thread.")
    var ranks = 2

    @Option(help: "Model of the step: small, medium or smollm.")
    var shape = BenchShape.small

    @Option(help: "Sequences of a step of all ranks together; the shape's own of each when absent.")
    var batch: Int?

    @Option(help: "Rounds of which medians are taken.")
    var rounds = 3

    @Option(help: "Timed steps of a round; at least 1.")
    var steps = 5

    @Flag(help: "Print one JSON document.")
    var json = false

    func validate() throws {
        try checkRange("--ranks", ranks, 2...1024)
        try checkRange("--rounds", rounds, 1...1000)
        try checkRange("--steps", steps, 1...1_000_000)
        if let batch {
            try checkRange("--batch", batch, ranks...(4096 * ranks))
            guard batch % ranks == 0 else {
                throw ValidationError(
                    "--batch is \(batch); \(ranks) ranks share a multiple of \(ranks)")
            }
        }
    }

    private struct Report: Encodable {
        let shape: String
        let ranks: Int
        let sequencesPerRank: Int
        let rounds: Int
        /// GFLOP/s of products.
        let gemmOneThread: Double
        let gemmThreadsApart: Double
        let gemmThreadsTogether: Double
        /// Milliseconds of a step.
        let msOneRank: Double
        let msRanks: Double
        /// Of products that each thread makes for itself.
        let machineScaling: Double
        let ranksScaling: Double
        let efficiency: Double

        enum CodingKeys: String, CodingKey {
            case shape, ranks, rounds, efficiency
            case sequencesPerRank = "sequences_per_rank"
            case gemmOneThread = "gemm_gflops_one_thread"
            case gemmThreadsApart = "gemm_gflops_threads_apart"
            case gemmThreadsTogether = "gemm_gflops_threads_together"
            case msOneRank = "ms_one_rank"
            case msRanks = "ms_ranks"
            case machineScaling = "machine_scaling"
            case ranksScaling = "ranks_scaling"
        }
    }

    func run() throws {
        let report = try measure()
        if json { return try Console.json(report) }
        Console.result(
            String(
                format: "sgemm: %.1f GFLOP/s on one thread, %.1f on %d apart, "
                    + "%.1f on %d of OpenBLAS",
                report.gemmOneThread, report.gemmThreadsApart, ranks, report.gemmThreadsTogether,
                ranks))
        Console.result(
            String(
                format: "a step of \(report.shape): %.1f ms for one rank on %d sequences, "
                    + "%.1f ms for %d ranks on %d", report.msOneRank, report.sequencesPerRank,
                report.msRanks, ranks, report.sequencesPerRank * ranks))
        Console.result(
            String(
                format: "%d ranks are %.2f times as fast as one, "
                    + "the machine %.2f times: %.2f of it", ranks, report.ranksScaling,
                report.machineScaling, report.efficiency))
    }

    private func measure() throws(ForjaError) -> Report {
        let (shape, ranks) = (shape, ranks)
        let sequences = batch.map { $0 / ranks } ?? shape.batch
        var one: [Double] = []
        var apart: [Double] = []
        var together: [Double] = []
        var oneRank: [Double] = []
        var allRanks: [Double] = []
        for _ in 0..<rounds {
            one.append(try Device.measureHostPeak(threadCount: 1))
            let peaks = try RankLauncher.run(Mesh(data: ranks, tensor: 1), timeoutSeconds: 600) {
                rank throws(ForjaError) in
                try rank.world.barrier()
                return try Device.measureHostPeak(threadCount: 1)
            }
            apart.append(peaks.reduce(0, +))
            together.append(try Device.measureHostPeak(threadCount: ranks))
            oneRank.append(
                try shape.stepSeconds(
                    ranks: 1, sequencesPerRank: sequences, threadCount: 1, steps: steps))
            allRanks.append(
                try shape.stepSeconds(
                    ranks: ranks, sequencesPerRank: sequences, threadCount: ranks, steps: steps))
        }
        let machine = apart.median / one.median
        let scaling = Double(ranks) * oneRank.median / allRanks.median
        return Report(
            shape: shape.rawValue, ranks: ranks, sequencesPerRank: sequences, rounds: rounds,
            gemmOneThread: one.median / 1e9, gemmThreadsApart: apart.median / 1e9,
            gemmThreadsTogether: together.median / 1e9, msOneRank: oneRank.median * 1e3,
            msRanks: allRanks.median * 1e3, machineScaling: machine, ranksScaling: scaling,
            efficiency: scaling / machine)
    }
}
