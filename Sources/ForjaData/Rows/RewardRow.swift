import ForjaFormats

/// A row for reinforcement learning with verifiable rewards: a prompt, and what its answer is checked against.
///
///     {"messages": [..], "ground_truth": .., "dataset": "gsm8k"}
///
/// `prompt`, a text or messages, may stand in for `messages`. An answer of the assistant at the end is left out.
/// `dataset` names the verifier; where it is a list, `ground_truth` is one of the same length, and the scores are added.
public struct RewardRow: Decodable, Sendable, Equatable {
    /// One thing to check.
    public struct Check: Sendable, Equatable {
        /// Name of the verifier; `nil` where the row has none.
        public let verifier: String?
        public let groundTruth: GroundTruth

        public init(verifier: String?, groundTruth: GroundTruth) {
            self.verifier = verifier
            self.groundTruth = groundTruth
        }
    }

    public let prompt: [ChatMessage]
    /// At least one.
    public let checks: [Check]

    enum CodingKeys: String, CodingKey {
        case messages, prompt, dataset
        case groundTruth = "ground_truth"
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        var messages: [ChatMessage]
        if values.contains(.messages) {
            messages = try values.decode(RowMessages.self, forKey: .messages).messages
        } else if values.contains(.prompt) {
            messages = try values.decode(TextOrMessages.self, forKey: .prompt).messages(as: .user)
        } else {
            throw RowProblem("the line has neither \"messages\" nor \"prompt\"", at: [])
        }
        if messages.last?.role == .assistant { messages.removeLast() }
        guard !messages.isEmpty else {
            throw RowProblem("no message comes before the answer", at: [])
        }
        prompt = messages
        if let verifiers = try? values.decode([String].self, forKey: .dataset) {
            let truths = try values.decode([GroundTruth].self, forKey: .groundTruth)
            guard !verifiers.isEmpty, verifiers.count == truths.count else {
                throw RowProblem(
                    "has \(truths.count) entries, \"dataset\" has \(verifiers.count)",
                    at: [CodingKeys.groundTruth])
            }
            checks = zip(verifiers, truths).map { Check(verifier: $0, groundTruth: $1) }
        } else {
            checks = [
                Check(
                    verifier: try values.decodeIfPresent(String.self, forKey: .dataset),
                    groundTruth: try values.decode(GroundTruth.self, forKey: .groundTruth))
            ]
        }
    }
}
