import ForjaCore
import ForjaObjectives
import Foundation
import Testing

/// What must hold of the formulas whatever the numbers.
@Suite("Identities of objectives")
struct IdentityTests {
    private func random(_ count: Int, seed: UInt64, in range: ClosedRange<Double>) -> [Float] {
        let random = CounterRandom(seed: seed, purpose: .data)
        return (0..<count).map {
            Float(
                range.lowerBound + (range.upperBound - range.lowerBound)
                    * random.uniform(at: UInt64($0)))
        }
    }

    /// Sequences of 10 positions with `labels` at their ends.
    private func batch(sequences: Int, labels: [Int]) -> ObjectiveBatch {
        ObjectiveBatch(
            isLabel: (0..<(sequences * 10)).map { $0 % 10 >= 10 - labels[$0 / 10 % labels.count] },
            sequences: (0..<sequences).map { ($0 * 10)..<($0 * 10 + 10) })
    }

    private func sums(_ values: [Float], _ batch: ObjectiveBatch) -> [Double] {
        batch.sequences.map { range in
            range.reduce(0) { $0 + (batch.isLabel[$1] ? Double(values[$1]) : 0) }
        }
    }

    private func largest(_ a: [Float], _ b: [Float]) -> Double {
        zip(a, b).reduce(0) { max($0, abs(Double($1.0) - Double($1.1))) }
    }

    @Test("dpo_norm at β·n is dpo at β for answers of length n", arguments: [1, 4, 10])
    func equalLengths(length: Int) throws {
        var batch = batch(sequences: 6, labels: [length])
        let now = random(60, seed: 1, in: -5...0)
        batch.referenceSums = sums(random(60, seed: 2, in: -5...0), batch)
        let plain = try PreferenceObjective(.dpo(beta: 0.3))
            .evaluate(now, of: batch, denominator: 3)
        let norm = try PreferenceObjective(.dpoNorm(beta: 0.3 * Double(length)))
            .evaluate(now, of: batch, denominator: 3)
        #expect(abs(plain.loss - norm.loss) < 1e-12)
        #expect(largest(plain.gradient, norm.gradient) < 1e-8)
    }

    @Test("the loss of DPO is log 2 where policy and reference are one", arguments: [0.0, 0.2])
    func atTheReference(smoothing: Double) throws {
        var batch = batch(sequences: 4, labels: [3, 7])
        let now = random(40, seed: 3, in: -5...0)
        batch.referenceSums = sums(now, batch)
        for loss in [PreferenceObjective.Loss.dpo, .dpoNorm] {
            let value = try PreferenceObjective(loss, labelSmoothing: smoothing)
                .evaluate(now, of: batch, denominator: 2)
            #expect(abs(value.loss - log(2)) < 1e-15)
            #expect(value.metrics.values["preference_accuracy"] == 0)
            #expect(value.metrics.values["reward_margin"] == 0)
            // Chosen up, rejected down.
            for (position, gradient) in value.gradient.enumerated() where batch.isLabel[position] {
                #expect(position / 10 % 2 == 0 ? gradient < 0 : gradient > 0)
            }
        }
    }

    @Test("the first on-policy step of GRPO has the gradient of REINFORCE")
    func onPolicy() throws {
        var batch = batch(sequences: 5, labels: [2, 5, 9])
        let now = random(50, seed: 4, in: -5...0)
        let advantages = random(5, seed: 5, in: -2...2).map(Double.init)
        batch.advantages = advantages
        let objective = GroupRelativeObjective(.init())
        let count = objective.share(of: batch)
        let value = try objective.evaluate(now, of: batch, denominator: count)
        for (position, gradient) in value.gradient.enumerated() {
            let expected = batch.isLabel[position] ? -advantages[position / 10] / count : 0
            #expect(abs(Double(gradient) - expected) < 1e-8)
        }
        batch.oldLogProbabilities = now
        batch.samplerLogProbabilities = now
        var settings = GroupRelativeObjective.Settings()
        settings.samplerWeightLimit = 2
        let same = try GroupRelativeObjective(settings)
            .evaluate(now, of: batch, denominator: count)
        #expect(same.gradient == value.gradient)
        #expect(same.metrics.values["sampler_mismatch_max"] == 0)
        #expect(same.metrics.values["clipped_high"] == 0)
    }

