import ForjaCore
import ForjaParallel
import Testing

@Suite("Cluster plan")
struct ClusterPlanTests {
    func failure(_ change: (inout ClusterPlan) -> Void, layers: Int = 12) -> ForjaError? {
        var plan = ClusterPlan(nodes: 4, devicesPerNode: 8, data: 32, sequenceLength: 64)
        change(&plan)
        do throws(ForjaError) {
            try plan.validate(layers: layers)
            return nil
        } catch { return error }
    }

    @Test("a mesh that is not the cluster is refused with the data degree that would do")
    func mesh() {
        #expect(failure { _ in } == nil)
        let error = failure { $0.tensor = 4 }
        #expect(error?.message.contains("128 ranks") == true)
        #expect(error?.fix == "set parallel.data to 8")
        #expect(failure { $0.tensor = 3 }?.fix?.contains("divides 32") == true)
    }

    @Test("degrees that do not fit are refused by name")
    func degrees() {
        #expect(
            failure {
                $0.context = 32
                $0.data = 1
                $0.sequenceLength = 48
            }?.message.contains("--context-parallel 32") == true)
        #expect(
            failure(
                {
                    $0.pipeline = 32
                    $0.data = 1
                }, layers: 12)?.message.contains("more than 12 layers") == true)
        #expect(
            failure {
                $0.pipeline = 4
                $0.data = 8
                $0.virtualStages = 2
                $0.microbatches = 6
            }?.fix?.contains("a multiple of 4") == true)
        #expect(failure { $0.virtualStages = 2 } != nil)
        #expect(failure { $0.sequences = 10_000_000 }?.message.contains("microbatch") == true)
        #expect(failure { $0.microbatches = 1_000_000 }?.message.contains("passes") == true)
        #expect(failure { $0.tensor = 0 }?.message.contains("parallel.tensor is 0") == true)
    }

    @Test("groups lie in nodes as ranks are numbered: tensor, context, pipeline, data")
    func groups() {
        var plan = ClusterPlan(nodes: 16, devicesPerNode: 8, data: 4, sequenceLength: 64)
        plan.tensor = 4
        plan.context = 4
        plan.pipeline = 2
        #expect(plan.tensorGroup == ProcessGroup(size: 4, membersPerNode: 4))
        #expect(plan.contextGroup == ProcessGroup(size: 4, membersPerNode: 2))
        #expect(plan.replicaGroup == ProcessGroup(size: 16, membersPerNode: 2))
        #expect(!plan.stagesShareNode)
        let small = ClusterPlan(nodes: 2, devicesPerNode: 8, data: 16, sequenceLength: 64)
        #expect(small.replicaGroup == ProcessGroup(size: 16, membersPerNode: 8))
        #expect(small.stagesShareNode)
    }
}
