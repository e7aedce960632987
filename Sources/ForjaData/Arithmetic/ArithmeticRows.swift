import ForjaCore
import ForjaFormats
import Foundation

/// One question as a row for each stage of post-training.
public struct ArithmeticRows: Sendable {
    /// What an answer holds.
    public enum Answers: String, CaseIterable, Sendable {
        /// The way on paper, then the answer.
        case worked
        /// The answer alone, after `####`.
        case final
    }

    /// For verifiable rewards: `messages` with the question, `ground_truth`, and the `dataset` that names the verifier;
    /// `answer` is a right response.
    public struct Reward: Encodable, Sendable {
        let id: String
        let messages: [ChatMessage]
        let answer: String
        let groundTruth: String
        let dataset: String

        enum CodingKeys: String, CodingKey {
            case id, messages, answer, dataset
            case groundTruth = "ground_truth"
        }
    }

    /// For supervised fine-tuning: `messages` with question and answer.
    public struct Supervised: Encodable, Sendable {
        let id: String
        let messages: [ChatMessage]
    }

    /// For preference optimisation: two chats, alike but for the answer, the rejected one wrong.
    public struct Preference: Encodable, Sendable {
        let id: String
        let chosen: [ChatMessage]
        let rejected: [ChatMessage]
    }

    public let question: ArithmeticQuestion
    private let id: String
    private let right: String
    private let wrong: String

    /// - Parameter seed: Decides where the rejected answer slips.
    public init(_ question: ArithmeticQuestion, answers: Answers, seed: UInt64) {
        self.question = question
        id = "arithmetic-\(question.left)\(question.operation.sign)\(question.right)"
        let words = CounterRandom(
            seed: seed, purpose: .tasks, stream: question.operation.number
        ).words(at: UInt64(truncatingIfNeeded: question.left) << 32 ^ UInt64(question.right))
        let slip = ArithmeticWorking.Slip(line: Int(words.x), isUp: words.y & 1 == 0)
        func text(_ working: ArithmeticWorking) -> String {
            answers == .worked ? working.text : "#### \(working.answer)"
        }
        right = text(ArithmeticWorking(question))
        wrong = text(ArithmeticWorking(question, slip: slip))
    }

    public var reward: Reward {
        Reward(
            id: id, messages: [.user(question.prompt)], answer: right,
            groundTruth: "\(question.answer)", dataset: "arithmetic")
    }

    public var supervised: Supervised {
        Supervised(id: id, messages: [.user(question.prompt), .assistant(right)])
    }

    public var preference: Preference {
        Preference(
            id: id, chosen: [.user(question.prompt), .assistant(right)],
            rejected: [.user(question.prompt), .assistant(wrong)])
    }

    /// Writes the questions three times: `NAME.jsonl` (rewards), `NAME-sft.jsonl` and `NAME-preference.jsonl`.
    ///
    /// - Returns: The names written.
    /// - Throws: `.inputOutput`.
    public static func write(
        _ rows: [ArithmeticRows], to directory: String, name: String
    ) throws(ForjaError) -> [String] {
        func write(
            _ file: String, _ row: (ArithmeticRows) -> any Encodable
        ) throws(ForjaError) -> String {
            try AtomicFile.write(
                JSONLines.text(rows.map(row)),
                to: (directory as NSString).appendingPathComponent(file))
            return file
        }
        return [
            try write("\(name).jsonl", \.reward),
            try write("\(name)-sft.jsonl", \.supervised),
            try write("\(name)-preference.jsonl", \.preference),
        ]
    }
}