    @Test("a step cut into microsteps has the loss, gradient and metrics of the whole")
    func microsteps() throws {
        var whole = batch(sequences: 8, labels: [1, 4, 10, 6])
        let now = random(80, seed: 6, in: -5...0)
        whole.referenceLogProbabilities = random(80, seed: 7, in: -5...0)
        whole.referenceSums = sums(whole.referenceLogProbabilities ?? [], whole)
        whole.oldLogProbabilities = random(80, seed: 8, in: -5...0)
        whole.samplerLogProbabilities = random(80, seed: 9, in: -5...0)
        whole.advantages = random(8, seed: 10, in: -1...1).map(Double.init)
        func part(_ sequences: Range<Int>) -> ObjectiveBatch {
            let positions = (sequences.lowerBound * 10)..<(sequences.upperBound * 10)
            var part = ObjectiveBatch(
                isLabel: Array(whole.isLabel[positions]),
                sequences: (0..<sequences.count).map { ($0 * 10)..<($0 * 10 + 10) })
            func cut(_ values: [Float]?) -> [Float]? { values.map { Array($0[positions]) } }
            part.referenceLogProbabilities = cut(whole.referenceLogProbabilities)
            part.oldLogProbabilities = cut(whole.oldLogProbabilities)
            part.samplerLogProbabilities = cut(whole.samplerLogProbabilities)
            part.referenceSums = whole.referenceSums.map { Array($0[sequences]) }
            part.advantages = whole.advantages.map { Array($0[sequences]) }
            return part
        }
        var settings = GroupRelativeObjective.Settings()
        settings.klWeight = 0.1
        settings.samplerWeightLimit = 1.5
        var objectives: [any Objective] = [
            LikelihoodObjective(), LikelihoodObjective(reduction: .sum), PreferenceObjective(.dpo),
            PreferenceObjective(.dpoNorm), PreferenceObjective(.simPO),
        ]
        for aggregation in [
            GroupRelativeObjective.Aggregation.tokenMean, .constant(length: 32), .sequenceMean,
            .sequenceSum,
        ] {
            settings.aggregation = aggregation
            objectives.append(GroupRelativeObjective(settings))
        }
        for objective in objectives {
            let parts = [part(0..<2), part(2..<6), part(6..<8)]
            let denominator = parts.reduce(0) { $0 + objective.share(of: $1) }
            #expect(denominator == objective.share(of: whole))
            let expected = try objective.evaluate(now, of: whole, denominator: denominator)
            var loss = 0.0
            var gradient: [Float] = []
            var metrics = ObjectiveMetrics()
            for part in parts {
                let here = Array(now[gradient.count..<(gradient.count + part.isLabel.count)])
                let value = try objective.evaluate(here, of: part, denominator: denominator)
                loss += value.loss
                gradient += value.gradient
                metrics.merge(value.metrics)
            }
            #expect(abs(loss - expected.loss) < 1e-12, "\(objective)")
            #expect(gradient == expected.gradient, "\(objective)")
            for (name, value) in expected.metrics.values {
                #expect(abs((metrics.values[name] ?? .nan) - value) < 1e-12, "\(name)")
            }
        }
    }

    @Test("gradients are those of finite differences, also where KL and clipping are at work")
    func finiteDifferences() throws {
        var batch = batch(sequences: 4, labels: [3, 6])
        let now = random(40, seed: 11, in: -4 ... -1)
        batch.referenceLogProbabilities = random(40, seed: 12, in: -4 ... -1)
        batch.oldLogProbabilities = random(40, seed: 13, in: -4 ... -1)
        batch.advantages = [1, -1, 0, 2]
        var settings = GroupRelativeObjective.Settings()
        settings.klWeight = 0.3
        let objective = GroupRelativeObjective(settings)
        let value = try objective.evaluate(now, of: batch, denominator: 7)
        for position in now.indices {
            // 2⁻¹⁰ is exact in float32 at these values.
            let step = Float(0x1p-10)
            func loss(_ sign: Float) throws -> Double {
                var moved = now
                moved[position] += sign * step
                return try objective.evaluate(moved, of: batch, denominator: 7).loss
            }
            let slope = try (loss(1) - loss(-1)) / (2 * Double(step))
            #expect(abs(slope - Double(value.gradient[position])) < 2e-4, "\(position)")
        }
    }
}
