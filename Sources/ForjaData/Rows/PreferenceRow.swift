import ForjaFormats

/// A row for preference optimisation: two answers to one chat.
///
///     {"chosen": [messages], "rejected": [messages]}                  alike but for the last message, the assistant's
///     {"prompt": text or messages, "chosen": .., "rejected": ..}      the answers as texts or assistant messages
///
/// With whole chats in `chosen` and `rejected`, `prompt` and all other keys are passed over.
public struct PreferenceRow: Decodable, Sendable, Equatable {
    /// What both answers answer, at least one message.
    public let prompt: [ChatMessage]
    public let chosen: String
    public let rejected: String

    enum CodingKeys: String, CodingKey { case prompt, chosen, rejected }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        func chat(_ key: CodingKeys) throws -> [ChatMessage] {
            let answer = try values.decode(TextOrMessages.self, forKey: key)
                .messages(as: .assistant)
            guard answer[0].role == .assistant else { return answer }
            guard values.contains(.prompt) else {
                throw RowProblem(
                    "begins with an answer, and there is no \"prompt\" before it", at: [key])
            }
            return try values.decode(TextOrMessages.self, forKey: .prompt).messages(as: .user)
                + answer
        }
        let chosen = try chat(.chosen)
        let rejected = try chat(.rejected)
        for (key, chat) in [(CodingKeys.chosen, chosen), (.rejected, rejected)]
        where chat.last?.role != .assistant {
            throw RowProblem("does not end with a message of the assistant", at: [key])
        }
        guard chosen.dropLast() == rejected.dropLast() else {
            throw RowProblem(
                "\"chosen\" and \"rejected\" differ before their last message", at: [])
        }
        guard chosen != rejected else {
            throw RowProblem("\"chosen\" and \"rejected\" are equal", at: [])
        }
        prompt = chosen.dropLast()
        self.chosen = chosen[chosen.count - 1].content
        self.rejected = rejected[rejected.count - 1].content
        guard !prompt.isEmpty else {
            throw RowProblem("the answers have no message before them", at: [])
        }
    }

    public var chosenChat: [ChatMessage] { prompt + [.assistant(chosen)] }
    public var rejectedChat: [ChatMessage] { prompt + [.assistant(rejected)] }
}
