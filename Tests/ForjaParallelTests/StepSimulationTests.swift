import ForjaCore
import ForjaParallel
import Testing

@Suite("Step simulation")
struct StepSimulationTests {
    typealias Cluster = SimulatedCluster
    /// A byte a second and no latency.
    static let unit = ClusterProfile.Link(bytesPerSecond: 1, latencySeconds: 0)

    @Test("one device alone takes what its kernels take")
    func alone() {
        var plan = Cluster.plan()
        plan.microbatches = 5
        let step = Cluster.step(Cluster.workload(layers: 7), plan, Cluster.profile(link: Self.unit))
        #expect(step.seconds == 5 * 7 * 3)
        #expect(step.idleFraction == 0)
        #expect(step.bytesSent == 0)
        #expect(step.dataSeconds == 0)
    }

    @Test("work that costs nothing takes no time")
    func nothing() {
        var plan = Cluster.plan(data: 2, pipeline: 2, tensor: 2)
        plan.microbatches = 3
        let step = Cluster.step(
            Cluster.workload(layers: 4, forward: 0, backward: 0, parameters: 0), plan)
        // What is left is the norm over a link that is only nearly free.
        #expect(step.seconds < 1e-20)
    }

    @Test("a kernel takes the longer of compute and memory, and its launch")
    func roofline() {
        let profile = Cluster.profile(launch: 0.25)
        let seconds = { (kind, flops: Double, bytes: Double) in
            profile.seconds(
                of: ClusterWorkload.Kernel(kind: kind, flops: flops, bytes: bytes),
                rates: Cluster.rates, elementwiseTraffic: 3)
        }
        #expect(seconds(.matmul, 8, 2) == 8.25)
        #expect(seconds(.matmul, 2, 8) == 8.25)
        #expect(seconds(.attentionForward, 4, 0) == 4.25)
        #expect(seconds(.elementwise, 0, 8) == 24.25)
    }

    @Test("the tensor axis waits for four gathers or scatters a block and pass")
    func tensorAxis() {
        let plan = Cluster.plan(tensor: 4)
        let step = Cluster.step(
            Cluster.workload(layers: 3, activationBytes: 40), plan, Cluster.profile(link: Self.unit)
        )
        // Blocks: 3 · 8 collectives of 40 · 3/4 bytes; ends: two for the embedding, two for the head.
        #expect(abs(step.tensorSeconds - Double(3 * 8 + 4) * 30) < 1e-9)
        #expect(abs(step.seconds - 9 - step.tensorSeconds - step.optimizerSeconds) < 1e-9)
        #expect(abs(step.bytesSent - Double(28 * 30)) < 1e-9)
        var recomputing = plan
        recomputing.recompute = .block
        let longer = Cluster.step(
            Cluster.workload(layers: 3, activationBytes: 40), recomputing,
            Cluster.profile(link: Self.unit))
        #expect(abs(longer.tensorSeconds - step.tensorSeconds - Double(3 * 4) * 30) < 1e-9)
    }

    @Test("the context axis gathers keys and values twice and scatters their gradients once")
    func contextAxis() {
        var plan = Cluster.plan()
        plan.nodes = 4
        plan.context = 4
        plan.sequenceLength = 4
        let step = Cluster.step(
            Cluster.workload(layers: 2, keyValueBytes: 40), plan, Cluster.profile(link: Self.unit))
        #expect(abs(step.contextSeconds - Double(2 * 3 * 30)) < 1e-9)
    }

    @Test("sends between stages add to the ramp of a pipeline")
    func sends() {
        var plan = Cluster.plan(pipeline: 4)
        plan.microbatches = 1
        let link = ClusterProfile.Link(bytesPerSecond: 10, latencySeconds: 0.5)
        let step = Cluster.step(
            Cluster.workload(layers: 4, activationBytes: 5), plan, Cluster.profile(link: link))
        // One microbatch walks forth and back: 6 sends of 1 s; the norm's all-reduce adds a tree of 2 levels, twice.
        let norm = 2 * (2 * 0.5 + 4.0 / 10)
        #expect(abs(step.seconds - (4 * 3 + 6) - norm) < 1e-9)
    }

    @Suite("Data axis")
    struct DataAxis {
        static let shardings: [ClusterPlan.Sharding] = [.none, .optimizer, .everything]

