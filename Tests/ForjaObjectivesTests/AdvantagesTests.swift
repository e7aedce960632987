import ForjaCore
import ForjaObjectives
import Testing

@Suite("Advantages")
struct AdvantagesTests {
    private func set(_ scores: Double..., truncated: Set<Int> = [], length: Int = 10) -> [Rollout] {
        scores.enumerated().map {
            Rollout(score: $1, length: length, isTruncated: truncated.contains($0))
        }
    }

    private let standard = AdvantageRule.standard(deviation: .sample, delta: 1e-6)

    @Test("sets of equal rewards are counted and train nothing")
    func zeroVariance() throws {
        let advantages = try Advantages(
            [set(1, 1, 1), set(0, 0), set(0.1, 0.1, 0.1), set(1, 0), set(7)], rule: standard)
        #expect(advantages.zeroVarianceCount == 4)
        for index in [0, 1, 2, 4] { #expect(advantages.values[index].allSatisfy { $0 == 0 }) }
        #expect(advantages.values[3][0] > 0 && advantages.values[3][1] < 0)
    }

    @Test("standard advantages do not depend on the reward scale, centred ones do")
    func scale() throws {
        let ones = try Advantages([set(1, 0, 0, 1, 0)], rule: standard).values[0]
        let tens = try Advantages([set(10, 0, 0, 10, 0)], rule: standard).values[0]
        for (a, b) in zip(ones, tens) { #expect(abs(a - b) < 1e-5) }
        #expect(try Advantages([set(10, 0)], rule: .centred).values[0] == [5, -5])
    }

    @Test("a cut answer is ignored when it is wrong, and stays in the statistics")
    func overlong() throws {
        let sets = [set(1, 0, 0, 1, truncated: [0, 1])]
        let kept = try Advantages(sets, rule: standard)
        let ignoring = try Advantages(sets, rule: standard, overlong: .ignoreWrong)
        #expect(ignoring.values[0][1] == 0)
        for index in [0, 2, 3] { #expect(ignoring.values[0][index] == kept.values[0][index]) }
        #expect(ignoring.ignoredCount == 1 && kept.ignoredCount == 0)
        #expect(ignoring.truncatedCount == 2)
    }

    @Test("an answer that does not end is worth nothing, even a right one")
    func zero() throws {
        let advantages = try Advantages(
            [set(1, 0, 0, 1, truncated: [0, 1])], rule: .centred, overlong: .zero)
        #expect(advantages.values[0] == [-0.25, -0.25, -0.25, 0.75])
        #expect(advantages.ignoredCount == 0)
    }

    @Test("the soft penalty falls linearly over the buffer")
    func penalty() throws {
        let rollouts = [6, 7, 8, 9, 10].map { Rollout(score: 1, length: $0, isTruncated: false) }
        let values = try Advantages(
            [rollouts], rule: .centred, overlong: .penalty(limit: 10, buffer: 4)
        ).values[0]
        #expect(values == [0.5, 0.25, 0, -0.25, -0.5])
    }

    @Test("presets are the papers' settings")
    func presets() {
        let plus = GroupRelativePreset.grpoPlus
        #expect(plus.objective.clipLow == 0.2 && plus.objective.clipHigh == 0.28)
        #expect(plus.objective.klWeight == 0 && plus.objective.aggregation == .tokenMean)
        #expect(plus.overlong == .ignoreWrong && plus.advantages == standard)
        let tulu = GroupRelativePreset.tulu31
        #expect(tulu.objective.klWeight == 0.01 && tulu.overlong == .zero)
        let dr = GroupRelativePreset.drGRPO(length: 64)
        #expect(dr.objective.aggregation == .constant(length: 64) && dr.advantages == .centred)
    }

    @Test(
        "a score that is not finite is refused by set and answer",
        arguments: [Double.nan, .infinity])
    func notFinite(score: Double) {
        do throws(ForjaError) {
            _ = try Advantages([set(1, 0), set(0, score)], rule: .centred)
            Issue.record("accepted")
        } catch {
            #expect(error.code == .notFinite)
            #expect(error.message.contains("answer 1 in rollout set 1"))
        }
        #expect(throws: ForjaError.self) { try Advantages([[]], rule: .centred) }
    }
}

@Suite("What objectives refuse")
struct ObjectiveRefusalTests {
    private let objectives: [any Objective] = [
        LikelihoodObjective(), PreferenceObjective(.dpo), GroupRelativeObjective(.init()),
    ]

    private func batch() -> ObjectiveBatch {
        var batch = ObjectiveBatch(
            isLabel: [false, true, false, true], sequences: [0..<2, 2..<4])
        batch.referenceSums = [-1, -1]
        batch.advantages = [1, -1]
        return batch
    }

    private func fails(_ logProbabilities: [Float], _ change: (inout ObjectiveBatch) -> Void) {
        for objective in objectives {
            var batch = batch()
            change(&batch)
            #expect(throws: ForjaError.self, "\(objective)") {
                try objective.evaluate(logProbabilities, of: batch, denominator: 2)
            }
        }
    }

    @Test("lists that do not fit, labels outside sequences, log-probabilities that are not finite")
    func shapes() throws {
        for objective in objectives {
            // What stands where there is no label does not count.
            let value = try objective.evaluate([.nan, -1, 5, -1], of: batch(), denominator: 2)
            #expect(value.loss.isFinite && value.gradient[0] == 0)
        }
        fails([0, -1, 0]) { _ in }
        fails([0, .nan, 0, -1]) { _ in }
        fails([0, -.infinity, 0, -1]) { _ in }
        fails([0, -1, 0, -1]) { $0.sequences = [0..<1, 1..<3] }
        fails([0, -1, 0, -1]) { $0.sequences = [0..<4, 2..<4] }
        fails([0, -1, 0, -1]) { $0.sequences = [0..<2, 2..<5] }
        fails([0, -1, 0, -1]) { $0.referenceSums = [0] }
        fails([0, -1, 0, -1]) { $0.advantages = [] }
        fails([0, -1, 0, -1]) { $0.oldLogProbabilities = [0] }
    }

    @Test("what an objective reads and the batch lacks")
    func absent() {
        func refuses(_ objective: any Objective, _ change: (inout ObjectiveBatch) -> Void) {
            var batch = batch()
            change(&batch)
            #expect(throws: ForjaError.self) {
                try objective.evaluate([0, -1, 0, -1], of: batch, denominator: 1)
            }
        }
        refuses(PreferenceObjective(.dpoNorm)) { $0.referenceSums = nil }
        refuses(PreferenceObjective(.dpo)) {
            $0.sequences = [0..<4]
            $0.referenceSums = [0]
            $0.advantages = [0]
        }
        refuses(PreferenceObjective(.simPO)) { $0.isLabel[1] = false }
        refuses(GroupRelativeObjective(.init())) { $0.advantages = nil }
        var settings = GroupRelativeObjective.Settings()
        settings.klWeight = 1
        refuses(GroupRelativeObjective(settings)) { _ in }
        settings.klWeight = 0
        settings.samplerWeightLimit = 2
        refuses(GroupRelativeObjective(settings)) { _ in }
    }
}
