import ArgumentParser
import ForjaCore
import ForjaModels
import ForjaParallel
import ForjaRL
import ForjaRuntime
import ForjaTraining
import Foundation

struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Says what a recipe's step needs before anything runs.",
        discussion: """
            Records the step that train would run and plans its memory; allocates none of it, trains nothing. Where the
            device uses the host's memory, what the process holds beside it is measured on a very small model, once for
            each program and device.

              forja plan recipes/quickstart.yaml --set training.batch_size_sequences=64

            With --nodes it simulates the recipe on a cluster instead: speed, memory, stops and days to a token budget. How far
            that can be trusted is in docs/cluster-simulator.md.

              forja plan recipes/cluster/llama3-8b.yaml --nodes 1 --zero 3 --recompute selective \\
                --device-profile Benchmarks/profiles/h100-sxm.json
            """)

    @Argument(help: "The recipe, a YAML file.")
    var recipe: String

    @Option(help: ArgumentHelp("Overrides a recipe key.", valueName: "key=value"))
    var set: [String] = []

    @Option(help: "Plans for this type instead of the recipe's training.dtype: f32 or bf16.")
    var dtype: ComputeType?

    @Flag(help: "Print one JSON document.")
    var json = false

    @OptionGroup var compute: ComputeOptions
    @OptionGroup(title: "Cluster") var cluster: ClusterOptions

    private struct Report: Encodable {
        let parameters: Int
        let tokensPerStep: Int
        let flopsPerStep: Double
        let dispatchedFlopsPerStep: Double
        let peakBytes: Int
        let compilingPeakBytes: Int
        let processBytes: Int
        let compilerBytes: Int
        let engineBytes: Int
        let weightBytes: Int
        let optimizerBytes: Int
        let activationBytes: Int
        let workspaceBytes: Int
        let samplingBytes: Int
        let communicationBytesPerStep: Int
        let deviceMemoryBytes: Int
        let fits: Bool

        enum CodingKeys: String, CodingKey {
            case parameters, fits
            case tokensPerStep = "tokens_per_step"
            case flopsPerStep = "flops_per_step"
            case dispatchedFlopsPerStep = "dispatched_flops_per_step"
            case peakBytes = "peak_bytes"
            case compilingPeakBytes = "compiling_peak_bytes"
            case processBytes = "process_bytes"
            case compilerBytes = "compiler_bytes"
            case engineBytes = "engine_bytes"
            case weightBytes = "weight_bytes"
            case optimizerBytes = "optimizer_bytes"
            case activationBytes = "activation_bytes"
            case workspaceBytes = "workspace_bytes"
            case samplingBytes = "sampling_bytes"
            case communicationBytesPerStep = "communication_bytes_per_step"
            case deviceMemoryBytes = "device_memory_bytes"
        }
    }

    func run() throws {
        let overrides = set + (dtype.map { ["training.dtype=\($0.rawValue)"] } ?? [])
        if cluster.isGiven {
            return try cluster.simulate(recipe: recipe, overrides: overrides, json: json)
        }
        let recipe = try Recipe(contentsOf: recipe, overrides: overrides)
        let configuration = try recipe.plannedModel(observer: ConsoleObserver())
        let queue = try compute.open()
        let rank = recipe.mesh.rankCount == 1 ? .single : MeshRank(planning: recipe.mesh)
        let model = LlamaModel(
            configuration, computeType: recipe.computeType, positions: recipe.sequenceLength,
            sharding: try LlamaSharding(configuration, over: rank.tensor))
        let shape = try recipe.plannedShape(observer: ConsoleObserver())
        let engine = try TrainingEngine(
            model: model, shape: shape, optimizer: recipe.optimizer, queue: queue,
            rank: rank, shardsState: recipe.shardsOptimizerState)
        // A prompt has at most as many tokens as bytes.
        let promptBytes = try recipe.samplePrompt.map {
            try Generator(
                model: model, sequences: 1, capacity: $0.utf8.count + recipe.sampleTokens,
                queue: queue
            ).byteCount
        }
        let samplingBytes =
            try (promptBytes ?? 0) + recipe.rolloutByteCount(model: model, queue: queue)
        let device = queue.device.description
        let parameterBytes = { (variables: [Variable]) in variables.reduce(0) { $0 + $1.byteCount }
        }
        let states = engine.states.flatMap { [$0.firstMoment, $0.secondMoment] }
        let process = try ProcessMemory.measured(
            for: Rehearsal(
                computeType: recipe.computeType, headWidth: configuration.headWidth,
                documentMask: shape.documentMask, recompute: shape.recompute),
            device: queue.device, options: compute)
        let engineBytes = engine.plannedByteCount + samplingBytes
        let peak = engineBytes + process.bytes
        let report = Report(
            parameters: configuration.parameterCount,
            tokensPerStep: engine.shape.tokensPerStep * recipe.dataParallel,
            flopsPerStep: configuration.trainingFlopsPerToken(
                sequenceLength: recipe.sequenceLength)
                * Double(engine.shape.tokensPerStep * recipe.dataParallel),
            dispatchedFlopsPerStep: engine.dispatchedFlopsPerStep * Double(recipe.mesh.rankCount),
            peakBytes: peak, compilingPeakBytes: peak + process.compilerBytes,
            processBytes: process.bytes, compilerBytes: process.compilerBytes,
            engineBytes: engineBytes,
            weightBytes: engine.model.parameters.reduce(0) {
                $0 + $1.compute.byteCount
                    + ($1.compute === $1.master ? 0 : $1.master.byteCount)
            }, optimizerBytes: parameterBytes(states),
            activationBytes: engine.scheduler.arenaByteCount,
            workspaceBytes: engine.scheduler.workspaceByteCount,
            samplingBytes: samplingBytes,
            communicationBytesPerStep: engine.sentByteCountPerStep,
            deviceMemoryBytes: device.memoryBytes,
            fits: engineBytes <= device.memoryBytes)
        if json {
            try Console.json(report)
            return
        }
        var rows: [(String, String)] = [
            ("parameters", "\(report.parameters)"),
            ("tokens per step", "\(report.tokensPerStep)"),
            ("FLOPs per step", String(format: "%.3e", report.flopsPerStep)),
            ("  as dispatched", String(format: "%.3e", report.dispatchedFlopsPerStep)),
            ("weights", megabytes(report.weightBytes)),
            ("optimizer state", megabytes(report.optimizerBytes)),
            ("activations and gradients", megabytes(report.activationBytes)),
            ("workspace", megabytes(report.workspaceBytes)),
            ("sampling", megabytes(report.samplingBytes)),
            ("engine in all", megabytes(report.engineBytes)),
            ("program and kernels", megabytes(report.processBytes)),
            ("process peak", megabytes(report.peakBytes)),
            ("  while compiling kernels", megabytes(report.compilingPeakBytes)),
            ("device memory", megabytes(report.deviceMemoryBytes)),
            ("fits", report.fits ? "yes" : "no"),
        ]
        if recipe.mesh.rankCount > 1 {
            rows.append(("memory is that of", "one rank of \(recipe.mesh.description)"))
            rows.append(("sent by it in a step", megabytes(report.communicationBytesPerStep)))
        }
        for (name, value) in rows {
            Console.result(name.padding(toLength: 28, withPad: " ", startingAt: 0) + value)
        }
    }
}
