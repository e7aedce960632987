import ForjaCore
import ForjaFormats
import ForjaParallel
import ForjaRL
import ForjaRuntime
import ForjaTraining
import Foundation

/// A recipe brought to its last step in a run directory by all ranks of its mesh: what `forja train` does, and `forja run`
/// for each stage.
struct RecipeRun {
    let recipe: Recipe
    /// The run directory.
    let path: String
    let isResuming: Bool
    let compute: ComputeOptions
    /// The processes of a launcher that this one is part of.
    var processes: MPIRun? = nil
    /// Where a trace is written.
    var trace: String? = nil

    struct Outcome {
        /// Figures of the validation after the last step.
        var validation: [String: Double]
        /// What was trained on; `nil` when all steps were done before.
        var data: (any StageData)?
        /// Most memory that was in use; `nil` when all steps were done before.
        var peakBytes: Int?
    }

    func perform() throws -> Outcome {
        let directory = try Ranks.firstThenOthers(on: processes) { isFirst in
            try isFirst
                ? RunDirectory(path: path, isResuming: isResuming) : RunDirectory(joining: path)
        }
        if isResuming { try Self.checkUnchanged(recipe, in: directory) }
        if isResuming, let last = directory.checkpointSteps.last, last >= recipe.maxSteps {
            Console.note("\(directory.path) has all \(recipe.maxSteps) steps already")
            return Outcome(validation: try MetricsLog.lastValidation(directory: directory.path))
        }
        let mesh = recipe.mesh
        let (devices, samplers) = try compute.open(for: recipe, on: processes)
        let data = try Ranks.firstThenOthers(on: processes) { isFirst in
            try recipe.readDataOfAnyStage(
                run: isFirst ? directory : nil,
                observer: ConsoleObserver(everySteps: recipe.loggingEverySteps)
            ).sampling(on: samplers)
        }
        // Not earlier: the others wait while the first rank reads text for as long as that takes.
        processes?.setTimeout(seconds: recipe.rankTimeoutSeconds)
        let peak = try Ranks.total(Self.measuredPeak(of: devices), on: processes)
        let events = trace.map { _ in Trace() }
        let run = (recipe: recipe, isResuming: isResuming, isProcess: processes != nil)
        let outcomes = Result { () throws(ForjaError) in
            try RankLauncher.run(
                mesh, timeoutSeconds: recipe.rankTimeoutSeconds, processes: processes
            ) { rank throws(ForjaError) in
                try Self.train(
                    run.recipe, data: data, in: directory, isResuming: run.isResuming, rank: rank,
                    on: devices[run.isProcess ? 0 : rank.rank],
                    trace: events?.recorder(rank: rank.rank), peakFlopsPerSecond: peak)
            }
        }
        // Of a run that failed too: that is when one looks.
        if let trace, let events {
            let rank = processes?.world.rank ?? 0
            try AtomicFile.write(events.json, to: rank == 0 ? trace : "\(trace).rank\(rank)")
        }
        return Outcome(
            validation: try outcomes.get()[0], data: data,
            peakBytes: ResidentMemory.peak(with: devices + samplers))
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
