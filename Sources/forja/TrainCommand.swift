import ArgumentParser
import ForjaCore
import ForjaFormats
import ForjaParallel
import ForjaRL
import ForjaRuntime
import ForjaTraining
import Foundation

struct TrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train",
        abstract: "Trains a model as a recipe says.",
        discussion: """
            Loss, validation loss, speed, MFU and the time left are shown while it runs; everything is kept in the run
            directory: the resolved recipe, metrics.jsonl, TensorBoard events, samples and checkpoints, which are
            Hugging Face directories.

              forja train recipes/quickstart.yaml --run-dir runs/first
              forja train recipes/quickstart.yaml --run-dir runs/first --resume
              forja train recipes/quickstart.yaml --set training.max_steps=100 --set training.seed=2
              forja train recipes/quickstart.yaml --data-parallel 2
              mpirun -n 2 forja train recipes/quickstart.yaml

            Once steps run, Ctrl-C or SIGTERM finishes the step, saves and exits with 130; a second one stops at once.
            """)

    @Argument(help: "The recipe, a YAML file; recipes/ holds ready ones.")
    var recipe: String

    @Option(
        help: ArgumentHelp("Overrides a recipe key; may be given often.", valueName: "key=value"))
    var set: [String] = []

    @Option(help: "Where the run is kept; runs/NAME-DATE when absent.")
    var runDir: String?

    @Flag(help: "Continues the run in --run-dir from its newest checkpoint.")
    var resume = false

    @Option(
        help: "Computes in this type instead of the recipe's training.dtype: f32 or bf16.")
    var dtype: ComputeType?

    @Option(
        help: ArgumentHelp(
            "Ranks that share out each step's sequences; the recipe's parallel.data.",
            valueName: "count"))
    var dataParallel: Int?

    @Option(
        help: ArgumentHelp(
            "Ranks that share out the model; the recipe's parallel.tensor.", valueName: "count"))
    var tensorParallel: Int?

    @Option(
        help: ArgumentHelp(
            "Writes when every operation, transfer and collective of each rank ran, for Perfetto or chrome://tracing.",
            valueName: "file"))
    var trace: String?

    @Flag(help: "Prints the outcome as one JSON document.")
    var json = false

    @OptionGroup var compute: ComputeOptions

    func validate() throws {
        if resume, runDir == nil { throw ValidationError("--resume needs --run-dir") }
    }

    private struct Outcome: Encodable {
        let runDirectory: String
        let step: Int
        let validationLoss: Double?
        /// Of text; other data have none.
        let unigramEntropy: Double?
        /// Figures of the last validation.
        let metrics: [String: Double]
        /// Most memory that was in use; `nil` when nothing was trained.
        let peakBytes: Int?
        let seconds: Double

        enum CodingKeys: String, CodingKey {
            case step, seconds, metrics
            case peakBytes = "peak_bytes"
            case runDirectory = "run_dir"
            case validationLoss = "validation_loss"
            case unigramEntropy = "unigram_entropy"
        }
    }

    func run() throws {
        let start = Date()
        let overrides =
            set + (dtype.map { ["training.dtype=\($0.rawValue)"] } ?? [])
            + (dataParallel.map { ["parallel.data=\($0)"] } ?? [])
            + (tensorParallel.map { ["parallel.tensor=\($0)"] } ?? [])
        let processes = try Ranks.join()
        try Ranks.perform(on: processes) { try train(overrides, on: processes, since: start) }
    }

    private func train(
        _ overrides: [String], on processes: MPIRun?, since start: Date
    ) throws {
        let recipe = try Ranks.recipe(self.recipe, overrides: overrides, on: processes)
        let path = try Ranks.agreed(
            runDir ?? RunDirectory.defaultPath(name: recipe.name), on: processes)
        let outcome = try RecipeRun(
            recipe: recipe, path: path, isResuming: resume, compute: compute, processes: processes,
            trace: trace
        ).perform()
        let seconds = Date().timeIntervalSince(start)
        if json {
            let data =
                try outcome.data ?? recipe.readDataOfAnyStage(run: nil, observer: ConsoleObserver())
            try Console.json(
                Outcome(
                    runDirectory: path, step: recipe.maxSteps,
                    validationLoss: outcome.validation["validation_loss"],
                    unigramEntropy: (data as? PretrainData)?.unigramEntropy,
                    metrics: outcome.validation, peakBytes: outcome.peakBytes, seconds: seconds))
            return
        }
        guard let data = outcome.data else { return }
        if let loss = outcome.validation["validation_loss"],
            let unigramEntropy = (data as? PretrainData)?.unigramEntropy
        {
            Console.result(
                String(
                    format: "validation loss %.4f nats per token; unigram entropy %.4f "
                        + "(%.4f below)", loss, unigramEntropy, unigramEntropy - loss))
        } else {
            for (name, value) in outcome.validation.sorted(by: { $0.key < $1.key }) {
                Console.result("\(name) " + String(format: "%.4f", value))
            }
        }
        Console.result(
            String(format: "%d steps in %.1f s; run in ", recipe.maxSteps, seconds) + path)
    }
}

extension Device {
    /// Peak FLOP/s measured now, for MFU: BLAS where kernels run on the host's cores; elsewhere there is none.
    func measuredPeak() throws(ForjaError) -> Double? {
        switch description.kind {
        case .host, .openCLCPU:
            try Device.measureHostPeak(threadCount: description.threadCount)
        case .openCLGPU, .openCLAccelerator: nil
        }
    }
}
