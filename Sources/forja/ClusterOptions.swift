import ArgumentParser
import ForjaCore
import ForjaModels
import ForjaParallel
import ForjaTraining
import Foundation

/// `forja plan --nodes`: a recipe on a cluster that is not at hand.
///
/// The data and tensor degrees are the recipe's (`--set parallel.data=64`); what only the simulator knows is an option here.
struct ClusterOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Simulates a cluster of so many nodes.", valueName: "count"))
    var nodes: Int?

    @Option(help: ArgumentHelp("Devices of one node.", valueName: "count"))
    var devicesPerNode = 8

    @Option(
        help: ArgumentHelp(
            "What a device and its links can do, a JSON file; Benchmarks/profiles/ holds some.",
            valueName: "file"))
    var deviceProfile: String?

    @Option(
        help: ArgumentHelp(
            "Gigabits per second between nodes, for each device in one direction. Absent: the profile's.",
            valueName: "rate"))
    var linkGbps: Double?

    @Option(help: ArgumentHelp("Pipeline stages, 1F1B.", valueName: "count"))
    var pipelineParallel = 1

    @Option(
        help: ArgumentHelp(
            "Chunks of layers on each pipeline stage; more than 1 interleaves them.",
            valueName: "count"))
    var virtualStages = 1

    @Option(help: ArgumentHelp("Ranks that share a sequence.", valueName: "count"))
    var contextParallel = 1

    @Option(
        help: ArgumentHelp(
            "What data-parallel ranks share out: 0 nothing, 1 optimizer state, 3 weights and gradients too.",
            valueName: "0|1|3"))
    var zero = ClusterPlan.Sharding.optimizer

    @Option(
        help: ArgumentHelp(
            "What backward computes again: none, selective or block. Absent: the recipe's training.recompute.",
            valueName: "policy"))
    var recompute: ClusterPlan.Recompute?

    @Option(
        help: ArgumentHelp(
            "Number format in which gradients are reduced: f32 or bf16.", valueName: "format"))
    var reduceDtype = ComputeType.f32

    @Option(
        help: ArgumentHelp(
            "Memory traffic of elementwise kernels over that of fused ones: 1 fused, about 3 unfused.",
            valueName: "ratio"))
    var elementwiseTraffic = 1.0

    @Option(
        help: ArgumentHelp(
            "Rows the head takes at a time. Absent: a whole microbatch.", valueName: "count"))
    var headRows: Int?

    @Flag(help: "Waits for the data axis instead of hiding it behind compute.")
    var noOverlap = false

    @Option(
        help: ArgumentHelp(
            "Tokens of the whole run. Absent: the recipe's steps.", valueName: "tokens"))
    var tokenBudget: Double?

    @Option(
        help: ArgumentHelp(
            "Seconds of work between checkpoints. Absent: the best (Daly).", valueName: "seconds"))
    var checkpointInterval: Double?

    var isGiven: Bool { nodes != nil }

    func validate() throws {
        guard (nodes == nil) == (deviceProfile == nil) else {
            throw ValidationError(
                "--nodes and --device-profile go together; "
                    + "Benchmarks/profiles/h100-sxm.json is a profile")
        }
        guard isGiven || !changesSomething else {
            throw ValidationError("options of the cluster need --nodes")
        }
        for (name, value, most) in [
            ("--nodes", nodes ?? 1, 65_536), ("--devices-per-node", devicesPerNode, 4096),
            ("--pipeline-parallel", pipelineParallel, 4096),
            ("--virtual-stages", virtualStages, 4096),
            ("--context-parallel", contextParallel, 4096),
            ("--head-rows", headRows ?? 1, 1_000_000_000),
        ] where value < 1 || value > most {
            throw ValidationError("\(name) is \(value); use 1 ... \(most)")
        }
        for (name, value) in [
            ("--link-gbps", linkGbps ?? 1), ("--elementwise-traffic", elementwiseTraffic),
            ("--token-budget", tokenBudget ?? 1),
            ("--checkpoint-interval", checkpointInterval ?? 1),
        ] where !(value > 0 && value.isFinite) {
            throw ValidationError("\(name) is \(value); use a number above 0")
        }
    }

    private var changesSomething: Bool {
        let absent =
            linkGbps == nil && recompute == nil && headRows == nil && tokenBudget == nil
            && checkpointInterval == nil
        let plain =
            pipelineParallel == 1 && virtualStages == 1 && contextParallel == 1
            && zero == .optimizer && reduceDtype == .f32 && elementwiseTraffic == 1
        return !(absent && plain && !noOverlap)
    }

    /// Simulates and prints.
    func simulate(recipe file: String, overrides: [String], json: Bool) throws {
        let recipe = try Recipe(contentsOf: file, overrides: overrides, isSimulated: true)
        let configuration = try recipe.plannedModel(observer: ConsoleObserver())
        var profile = try ClusterProfile(contentsOf: deviceProfile!)
        if let linkGbps { profile.interNode.gigabitsPerSecond = linkGbps }
        let plan = try plan(for: recipe)
        try plan.validate(layers: configuration.layers)
        let estimate = try ClusterEstimate(
            workload: configuration.clusterWorkload(for: plan, computeType: recipe.computeType),
            plan: plan, profile: profile,
            tokenBudget: tokenBudget
                ?? Double(recipe.maxSteps) * Double(recipe.batchSize)
                * Double(recipe.sequenceLength),
            checkpointInterval: checkpointInterval)
        if json { try Console.json(estimate) } else { print(estimate) }
    }

    private func plan(for recipe: Recipe) throws(ForjaError) -> ClusterPlan {
        var plan = ClusterPlan(
            nodes: nodes!, devicesPerNode: devicesPerNode, data: recipe.dataParallel,
            sequenceLength: recipe.sequenceLength)
        plan.tensor = recipe.tensorParallel
        plan.context = contextParallel
        plan.pipeline = pipelineParallel
        plan.virtualStages = virtualStages
        plan.sharding = zero
        plan.recompute =
            recompute ?? (recipe.stepShape.recompute == .block ? .block : .none)
        plan.microbatches = recipe.accumulation
        plan.gradientBytes = Double(reduceDtype.dtype.byteCount)
        plan.elementwiseTraffic = elementwiseTraffic
        plan.headRows = headRows
        plan.overlapsDataParallel = !noOverlap
        let parts = recipe.dataParallel * recipe.accumulation
        guard recipe.batchSize % parts == 0 else {
            throw ForjaError(
                .invalidInput,
                "training.batch_size_sequences is \(recipe.batchSize); \(recipe.dataParallel) "
                    + "data-parallel ranks of \(recipe.accumulation) microsteps do not divide it",
                fix: "make it a multiple of \(parts)")
        }
        plan.sequences = recipe.batchSize / parts
        return plan
    }

    private func print(_ estimate: ClusterEstimate) {
        let gigabytes = { (bytes: Double) in String(format: "%.1f GB", bytes / 1e9) }
        let percent = { (share: Double) in String(format: "%.1f %%", 100 * share) }
        let seconds = { (value: Double) in String(format: "%.3f s", value) }
        let mesh = estimate.mesh
        let breakdown = estimate.breakdown
        let run = estimate.run
        var axes = "data \(mesh.data) × tensor \(mesh.tensor)"
        if mesh.context > 1 { axes += " × context \(mesh.context)" }
        if mesh.pipeline > 1 {
            axes += " × pipeline \(mesh.pipeline) of \(mesh.virtualStages) chunks"
        }
        let rows: [(String, String)] = [
            ("devices", "\(estimate.devices) × \(estimate.device)"),
            ("mesh", "\(axes), ZeRO-\(estimate.zero), \(estimate.microbatches) microbatches"),
            ("parameters", String(format: "%.0f", estimate.parameters)),
            ("tokens per step", String(format: "%.0f", estimate.tokensPerStep)),
            ("step", seconds(estimate.stepSeconds)),
            ("  kernels, busiest stage", seconds(breakdown.compute)),
            ("  tensor axis", seconds(breakdown.tensorCollectives)),
            ("  context axis", seconds(breakdown.contextCollectives)),
            (
                "  data axis",
                seconds(breakdown.dataCollectives)
                    + ", \(seconds(breakdown.dataCollectivesHidden)) of it hidden"
            ),
            ("  contention", seconds(breakdown.contention)),
            ("  update", seconds(breakdown.optimizer)),
            ("idle, mean of stages", percent(estimate.idleFraction)),
            ("tokens per second", String(format: "%.0f", estimate.tokensPerSecond)),
            ("  per device", String(format: "%.0f", estimate.tokensPerSecondPerDevice)),
            (
                "model TFLOP/s per device",
                String(format: "%.1f", estimate.modelFlopsPerSecondPerDevice / 1e12)
            ),
            ("MFU", estimate.mfu.map(percent) ?? "n/a: the profile gives no peak"),
            ("sent per step and device", gigabytes(estimate.communicationBytesPerStep)),
            ("memory per device", gigabytes(estimate.peakBytes)),
            ("  weights", gigabytes(estimate.memory.weightBytes)),
            ("  gradients", gigabytes(estimate.memory.gradientBytes)),
            ("  optimizer state", gigabytes(estimate.memory.optimizerBytes)),
            ("  activations", gigabytes(estimate.memory.activationBytes)),
            ("  transient", gigabytes(estimate.memory.transientBytes)),
            ("device memory", gigabytes(estimate.deviceMemoryBytes)),
            ("fits", estimate.fits ? "yes" : "no"),
            (
                "time between stops",
                run.meanSecondsBetweenStops.map { String(format: "%.1f h", $0 / 3600) }
                    ?? "no stops"
            ),
            ("checkpoint", seconds(run.checkpointSeconds)),
            (
                "  every",
                run.checkpointIntervalSeconds.map { String(format: "%.0f s of work", $0) }
                    ?? "never"
            ),
            ("effective time", percent(run.effectiveFraction)),
            (
                "days to \(String(format: "%.3g", run.tokenBudget)) tokens",
                String(format: "%.2f, with %.0f stops", run.days, run.stops)
            ),
        ]
        for (name, value) in rows {
            Console.result(name.padding(toLength: 28, withPad: " ", startingAt: 0) + value)
        }
    }
}

extension ClusterPlan.Recompute: ExpressibleByArgument {}
extension ClusterPlan.Sharding: ExpressibleByArgument {}
