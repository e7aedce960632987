import ArgumentParser
import ForjaCore
import ForjaRL
import ForjaRuntime
import ForjaTraining
import Foundation

/// `forja bench grpo`: what a pipelined sampler saves.
struct BenchGroupRelativeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "grpo",
        abstract: "Measures batches of stage grpo, one part after another and pipelined.",
        discussion: """
            Three orders train on the same recipe from its start. Assigned: sampler and trainer each on its own half of the
            cores, sub-device or device, and one idle while the other works. Pipelined: both at once. Synchronous: both on
            everything, in turn. The median over batches counts, after two that do not.

              forja bench grpo recipes/grpo-arithmetic.yaml --device cpu --batches 5 --json
            """)

    @Argument(help: "A recipe of stage grpo, of one rank.")
    var recipe: String

    @Option(
        help: ArgumentHelp("Overrides a recipe key; may be given often.", valueName: "key=value"))
    var set: [String] = []

    @Option(help: "Timed batches of each order.")
    var batches = 5

    @Flag(help: "Print one JSON document.")
    var json = false

    @OptionGroup var compute: ComputeOptions

    func validate() throws {
        try checkRange("--batches", batches, 1...10_000)
    }

    private struct Report: Encodable {
        let device: String
        let trainerThreads: Int
        let samplerThreads: Int
        let synchronousThreads: Int
        /// Seconds a batch.
        let sampling: Double
        let training: Double
        let assigned: Double
        let pipelined: Double
        let synchronous: Double
        /// Assigned over pipelined.
        let speedup: Double
        let batchSeconds: [String: [Double]]

        enum CodingKeys: String, CodingKey {
            case device, speedup
            case trainerThreads = "trainer_threads"
            case samplerThreads = "sampler_threads"
            case synchronousThreads = "synchronous_threads"
            case sampling = "sampling_s"
            case training = "training_s"
            case assigned = "assigned_s"
            case pipelined = "pipelined_s"
            case synchronous = "synchronous_s"
            case batchSeconds = "batch_seconds"
        }
    }

    func run() throws {
        func recipe(isPipelined: Bool) throws(ForjaError) -> Recipe {
            try Recipe(
                contentsOf: self.recipe,
                overrides: set + [
                    "grpo.pipelined=\(isPipelined)", "training.max_steps=1000000000",
                ])
        }
        let pipelined = try recipe(isPipelined: true)
        guard pipelined.stage == .grpo, pipelined.mesh.rankCount == 1 else {
            throw ForjaError(
                .invalidInput,
                "\(self.recipe) has stage \(pipelined.stage.rawValue) and a mesh of "
                    + "\(pipelined.mesh.rankCount)",
                fix: "give a recipe of stage grpo without parallel.data and parallel.tensor")
        }
        let parts = try compute.open(for: pipelined, on: nil)
        let whole = try compute.open().device
        func times(
            _ recipe: Recipe, _ order: PipelineBenchmark.Order, on device: Device
        ) throws(ForjaError) -> PipelineBenchmark.Times {
            try PipelineBenchmark.run(
                recipe, order: order, on: device, batches: batches, observer: SilentObserver())
        }
        let assigned = try times(pipelined, .assigned(parts.sampling[0]), on: parts.training[0])
        let overlapped = try times(
            pipelined, .pipelined(parts.sampling[0]), on: parts.training[0])
        let synchronous = try times(recipe(isPipelined: false), .synchronous, on: whole)
        func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
        let report = Report(
            device: whole.description.name,
            trainerThreads: parts.training[0].description.threadCount,
            samplerThreads: parts.sampling[0].description.threadCount,
            synchronousThreads: whole.description.threadCount,
            sampling: median(assigned.sampling), training: median(assigned.training),
            assigned: median(assigned.whole), pipelined: median(overlapped.whole),
            synchronous: median(synchronous.whole),
            speedup: median(assigned.whole) / median(overlapped.whole),
            batchSeconds: [
                "assigned": assigned.whole, "pipelined": overlapped.whole,
                "synchronous": synchronous.whole,
            ])
        if json { return try Console.json(report) }
        Console.result(
            "\(report.device), \(report.trainerThreads) threads train, \(report.samplerThreads) "
                + "sample, \(report.synchronousThreads) in turn")
        for (name, seconds) in [
            ("one after the other, each on its own part", report.assigned),
            ("  sampling", report.sampling), ("  updates", report.training),
            ("pipelined", report.pipelined), ("in turn on everything", report.synchronous),
        ] {
            Console.result(
                name.padding(toLength: 44, withPad: " ", startingAt: 0)
                    + String(format: "%8.3f s a batch", seconds))
        }
        Console.result(String(format: "pipelining is %.2f times as fast", report.speedup))
    }
}
