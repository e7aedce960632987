import ForjaCore
import ForjaModels
import ForjaRL
import ForjaRuntime
import ForjaTestSupport
import ForjaTraining
import Foundation
import Testing

/// The first step of grpo against REINFORCE worked out apart from it: rewards from the rollouts' file, advantages and sums
/// by formulas written out here, log-probabilities by plain forward passes, derivatives by differences of these.
@Suite("Policy gradient", .serialized)
struct PolicyGradientTests {
    /// Of a central difference: what it leaves out of the derivative, relative, and float32's rounding in the two values,
    /// absolute.
    static let slopeBound = (relative: 1e-2, absolute: 2e-4)
    /// Distance of the two values.
    static let distance = 4e-3

    /// An answer as it stands in the step, with its advantage by the formula.
    struct Answer {
        /// Prompt and answer.
        var ids: [Int32]
        var promptCount: Int
        var advantage: Double
    }

    @Test(
        "on policy a step goes along the derivative of Σ A·log p of the tokens drawn",
        arguments: Array(TestedDevice.all.prefix(2)))
    func stepIsAlongThePolicyGradient(device: TestedDevice) throws {
        try TinyRun().train(
            "run",
            [
                "training.max_steps=1", "grpo.updates_per_batch=1", "grpo.importance_cap=0",
                "grpo.overlong=none", "optimizer.epsilon=1",
            ], on: device
        ) { (context, work) throws(ForjaError) in
            let answers = try Self.answers(context, work)
            let (parameters, queue) = (context.model.parameters, context.queue)
            let scorer = LlamaScorer(model: context.model, queue: queue)
            /// −Σ A·log p / N over the N tokens drawn.
            func plainLoss() throws(ForjaError) -> Double {
                var (sum, count) = (0.0, 0.0)
                for answer in answers {
                    let scores = try scorer.logProbabilities(of: answer.ids)
                    for score in scores[answer.promptCount...] {
                        sum -= answer.advantage * Double(score ?? .nan)
                        count += 1
                    }
                }
                return sum / count
            }
            func weights() throws(ForjaError) -> [[Float]] {
                var all: [[Float]] = []
                for parameter in parameters {
                    all.append(try parameter.master.read(Float.self, on: queue))
                }
                return all
            }
            let start = try weights()
            let result = try context.engine.step(
                number: 1, work: work, learningRate: 1, maxGradientNorm: 0)
            // AdamW's first update at ε 1 and rate 1 is g / (|g| + 1).
            let gradients = zip(start, try weights()).map { before, after in
                zip(before, after).map { before, after in
                    let update = Double(before) - Double(after)
                    return update / (1 - abs(update))
                }
            }
            let norm = gradients.joined().reduce(0) { $0 + $1 * $1 }.squareRoot()
            #expect(abs(norm / Double(result.gradientNorm) - 1) <= 1e-3)
            for (index, parameter) in parameters.enumerated() {
                try parameter.master.write(start[index], on: queue)
            }
            // Along the gradient and along signs of chance, parameter by parameter.
            for (index, parameter) in parameters.enumerated() {
                let gradient = gradients[index]
                let length = gradient.reduce(0) { $0 + $1 * $1 }.squareRoot()
                #expect(length > 0, "\(parameter.name)")
                let chance = CounterRandom(
                    seed: 1, purpose: .data, stream: UInt32(truncatingIfNeeded: index))
                let side = 1 / Double(gradient.count).squareRoot()
                for direction in [
                    gradient.map { $0 / length },
                    gradient.indices.map {
                        chance.uniform(at: UInt64($0)) < 0.5 ? side : -side
                    },
                ] {
                    func loss(at distance: Double) throws(ForjaError) -> Double {
                        try parameter.master.write(
                            zip(start[index], direction).map { $0 + Float(distance * $1) },
                            on: queue)
                        return try plainLoss()
                    }
                    let half = Self.distance / 2
                    let slope = (try loss(at: half) - loss(at: -half)) / Self.distance
                    let expected = zip(gradient, direction).reduce(0) { $0 + $1.0 * $1.1 }
                    #expect(
                        abs(slope - expected)
                            <= Self.slopeBound.relative * abs(expected) + Self.slopeBound.absolute,
                        "\(parameter.name): \(slope) for \(expected)")
                }
                try parameter.master.write(start[index], on: queue)
            }
        }
    }

    /// Answers of the step's only batch, whose sets have 8 answers each.
    private static func answers(
        _ context: StageContext, _ work: StepWork
    ) throws(ForjaError) -> [Answer] {
        let data =
            FileManager.default.contents(atPath: context.run.file("rollouts.jsonl")) ?? Data()
        let rewards = data.split(separator: UInt8(ascii: "\n")).compactMap { line in
            (try? JSONSerialization.jsonObject(with: line) as? [String: Any])?["reward"] as? Double
        }
        let advantages = stride(from: 0, to: rewards.count, by: 8).flatMap { first in
            let set = rewards[first..<first + 8]
            let mean = set.reduce(0, +) / 8
            let deviation = (set.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 7).squareRoot()
            return set.map { ($0 - mean) / (deviation + 1e-6) }
        }
        var answers: [Answer] = []
        for microbatch in work.microbatches {
            let (tokens, labels) = (microbatch.batch.tokens, microbatch.batch.labels)
            for range in microbatch.labels.sequences {
                let drawn = range.filter { labels[$0] >= 0 }
                answers.append(
                    Answer(
                        ids: Array(tokens[range.lowerBound...drawn[0]]) + drawn.map { labels[$0] },
                        promptCount: drawn[0] - range.lowerBound + 1,
                        advantage: advantages[answers.count]))
            }
        }
        #expect(answers.count == rewards.count && rewards.count == 16)
        #expect(Set(rewards) == [0, 1])
        return answers
    }
}
