import ForjaCore
import ForjaData
import ForjaModels
import ForjaObjectives
import ForjaRL
import ForjaRuntime
import ForjaTestSupport
import ForjaTraining
import Foundation
import Testing

/// What a step of grpo computes, against formulas written out here.
@Suite("Steps of grpo", .serialized)
struct GroupRelativeStepTests {
    /// Absolute, of a log-probability in float32: one token at a time from a cache against whole rows, whose sums have
    /// another order. Those of the cached path are held to 1e-4 of PyTorch's.
    static let logProbabilityBound = 2e-4

    static let devices = Array(TestedDevice.all.prefix(2))

    /// −A·log π: the policy gradient without clipping, ratio or correction.
    struct Reinforce: Objective {
        func share(of batch: ObjectiveBatch) -> Double { Double(batch.labelCount) }

        func evaluate(
            _ logProbabilities: [Float], of batch: ObjectiveBatch, denominator: Double
        ) throws(ForjaError) -> ObjectiveValue {
            var value = ObjectiveValue(
                loss: 0, gradient: logProbabilities.map { _ in 0 }, metrics: ObjectiveMetrics())
            for (sequence, range) in batch.sequences.enumerated() {
                for position in range where batch.isLabel[position] {
                    value.gradient[position] = Float(-batch.advantages![sequence] / denominator)
                }
            }
            return value
        }
    }

    @Test(
        "on policy the gradient is REINFORCE's, the loss the advantages' mean", arguments: devices)
    func onPolicyStepIsReinforce(device: TestedDevice) throws {
        let run = try TinyRun()
        let figures = try run.train(
            "run",
            [
                "training.max_steps=1", "grpo.updates_per_batch=1", "schedule.learning_rate=0",
                "grpo.importance_cap=0", "grpo.temperature=0.7",
            ], on: device
        ) { (context, work) throws(ForjaError) in
            let reinforce = StepWork(microbatches: work.microbatches, objective: Reinforce())
            let expected = try context.engine.step(
                number: 1, work: reinforce, learningRate: 0, maxGradientNorm: 0)
            let seen = try context.engine.step(
                number: 1, work: work, learningRate: 0, maxGradientNorm: 0)
            #expect(expected.gradientNorm > 0)
            // The weights of the labels differ by rounding to float32 alone.
            #expect(
                abs(seen.gradientNorm - expected.gradientNorm) <= 1e-5 * expected.gradientNorm)
            var (loss, count) = (0.0, 0.0)
            for labels in work.microbatches.map(\.labels) {
                for (sequence, range) in labels.sequences.enumerated() {
                    let tokens = Double(range.count { labels.isLabel[$0] })
                    loss -= labels.advantages![sequence] * tokens
                    count += tokens
                }
            }
            #expect(abs(Double(seen.loss) - loss / count) <= 1e-6)
        }
        #expect(figures.metrics[0]["ratio"] == 1)
        #expect(figures.metrics[0]["clipped_high"] == 0)
    }

    @Test("log-probabilities of the sampler are those that scoring gives", arguments: devices)
    func sampledAreScored(device: TestedDevice) throws {
        try TinyRun().train(
            "run", ["training.max_steps=1", "grpo.updates_per_batch=1"], on: device
        ) { (context, work) throws(ForjaError) in
            let scorer = LlamaScorer(model: context.model, queue: context.queue)
            for microbatch in work.microbatches {
                let (batch, sampled) = (
                    microbatch.batch, microbatch.labels.samplerLogProbabilities!
                )
                for range in microbatch.labels.sequences {
                    let labels = range.filter { batch.labels[$0] >= 0 }
                    let text =
                        Array(batch.tokens[range.lowerBound...labels.last!])
                        + [batch.labels[labels.last!]]
                    let scores = try scorer.logProbabilities(of: text)
                    for position in labels {
                        let score = Double(scores[position - range.lowerBound + 1]!)
                        #expect(
                            abs(score - Double(sampled[position])) <= Self.logProbabilityBound)
                    }
                }
            }
        }
    }

    @Test("with a temperature too", arguments: devices)
    func scaledAreScored(device: TestedDevice) throws {
        let figures = try TinyRun().train(
            "run", ["training.max_steps=2", "grpo.temperature=0.6"], on: device)
        let mismatch = try #require(figures.metrics[0]["sampler_mismatch_max"])
        #expect(mismatch > 0)
        #expect(mismatch <= Self.logProbabilityBound)
        // The second update is off policy.
        #expect(figures.metrics[1]["ratio"] != 1)
        #expect(figures.metrics[0]["kl"] == nil)
    }

    @Test("the KL term is 0 at the start and measures against the starting weights after")
    func klIsAgainstTheStart() throws {
        let figures = try TinyRun().train(
            "run",
            [
                "grpo.preset=tulu3_1", "grpo.kl_beta=0.05", "grpo.updates_per_batch=1",
                // Four tokens are too few for most answers to end.
                "grpo.overlong=none",
            ])
        let kl = figures.metrics.compactMap { $0["kl"] }
        #expect(kl.count == 6)
        #expect(kl[0] == 0)
        #expect(kl.dropFirst().allSatisfy { $0 > 0 && $0 < 1 })
    }
}
