import ForjaCore

/// How a model is spread over a cluster. Ranks are numbered with tensor innermost, then context, pipeline, data.
///
/// Training itself knows data, tensor and ZeRO-1; pipeline stages, context parallelism, ZeRO-3 and selective
/// recomputation exist in the simulator only.
public struct ClusterPlan: Sendable {
    /// Which state data-parallel ranks share out instead of each keeping it.
    public enum Sharding: Int, Sendable, CaseIterable {
        /// None: gradients are all-reduced.
        case none = 0
        /// ZeRO-1: master weights and moments. Gradients are reduce-scattered, weights gathered once a step.
        case optimizer = 1
        /// ZeRO-3: weights and gradients too, gathered and reduced block by block in every microstep.
        case everything = 3
    }

    /// What backward computes again instead of keeping it.
    public enum Recompute: String, Sendable, CaseIterable {
        case none
        /// Elementwise results and every second product of a block are made again; attention is kept.
        case selective
        /// Only a block's input is kept.
        case block
    }

    public var nodes: Int
    public var devicesPerNode: Int
    public var data: Int
    /// Tensor-parallel ranks; norms and residuals are sequence-parallel among them.
    public var tensor = 1
    public var context = 1
    public var pipeline = 1
    /// Chunks of layers each pipeline stage holds; 1 is plain 1F1B, more interleaves.
    public var virtualStages = 1
    public var sharding = Sharding.optimizer
    public var recompute = Recompute.none
    /// Microbatches of a step on one data-parallel rank.
    public var microbatches = 1
    /// Sequences of one microbatch.
    public var sequences = 1
    public var sequenceLength: Int
    /// Whether gradients are reduced and weights gathered beside compute.
    public var overlapsDataParallel = true
    /// Bytes of one gradient on its way through a reduction; gradients are kept in float32.
    public var gradientBytes = 4.0
    /// Memory traffic of elementwise kernels over that of fused ones: 1 for fused or compiled, about 3 for kernels that do
    /// one primitive each.
    public var elementwiseTraffic = 1.0
    /// Rows the head takes at a time; `nil`: a whole microbatch.
    public var headRows: Int?

    public init(nodes: Int, devicesPerNode: Int, data: Int, sequenceLength: Int) {
        self.nodes = nodes
        self.devicesPerNode = devicesPerNode
        self.data = data
        self.sequenceLength = sequenceLength
    }

    /// Most passes through a part of the model that one step may have in each direction.
    static let maxPasses = 1_000_000
    /// Most tokens of a microbatch, so that no size of a tensor passes 64 bits.
    static let maxTokens = 100_000_000

    public var devices: Int { nodes * devicesPerNode }

