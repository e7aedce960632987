import ArgumentParser
import ForjaCore
import ForjaFormats
import ForjaParallel
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
        let directory = try Ranks.firstThenOthers(on: processes) { isFirst in
            try isFirst
                ? RunDirectory(path: path, isResuming: resume) : RunDirectory(joining: path)
        }
        if resume { try Self.checkUnchanged(recipe, in: directory) }
        if resume, let last = directory.checkpointSteps.last, last >= recipe.maxSteps {
            Console.note("\(directory.path) has all \(recipe.maxSteps) steps already")
            guard json else { return }
            let data = try recipe.readData(run: nil, observer: ConsoleObserver())
            let validation = try MetricsLog.lastValidation(directory: directory.path)
            try Console.json(
                Outcome(
                    runDirectory: directory.path, step: recipe.maxSteps,
                    validationLoss: validation["validation_loss"],
                    unigramEntropy: (data as? PretrainData)?.unigramEntropy,
                    metrics: validation, peakBytes: nil,
                    seconds: Date().timeIntervalSince(start)))
            return
        }
        let mesh = recipe.mesh
        let devices = try compute.open(rankCount: mesh.rankCount, on: processes)
        let data = try Ranks.firstThenOthers(on: processes) { isFirst in
            try recipe.readData(
                run: isFirst ? directory : nil,
                observer: ConsoleObserver(everySteps: recipe.loggingEverySteps))
        }
        // Not earlier: the others wait while the first rank reads text for as long as that takes.
        processes?.setTimeout(seconds: recipe.rankTimeoutSeconds)
        let peak = try Ranks.total(Self.measuredPeak(of: devices), on: processes)
        let isResuming = resume
        let events = trace.map { _ in Trace() }
        let outcomes = Result { () throws(ForjaError) in
            try RankLauncher.run(
                mesh, timeoutSeconds: recipe.rankTimeoutSeconds, processes: processes
            ) { rank throws(ForjaError) in
                try Self.train(
                    recipe, data: data, in: directory, isResuming: isResuming, rank: rank,
                    on: devices[processes == nil ? rank.rank : 0],
                    trace: events?.recorder(rank: rank.rank), peakFlopsPerSecond: peak)
            }
        }
        // Of a run that failed too: that is when one looks.
        if let trace, let events {
            let rank = processes?.world.rank ?? 0
            try AtomicFile.write(events.json, to: rank == 0 ? trace : "\(trace).rank\(rank)")
        }
        let validation = try outcomes.get()[0]
        let validationLoss = validation["validation_loss"]
        let unigramEntropy = (data as? PretrainData)?.unigramEntropy
        let seconds = Date().timeIntervalSince(start)
        if json {
            try Console.json(
                Outcome(
                    runDirectory: directory.path, step: recipe.maxSteps,
                    validationLoss: validationLoss, unigramEntropy: unigramEntropy,
                    metrics: validation, peakBytes: ResidentMemory.peak(with: devices),
                    seconds: seconds))
            return
        }
        if let validationLoss, let unigramEntropy {
            Console.result(
                String(
                    format: "validation loss %.4f nats per token; unigram entropy %.4f "
                        + "(%.4f below)", validationLoss, unigramEntropy,
                    unigramEntropy - validationLoss))
        } else {
            for (name, value) in validation.sorted(by: { $0.key < $1.key }) {
                Console.result("\(name) " + String(format: "%.4f", value))
            }
        }
        Console.result(
            String(format: "%d steps in %.1f s; run in ", recipe.maxSteps, seconds)
                + directory.path)
    }

    /// One rank's part of the run.
    ///
    /// - Returns: Figures of the validation after the last step.
    private static func train(
        _ recipe: Recipe, data: any StageData, in directory: RunDirectory, isResuming: Bool,
        rank: MeshRank, on device: Device, trace: Trace.Recorder?, peakFlopsPerSecond: Double?
    ) throws(ForjaError) -> [String: Double] {
        let observer = ConsoleObserver(everySteps: recipe.loggingEverySteps)
        if rank.mesh.rankCount > 1 {
            try rank.progress.keepHeartbeat(in: directory.heartbeats())
        }
        let trainer = try Trainer(
            recipe: recipe, data: data, run: directory, isResuming: isResuming,
            queue: try Queue(device: device), rank: rank, peakFlopsPerSecond: peakFlopsPerSecond,
            observer: observer)
        if rank.isFirst {
            let description = device.description
            Console.note(
                "\(recipe.name): \(trainer.parameterCount) parameters, "
                    + "\(trainer.plannedByteCount / 1_000_000) MB planned, on "
                    + "\(description.name) "
                    + "(\(description.kind.rawValue), \(description.threadCount) threads)"
                    + (rank.mesh.rankCount > 1 ? " for each rank of \(rank.mesh.description)" : "")
                    + "; run in \(directory.path)")
        }
        // Threads share what a signal says; processes get one each.
        Interruption.listen()
        if let trace { trainer.record(in: trace) }
        defer { observer.end() }
        return try trainer.train()
    }

    /// Peak FLOP/s of the ranks' devices together; `nil` where one cannot be measured.
    private static func measuredPeak(of devices: [Device]) throws(ForjaError) -> Double? {
        guard devices.allSatisfy({ [.host, .openCLCPU].contains($0.description.kind) }) else {
            return nil
        }
        // Ranks on one machine share its cores; what they have together is measured at once.
        let threads = devices.reduce(0) { $0 + $1.description.threadCount }
        return try Device.measureHostPeak(
            threadCount: min(threads, ProcessInfo.processInfo.activeProcessorCount))
    }

    private static func checkUnchanged(
        _ recipe: Recipe, in directory: RunDirectory
    ) throws(ForjaError) {
        let stored = directory.file("recipe.yaml")
        guard FileManager.default.fileExists(atPath: stored) else { return }
        let changed = recipe.keysChanged(since: try Recipe(contentsOf: stored))
        guard changed.isEmpty else {
            throw ForjaError(
                .invalidInput,
                "the recipe differs from the run's in \(changed.joined(separator: ", "))",
                fix: "use the same recipe and --set, or start a new run directory")
        }
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
