import ForjaCore
import ForjaTraining
import Foundation

/// `rollouts.jsonl` of a run: every answer that was trained on, one a line.
///
/// Like metrics.jsonl it is cut back to the checkpoint when a run is resumed.
final class RolloutLog {
    static let fileName = "rollouts.jsonl"

    private struct Line: Encodable {
        /// The first update that trains on the answer.
        let step: Int
        /// Updates that the weights had seen which sampled it.
        let weightsStep: Int
        let row: String
        let prompt: String
        let answer: String
        let verifiers: [String]
        /// By verifier, the answers accepted.
        let groundTruth: [[String]]
        /// `nil` where the verifier gave no number.
        let reward: Double?
        let advantage: Double
        let promptTokens: Int
        let answerTokens: Int
        let isTruncated: Bool
        let problem: String?

        enum CodingKeys: String, CodingKey {
            case step, row, prompt, answer, verifiers, reward, advantage, problem
            case weightsStep = "weights_step"
            case groundTruth = "ground_truth"
            case promptTokens = "prompt_tokens"
            case answerTokens = "answer_tokens"
            case isTruncated = "truncated"
        }
    }

    private let log: MetricsLog
    private let data: GroupRelativeData
    private let encoder = JSONEncoder()

    /// - Parameter step: Steps done.
    init(
        _ run: RunDirectory, data: GroupRelativeData, continuingAfter step: Int
    ) throws(ForjaError) {
        log = try MetricsLog(directory: run.path, name: Self.fileName, continuingAfter: step)
        self.data = data
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    }

    /// Appends a batch that a step is about to train on.
    ///
    /// - Parameter advantages: One an answer, in order.
    func append(_ batch: RolloutBatch, step: Int, advantages: [Double]) throws(ForjaError) {
        var number = 0
        for set in batch.sets {
            let task = data.train[set.task]
            let prompt = data.tokenizer.tokenizer.decode(task.prompt)
            for answer in set.answers {
                let line = Line(
                    step: step, weightsStep: batch.weightsStep, row: task.place, prompt: prompt,
                    answer: data.text(of: answer.ids, answer.isTruncated),
                    verifiers: task.checks.map(\.grader.name),
                    groundTruth: task.checks.map(\.accepted),
                    reward: set.problem == nil ? answer.score * data.settings.rewardScale : nil,
                    advantage: advantages[number], promptTokens: task.prompt.count,
                    answerTokens: answer.ids.count, isTruncated: answer.isTruncated,
                    problem: set.problem)
                guard let json = try? encoder.encode(line) else {
                    preconditionFailure("texts and finite numbers encode")
                }
                try log.append(String(decoding: json, as: UTF8.self))
                number += 1
            }
        }
        try log.synchronize()
    }
}
