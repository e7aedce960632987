import ForjaParallel
import Testing

@Suite("Pipeline schedule")
struct PipelineScheduleTests {
    static let shapes = [
        (2, 2, 1), (4, 1, 1), (4, 8, 1), (3, 7, 1), (4, 8, 2), (16, 32, 8), (4, 4, 3),
    ]

    @Test("every pass runs once, backward after forward", arguments: shapes)
    func complete(stages: Int, microbatches: Int, chunks: Int) {
        let schedule = PipelineSchedule(
            stages: stages, microbatches: microbatches, virtualStages: chunks)
        for actions in schedule.actions {
            #expect(actions.count == 2 * microbatches * chunks)
            #expect(Set(actions).count == actions.count)
            var forward = Set<[Int]>()
            for action in actions {
                let key = [action.microbatch, action.chunk]
                if action.isForward {
                    forward.insert(key)
                } else {
                    #expect(forward.contains(key))
                }
            }
        }
    }

    @Test("plain 1F1B keeps at most as many microbatches as stages are behind")
    func inFlight() {
        let schedule = PipelineSchedule(stages: 4, microbatches: 9)
        for (stage, actions) in schedule.actions.enumerated() {
            var (live, peak) = (0, 0)
            for action in actions {
                live += action.isForward ? 1 : -1
                peak = max(peak, live)
            }
            #expect(peak == 4 - stage)
        }
    }

    @Test(
        "with free sends the bubble is (p − 1) / (v·m + p − 1)",
        arguments: [
            (1, 4, 1), (2, 2, 1), (4, 8, 1), (8, 5, 1), (16, 32, 1), (4, 8, 2), (16, 32, 8),
        ])
    func bubble(stages: Int, microbatches: Int, chunks: Int) {
        var plan = SimulatedCluster.plan(pipeline: stages)
        plan.microbatches = microbatches
        plan.virtualStages = chunks
        let step = SimulatedCluster.step(
            SimulatedCluster.workload(layers: stages * chunks, forward: 1, backward: 2), plan)
        let ideal = Double(3 * microbatches * chunks)
        #expect(abs(step.seconds - ideal - Double(3 * (stages - 1))) < 1e-9)
        let bubble = Double(stages - 1) / Double(chunks * microbatches + stages - 1)
        #expect(abs(step.idleFraction - bubble) < 1e-12)
    }

    @Test("the two ends take a layer's place where that evens the stages")
    func ends() {
        // 14 layers and two ends on 4 stages of 4 chunks: one place each.
        var plan = SimulatedCluster.plan(pipeline: 4)
        plan.virtualStages = 4
        plan.microbatches = 4
        var workload = SimulatedCluster.workload(layers: 14, forward: 1, backward: 2)
        workload.embedding = workload.layer
        workload.head = workload.layer
        let step = SimulatedCluster.step(workload, plan)
        #expect(abs(step.seconds - Double(3 * 16 + 3 * 3)) < 1e-9)
    }
}
