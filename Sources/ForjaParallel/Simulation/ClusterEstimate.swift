import ForjaCore

/// What a simulation tells: speed, memory and the length of a run. Its JSON is what `forja plan --nodes` prints.
public struct ClusterEstimate: Encodable, Sendable {
    public struct Mesh: Encodable, Sendable, Equatable {
        public let data: Int
        public let tensor: Int
        public let context: Int
        public let pipeline: Int
        public let virtualStages: Int

        enum CodingKeys: String, CodingKey {
            case data, tensor, context, pipeline
            case virtualStages = "virtual_stages"
        }
    }

    /// Seconds of a step, on the busiest stage.
    public struct Breakdown: Encodable, Sendable {
        public let compute: Double
        public let tensorCollectives: Double
        public let contextCollectives: Double
        public let dataCollectives: Double
        public let dataCollectivesHidden: Double
        public let contention: Double
        public let optimizer: Double

        enum CodingKeys: String, CodingKey {
            case compute = "compute_s"
            case tensorCollectives = "tensor_collectives_s"
            case contextCollectives = "context_collectives_s"
            case dataCollectives = "data_collectives_s"
            case dataCollectivesHidden = "data_collectives_hidden_s"
            case contention = "contention_s"
            case optimizer = "optimizer_s"
        }
    }

    /// A run up to its token budget.
    public struct Run: Encodable, Sendable {
        public let tokenBudget: Double
        /// Days with stops and checkpoints.
        public let days: Double
        public let effectiveFraction: Double
        public let effectiveTokensPerSecond: Double
        /// `nil`: the profile knows no stops.
        public let meanSecondsBetweenStops: Double?
        /// Expected over the run.
        public let stops: Double
        public let checkpointSeconds: Double
        public let checkpointIntervalSeconds: Double?
        public let restartSeconds: Double

        enum CodingKeys: String, CodingKey {
            case days, stops
            case tokenBudget = "token_budget"
            case effectiveFraction = "effective_fraction"
            case effectiveTokensPerSecond = "effective_tokens_per_s"
            case meanSecondsBetweenStops = "mean_time_between_stops_s"
            case checkpointSeconds = "checkpoint_s"
            case checkpointIntervalSeconds = "checkpoint_interval_s"
            case restartSeconds = "restart_s"
        }
    }

    public let device: String
    public let nodes: Int
    public let devices: Int
    public let mesh: Mesh
    public let zero: Int
    public let recompute: String
    public let dtype: String
    public let parameters: Double
    public let microbatches: Int
    public let tokensPerStep: Double
    public let flopsPerStep: Double
    public let stepSeconds: Double
    public let tokensPerSecond: Double
    public let tokensPerSecondPerDevice: Double
    public let modelFlopsPerSecondPerDevice: Double
    /// `nil`: the profile gives no peak.
    public let mfu: Double?
    public let idleFraction: Double
    public let communicationBytesPerStep: Double
    public let breakdown: Breakdown
    public let memory: DeviceMemory
    public let peakBytes: Double
    public let deviceMemoryBytes: Double
    public let fits: Bool
    public let run: Run

    enum CodingKeys: String, CodingKey {
        case device, nodes, devices, mesh, zero, recompute, dtype, parameters, microbatches, mfu
        case breakdown, memory, fits, run
        case tokensPerStep = "tokens_per_step"
        case flopsPerStep = "flops_per_step"
        case stepSeconds = "step_s"
        case tokensPerSecond = "tokens_per_s"
        case tokensPerSecondPerDevice = "tokens_per_s_per_device"
        case modelFlopsPerSecondPerDevice = "model_flops_per_s_per_device"
        case idleFraction = "idle_fraction"
        case communicationBytesPerStep = "communication_bytes_per_step"
        case peakBytes = "peak_bytes"
        case deviceMemoryBytes = "device_memory_bytes"
    }

    /// Simulates a step and projects a run.
    ///
    /// - Parameters:
    ///   - tokenBudget: Tokens of the whole run.
    ///   - checkpointInterval: Seconds of work between checkpoints; `nil` takes the best.
    /// - Throws: `.invalidInput` when the plan is not the cluster's or the profile lacks the number format.
    public init(
        workload: ClusterWorkload, plan: ClusterPlan, profile: ClusterProfile,
        tokenBudget: Double, checkpointInterval: Double? = nil
    ) throws(ForjaError) {
        try plan.validate(layers: workload.layers)
        let rates = try profile.rates(for: workload.format)
        let step = StepSimulation(workload: workload, plan: plan, profile: profile, rates: rates)
        let projection = RunProjection(
            workload: workload, plan: plan, reliability: profile.reliability,
            intervalSeconds: checkpointInterval)
        device = profile.name
        nodes = plan.nodes
        devices = plan.devices
        mesh = Mesh(
            data: plan.data, tensor: plan.tensor, context: plan.context, pipeline: plan.pipeline,
            virtualStages: plan.virtualStages)
        zero = plan.sharding.rawValue
        recompute = plan.recompute.rawValue
        dtype = workload.format
        parameters = workload.parameters
        microbatches = plan.microbatches
        tokensPerStep =
            workload.tokensPerMicrobatch * Double(plan.microbatches) * Double(plan.data)
        flopsPerStep = tokensPerStep * workload.flopsPerToken
        stepSeconds = step.seconds
        tokensPerSecond = tokensPerStep / step.seconds
        tokensPerSecondPerDevice = tokensPerSecond / Double(plan.devices)
        modelFlopsPerSecondPerDevice = tokensPerSecondPerDevice * workload.flopsPerToken
        mfu = rates.peakFlopsPerSecond.map { [modelFlopsPerSecondPerDevice] in
            modelFlopsPerSecondPerDevice / $0
        }
        idleFraction = step.idleFraction
        communicationBytesPerStep = step.bytesSent
        breakdown = Breakdown(
            compute: step.computeSeconds, tensorCollectives: step.tensorSeconds,
            contextCollectives: step.contextSeconds, dataCollectives: step.dataSeconds,
            dataCollectivesHidden: step.hiddenDataSeconds, contention: step.contentionSeconds,
            optimizer: step.optimizerSeconds)
        memory = DeviceMemory(workload: workload, plan: plan)
        peakBytes = memory.totalBytes
        deviceMemoryBytes = profile.memoryBytes
        fits = peakBytes <= deviceMemoryBytes
        let effective = tokensPerSecond * projection.effectiveFraction
        let seconds = tokenBudget / effective
        let mean = projection.meanSecondsBetweenStops
        run = Run(
            tokenBudget: tokenBudget, days: seconds / 86_400,
            effectiveFraction: projection.effectiveFraction, effectiveTokensPerSecond: effective,
            meanSecondsBetweenStops: mean.isFinite ? mean : nil,
            stops: mean.isFinite ? seconds / mean : 0,
            checkpointSeconds: projection.checkpointSeconds,
            checkpointIntervalSeconds: projection.intervalSeconds.isFinite
                ? projection.intervalSeconds : nil, restartSeconds: projection.restartSeconds)
    }
}
