import ForjaFormats

/// Messages of a row, checked: each has a role that exists and a text that is not empty.
struct RowMessages: Decodable {
    let messages: [ChatMessage]

    init(from decoder: any Decoder) throws {
        let messages = try [Message](from: decoder)
        guard !messages.isEmpty else {
            throw RowProblem("holds no messages", at: decoder.codingPath)
        }
        self.messages = messages.map(\.message)
    }

    private struct Message: Decodable {
        let message: ChatMessage

        enum CodingKeys: String, CodingKey { case role, content }

        init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            let name = try values.decode(String.self, forKey: .role)
            let content = try values.decode(String.self, forKey: .content)
            guard let role = ChatMessage.Role(rawValue: name) else {
                throw RowProblem(
                    "is \"\(name)\", not system, user, assistant or tool",
                    at: decoder.codingPath + [CodingKeys.role])
            }
            guard !content.isEmpty else {
                throw RowProblem("is empty", at: decoder.codingPath + [CodingKeys.content])
            }
            message = ChatMessage(role, content)
        }
    }
}

/// A text that stands for one message, or messages.
enum TextOrMessages: Decodable {
    case text(String)
    case messages([ChatMessage])

    init(from decoder: any Decoder) throws {
        if let text = try? decoder.singleValueContainer().decode(String.self) {
            guard !text.isEmpty else { throw RowProblem("is empty", at: decoder.codingPath) }
            self = .text(text)
        } else if (try? decoder.unkeyedContainer()) != nil {
            self = .messages(try RowMessages(from: decoder).messages)
        } else {
            throw RowProblem("is neither a text nor a list of messages", at: decoder.codingPath)
        }
    }

    /// The messages, with a bare text as one of the given role.
    func messages(as role: ChatMessage.Role) -> [ChatMessage] {
        switch self {
        case .text(let text): [ChatMessage(role, text)]
        case .messages(let messages): messages
        }
    }
}
