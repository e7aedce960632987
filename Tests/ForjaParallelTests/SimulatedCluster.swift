import ForjaParallel

/// A cluster in round numbers: memory moves one byte a second, so a kernel's bytes are its seconds.
enum SimulatedCluster {
    static let free = ClusterProfile.Link(bytesPerSecond: 1e30, latencySeconds: 0)

    /// - Parameter link: Of every pair of devices, within nodes and between them.
    static func profile(
        link: ClusterProfile.Link = free, computeShare: Double = 0, launch: Double = 0
    ) -> ClusterProfile {
        ClusterProfile(
            name: "test", memoryBytes: 1e6, memoryBytesPerSecond: 1, kernelLaunchSeconds: launch,
            rates: ["bf16": rates], intraNode: link,
            interNode: ClusterProfile.Network(
                gigabitsPerSecond: link.bytesPerSecond * 8 / 1e9, efficiency: 1,
                latencySeconds: link.latencySeconds), collectiveComputeShare: computeShare,
            reliability: ClusterProfile.Reliability(
                stopsPerThousandNodeDays: 4, restartSeconds: 600,
                checkpointBytesPerSecondPerNode: 1e9))
    }

    static let rates = ClusterProfile.Rates(
        peakFlopsPerSecond: 1, matmul: [ClusterProfile.MatmulRate(flops: 1, flopsPerSecond: 1)],
        attentionForwardFlopsPerSecond: 1, attentionBackwardFlopsPerSecond: 1)

    static func block(
        forward: Double, backward: Double, parameters: Double = 0, saved: Double = 0
    ) -> ClusterWorkload.Block {
        func kernel(_ seconds: Double) -> [ClusterWorkload.Kernel] {
            seconds > 0
                ? [ClusterWorkload.Kernel(kind: .elementwise, flops: 0, bytes: seconds)] : []
        }
        return ClusterWorkload.Block(
            forward: kernel(forward), backward: kernel(backward), parameters: parameters,
            savedBytes: saved)
    }

    /// A model whose layers take `forward` and `backward` seconds and whose ends take none.
    static func workload(
        layers: Int, forward: Double = 1, backward: Double = 2, parameters: Double = 0,
        saved: Double = 0, activationBytes: Double = 0, keyValueBytes: Double = 0
    ) -> ClusterWorkload {
        ClusterWorkload(
            layers: layers,
            layer: block(
                forward: forward, backward: backward, parameters: parameters, saved: saved),
            embedding: block(forward: 0, backward: 0), head: block(forward: 0, backward: 0),
            transientBytes: 0, activationBytes: activationBytes, keyValueBytes: keyValueBytes,
            rows: 1, tokensPerMicrobatch: 1, flopsPerToken: 6,
            parameters: parameters * Double(layers), format: "bf16")
    }

    static func step(
        _ workload: ClusterWorkload, _ plan: ClusterPlan, _ profile: ClusterProfile = profile()
    ) -> StepSimulation {
        StepSimulation(workload: workload, plan: plan, profile: profile, rates: rates)
    }

    /// One device a node, `data` ranks.
    static func plan(data: Int = 1, pipeline: Int = 1, tensor: Int = 1) -> ClusterPlan {
        var plan = ClusterPlan(
            nodes: data * pipeline * tensor, devicesPerNode: 1, data: data, sequenceLength: 1)
        plan.pipeline = pipeline
        plan.tensor = tensor
        return plan
    }
}
