import ForjaParallel
import Testing

@Suite("Device memory")
struct DeviceMemoryTests {
    typealias Cluster = SimulatedCluster

    @Test("state is 18 bytes a parameter, shared out as ZeRO says")
    func sharding() {
        let workload = Cluster.workload(layers: 4, parameters: 100)
        var plan = Cluster.plan(data: 8)
        func memory(_ sharding: ClusterPlan.Sharding) -> DeviceMemory {
            plan.sharding = sharding
            return DeviceMemory(workload: workload, plan: plan)
        }
        let parameters = 400.0
        // bf16 copy, float32 master, gradient and two moments.
        #expect(memory(.none).totalBytes == parameters * (2 + 4 + 4 + 8))
        #expect(memory(.optimizer).totalBytes == parameters * (2 + 4 + (4 + 8) / 8.0))
        let sharded = memory(.everything)
        #expect(
            sharded.weightBytes + sharded.gradientBytes + sharded.optimizerBytes == parameters * 16
                / 8)
        // Two gathered layers and the gradient of one.
        #expect(sharded.transientBytes == 100 * (2 * 2 + 4))
    }

    @Test("float32 weights are their own masters")
    func singlePrecision() {
        var workload = Cluster.workload(layers: 1, parameters: 10)
        workload.format = "f32"
        var plan = Cluster.plan(data: 2)
        plan.sharding = .none
        #expect(DeviceMemory(workload: workload, plan: plan).weightBytes == 40)
    }

    @Test("the first stage keeps as many microbatches as there are stages")
    func activations() {
        var plan = Cluster.plan(pipeline: 4)
        plan.microbatches = 8
        let workload = Cluster.workload(layers: 8, saved: 10)
        #expect(DeviceMemory(workload: workload, plan: plan).activationBytes == 4 * 2 * 10)
        plan.microbatches = 2
        #expect(DeviceMemory(workload: workload, plan: plan).activationBytes == 2 * 2 * 10)
        // Interleaved: 2(p − 1) + (v − 1)·p + 1 chunks of one layer.
        plan.microbatches = 8
        plan.virtualStages = 2
        #expect(
            DeviceMemory(workload: workload, plan: plan).activationBytes == Double(6 + 4 + 1) * 10)
    }
}