    /// Refuses a mesh that is not the cluster, and degrees that do not divide.
    ///
    /// - Parameter layers: Blocks of the model.
    public func validate(layers: Int) throws(ForjaError) {
        for (name, value) in [
            ("--nodes", nodes), ("--devices-per-node", devicesPerNode), ("parallel.data", data),
            ("parallel.tensor", tensor), ("--context-parallel", context),
            ("--pipeline-parallel", pipeline), ("--virtual-stages", virtualStages),
            ("training.gradient_accumulation_steps", microbatches),
            ("sequences of a microbatch", sequences), ("sequence length", sequenceLength),
        ] where value < 1 {
            throw ForjaError(
                .invalidInput, "\(name) is \(value)", fix: "give a number of at least 1")
        }
        let model = tensor * context * pipeline
        guard data * model == devices else {
            let fix =
                devices % model == 0
                ? "set parallel.data to \(devices / model)"
                : "choose degrees whose product divides \(devices)"
            throw ForjaError(
                .invalidInput,
                "data \(data) × tensor \(tensor) × context \(context) × pipeline \(pipeline) is "
                    + "\(data * model) ranks; \(nodes) nodes of \(devicesPerNode) are \(devices)",
                fix: fix)
        }
        guard sequenceLength % context == 0 else {
            throw ForjaError(
                .invalidInput,
                "--context-parallel \(context) does not divide the sequence of \(sequenceLength)",
                fix: "choose a divisor of \(sequenceLength)")
        }
        guard pipeline * virtualStages <= layers + 2 else {
            throw ForjaError(
                .invalidInput,
                "\(pipeline) stages of \(virtualStages) chunks are more than \(layers) layers and "
                    + "two ends",
                fix: "lower --pipeline-parallel or --virtual-stages")
        }
        guard virtualStages == 1 || microbatches % pipeline == 0 else {
            throw ForjaError(
                .invalidInput,
                "interleaved stages take microbatches in groups of \(pipeline); there are "
                    + "\(microbatches)",
                fix: "set training.gradient_accumulation_steps to a multiple of \(pipeline), or "
                    + "--virtual-stages to 1")
        }
        guard sequences * sequenceLength <= Self.maxTokens else {
            throw ForjaError(
                .invalidInput,
                "a microbatch of \(sequences) × \(sequenceLength) tokens is more than the "
                    + "\(Self.maxTokens) a simulation takes",
                fix: "raise parallel.data or training.gradient_accumulation_steps")
        }
        guard microbatches * (layers + 2) <= Self.maxPasses else {
            throw ForjaError(
                .invalidInput,
                "\(microbatches) microbatches of \(layers) layers are more than the "
                    + "\(Self.maxPasses) passes a simulation takes",
                fix: "lower training.gradient_accumulation_steps and the batch with it")
        }
        guard virtualStages == 1 || pipeline > 1 else {
            throw ForjaError(
                .invalidInput, "--virtual-stages \(virtualStages) with one pipeline stage",
                fix: "set --virtual-stages to 1, or --pipeline-parallel above 1")
        }
    }

    // MARK: Groups

    public var tensorGroup: ProcessGroup { group(of: tensor, stride: 1) }
    public var contextGroup: ProcessGroup { group(of: context, stride: tensor) }
    /// Ranks that hold the same weights: those of the data axis and of the context axis.
    public var replicaGroup: ProcessGroup {
        let data = group(of: data, stride: tensor * context * pipeline)
        return ProcessGroup(
            size: data.size * context,
            membersPerNode: data.membersPerNode * contextGroup.membersPerNode)
    }
    public var world: ProcessGroup {
        ProcessGroup(size: devices, membersPerNode: devicesPerNode)
    }
    /// Whether neighbouring pipeline stages share a node.
    public var stagesShareNode: Bool { tensor * context * pipeline <= devicesPerNode }

    /// A group of ranks `stride` apart. Where it does not fill nodes evenly its links are taken as between nodes.
    private func group(of size: Int, stride: Int) -> ProcessGroup {
        let fitting = min(size, max(1, devicesPerNode / stride))
        return ProcessGroup(size: size, membersPerNode: size % fitting == 0 ? fitting : 1)
    }

    // MARK: Layers

    /// A part of the model on a device.
    enum Part { case embedding, layer, head }

    /// Parts of every chunk, in order of the forward pass; chunk c stands on stage c mod `pipeline`.
    ///
    /// Where layers and the two ends together divide evenly, each end takes a layer's place, so that no stage holds more
    /// than others (Llama 3 405B: 126 layers and two ends in 128 places). Else layers are spread as evenly as they can be.
    func chunks(layers: Int) -> [[Part]] {
        let count = pipeline * virtualStages
        var sizes = (0..<count).map { layers / count + ($0 < layers % count ? 1 : 0) }
        if layers % count != 0, (layers + 2) % count == 0, count > 1 {
            sizes = Array(repeating: (layers + 2) / count, count: count)
            sizes[0] -= 1
            sizes[count - 1] -= 1
        }
        var chunks = sizes.map { Array(repeating: Part.layer, count: $0) }
        chunks[0].insert(.embedding, at: 0)
        chunks[count - 1].append(.head)
        return chunks
    }
}
