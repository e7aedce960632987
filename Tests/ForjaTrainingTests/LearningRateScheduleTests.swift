import ForjaTraining
import Testing

@Suite("Learning-rate schedules")
struct LearningRateScheduleTests {
    func schedule(
        _ kind: LearningRateSchedule.Kind, warmup: Int = 10, decay: Int = 0, steps: Int = 110
    ) -> LearningRateSchedule {
        LearningRateSchedule(
            kind: kind, peak: 2, warmupSteps: warmup, decaySteps: decay, minimumRatio: 0.1,
            maxSteps: steps)
    }

    @Test(
        "warm-up climbs in a straight line and meets the peak",
        arguments: LearningRateSchedule.Kind.allCases)
    func warmUp(kind: LearningRateSchedule.Kind) {
        let schedule = schedule(kind)
        #expect(schedule.learningRate(at: 1) == 0.2)
        #expect(schedule.learningRate(at: 5) == 1)
        #expect(schedule.learningRate(at: 10) == 2)
    }

    @Test("cosine passes the middle halfway down and ends at the floor")
    func cosine() {
        let schedule = schedule(.cosine)
        #expect(abs(schedule.learningRate(at: 60) - 1.1) < 1e-12)
        #expect(
            abs(schedule.learningRate(at: 35) - (0.2 + 1.8 * (1 + 0.5.squareRoot()) / 2)) < 1e-12)
        #expect(abs(schedule.learningRate(at: 110) - 0.2) < 1e-12)
    }

    @Test("linear falls evenly to the floor")
    func linear() {
        let schedule = schedule(.linear)
        #expect(abs(schedule.learningRate(at: 60) - 1.1) < 1e-12)
        #expect(abs(schedule.learningRate(at: 110) - 0.2) < 1e-12)
    }

    @Test("warm-up, stable, decay holds the peak until its last steps")
    func wsd() {
        let schedule = schedule(.wsd, decay: 20)
        #expect(schedule.learningRate(at: 90) == 2)
        #expect(abs(schedule.learningRate(at: 100) - 1.1) < 1e-12)
        #expect(abs(schedule.learningRate(at: 110) - 0.2) < 1e-12)
    }

    @Test(
        "warm-up and decay longer than the run are cut to fit, and said so", arguments: [1, 2, 5])
    func shortRuns(steps: Int) throws {
        let schedule = schedule(.wsd, warmup: 10, decay: 20, steps: steps)
        #expect(schedule.warmupSteps == steps)
        #expect(schedule.decaySteps == 0)
        #expect(schedule.learningRate(at: steps) == 2)
        let note = try #require(schedule.adjustments)
        #expect(note.contains("schedule.warmup_steps 10 cut to \(steps)"))
    }
}