        func steps(
            _ sharding: ClusterPlan.Sharding, bandwidth: Double
        ) -> (hidden: StepSimulation, waiting: StepSimulation) {
            var plan = Cluster.plan(data: 4)
            plan.sharding = sharding
            plan.microbatches = 2
            let profile = Cluster.profile(
                link: ClusterProfile.Link(bytesPerSecond: bandwidth, latencySeconds: 0))
            let workload = Cluster.workload(layers: 8, parameters: 0.001)
            let hidden = Cluster.step(workload, plan, profile)
            plan.overlapsDataParallel = false
            return (hidden, Cluster.step(workload, plan, profile))
        }

        @Test(
            "waiting costs exactly the sum, hiding at least the longer part", arguments: shardings)
        func bounds(sharding: ClusterPlan.Sharding) {
            for bandwidth in [1e-4, 1e-3, 1e-2, 1] {
                let (hidden, waiting) = steps(sharding, bandwidth: bandwidth)
                let compute = 2.0 * 8 * 3
                #expect(abs(hidden.dataSeconds - waiting.dataSeconds) < 1e-9)
                #expect(
                    abs(
                        waiting.seconds - compute - waiting.dataSeconds
                            - waiting.optimizerSeconds) < 1e-6)
                #expect(hidden.seconds <= waiting.seconds + 1e-9)
                #expect(
                    hidden.seconds >= max(compute, hidden.dataSeconds)
                        + hidden.optimizerSeconds - 1e-9)
                #expect(hidden.hiddenDataSeconds <= hidden.dataSeconds + 1e-9)
            }
        }

        @Test("on a quick link all but the first gather and the last reduction hides")
        func hides() {
            let (step, _) = steps(.optimizer, bandwidth: 0.004)
            // A layer's gather is 2 · 0.001 · 3/4 bytes, its reduction 4 · 0.001 · 3/4.
            let exposed = (2 + 4) * 0.001 * 0.75 / 0.004
            #expect(abs(step.dataSeconds - step.hiddenDataSeconds - exposed) < 1e-9)
            #expect(step.hiddenDataSeconds / step.dataSeconds > 0.8)
        }

        @Test("kernels lose the declared share of the time collectives run beside them")
        func contention() {
            var plan = Cluster.plan(data: 4)
            plan.microbatches = 2
            let link = ClusterProfile.Link(bytesPerSecond: 0.004, latencySeconds: 0)
            let workload = Cluster.workload(layers: 8, parameters: 0.001)
            let without = Cluster.step(workload, plan, Cluster.profile(link: link))
            let with = Cluster.step(workload, plan, Cluster.profile(link: link, computeShare: 0.1))
            #expect(abs(with.seconds - without.seconds - 0.1 * with.hiddenDataSeconds) < 1e-9)
        }
    }

    @Suite("Monotonicity")
    struct Monotonicity {
        let workload = Cluster.workload(
            layers: 8, parameters: 2, saved: 3, activationBytes: 4, keyValueBytes: 2)

        func plan(_ change: (inout ClusterPlan) -> Void = { _ in }) -> ClusterPlan {
            var plan = Cluster.plan(data: 2, pipeline: 4, tensor: 2)
            plan.microbatches = 8
            change(&plan)
            return plan
        }

        @Test("a faster link is never slower, a longer latency never faster")
        func links() {
            var last = Double.infinity
            for bandwidth in [0.1, 1, 10, 100, 1e6] {
                let link = ClusterProfile.Link(bytesPerSecond: bandwidth, latencySeconds: 0)
                let step = Cluster.step(workload, plan(), Cluster.profile(link: link))
                #expect(step.seconds <= last)
                last = step.seconds
            }
            last = 0
            for latency in [0, 0.01, 0.1, 1.0] {
                let link = ClusterProfile.Link(bytesPerSecond: 10, latencySeconds: latency)
                let step = Cluster.step(workload, plan(), Cluster.profile(link: link))
                #expect(step.seconds >= last)
                last = step.seconds
            }
        }

        @Test("more microbatches shrink the bubble, more chunks do too")
        func bubble() {
            var last = 1.0
            for count in [4, 8, 16, 64] {
                let step = Cluster.step(workload, plan { $0.microbatches = count })
                #expect(step.idleFraction < last)
                last = step.idleFraction
            }
            let plain = Cluster.step(workload, plan())
            let interleaved = Cluster.step(workload, plan { $0.virtualStages = 2 })
            #expect(interleaved.seconds < plain.seconds)
        }
    }
}
