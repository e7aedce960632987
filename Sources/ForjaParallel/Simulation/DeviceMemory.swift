/// Bytes one device holds in a step, on the stage that holds most.
public struct DeviceMemory: Sendable, Codable, Equatable {
    /// Weights as kernels read them, and float32 masters.
    public var weightBytes: Double
    public var gradientBytes: Double
    public var optimizerBytes: Double
    /// Activations kept for backward by all microbatches in flight.
    public var activationBytes: Double
    /// Beyond that at the peak of a pass: gradients of activations, logits, gathered weights.
    public var transientBytes: Double

    public var totalBytes: Double {
        weightBytes + gradientBytes + optimizerBytes + activationBytes + transientBytes
    }

    enum CodingKeys: String, CodingKey {
        case weightBytes = "weight_bytes"
        case gradientBytes = "gradient_bytes"
        case optimizerBytes = "optimizer_bytes"
        case activationBytes = "activation_bytes"
        case transientBytes = "transient_bytes"
    }

    public init(workload: ClusterWorkload, plan: ClusterPlan) {
        let chunks = plan.chunks(layers: workload.layers)
        let schedule = PipelineSchedule(
            stages: plan.pipeline, microbatches: plan.microbatches,
            virtualStages: plan.virtualStages)
        let stages = (0..<plan.pipeline).map { stage in
            Self(
                workload: workload, plan: plan, schedule: schedule.actions[stage],
                chunks: stride(from: stage, to: chunks.count, by: plan.pipeline).map {
                    chunks[$0].map { part in
                        switch part {
                        case .embedding: workload.embedding
                        case .layer: workload.layer
                        case .head: workload.head
                        }
                    }
                })
        }
        self = stages.max { $0.totalBytes < $1.totalBytes }!
    }

    private init(
        workload: ClusterWorkload, plan: ClusterPlan, schedule: [PipelineSchedule.Action],
        chunks: [[ClusterWorkload.Block]]
    ) {
        let blocks = chunks.flatMap { $0 }
        let parameters = blocks.reduce(0) { $0 + $1.parameters }
        let replicas = Double(plan.replicaGroup.size)
        let optimizerShare = plan.sharding == .none ? 1 : replicas
        let weightShare = plan.sharding == .everything ? replicas : 1
        weightBytes =
            workload.hasMaster
            ? parameters * 4 / optimizerShare
                // Sharded weights are gathered from the master; no copy is kept.
                + (plan.sharding == .everything ? 0 : parameters * workload.weightBytes)
            : parameters * 4 / weightShare
        gradientBytes = parameters * 4 / weightShare
        optimizerBytes = parameters * 8 / optimizerShare
        var (live, peak) = (0.0, 0.0)
        let saved = chunks.map { $0.reduce(0) { $0 + $1.savedBytes } }
        for action in schedule {
            live += action.isForward ? saved[action.chunk] : -saved[action.chunk]
            peak = max(peak, live)
        }
        activationBytes = peak
        var gathered = 0.0
        if plan.sharding == .everything {
            // Two parts' weights and one part's whole gradient.
            let largest = blocks.map(\.parameters).sorted(by: >)
            gathered =
                largest.prefix(2).reduce(0, +) * workload.weightBytes
                + (largest.first ?? 0) * 4
        }
        transientBytes = workload.transientBytes + gathered
    }
}
