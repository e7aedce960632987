import ForjaFormats

/// A row for supervised fine-tuning: `messages`, or `prompt` and `completion`.
///
///     {"messages": [{"role": "user", "content": ".."}, {"role": "assistant", "content": ".."}]}
///     {"prompt": "..", "completion": ".."}
///
/// `prompt` and `completion` are a text each, or messages. Other keys are passed over.
public struct ChatRow: Decodable, Sendable, Equatable {
    /// At least one, with at least one of the assistant.
    public let messages: [ChatMessage]

    enum CodingKeys: String, CodingKey { case messages, prompt, completion }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        if values.contains(.messages) {
            messages = try values.decode(RowMessages.self, forKey: .messages).messages
        } else if values.contains(.prompt) || values.contains(.completion) {
            messages =
                try values.decode(TextOrMessages.self, forKey: .prompt).messages(as: .user)
                + values.decode(TextOrMessages.self, forKey: .completion).messages(as: .assistant)
        } else {
            throw RowProblem("the line has neither \"messages\" nor \"prompt\"", at: [])
        }
        guard messages.contains(where: { $0.role == .assistant }) else {
            throw RowProblem("no message is the assistant's, so there is nothing to learn", at: [])
        }
    }
}
