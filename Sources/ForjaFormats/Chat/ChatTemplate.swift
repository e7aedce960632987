import ForjaCore

/// How a chat becomes text: one of three templates, with the exact strings of the models that use them.
///
///     tulu      <|system|>⏎ S ⏎   <|user|>⏎ U ⏎   <|assistant|>⏎ A EOS   and ⏎ when another turn follows
///     llama3.1  <|begin_of_text|>, then <|start_header_id|>ROLE<|end_header_id|>⏎⏎ trimmed content <|eot_id|>
///     chatml    <|im_start|>ROLE⏎ content <|im_end|>⏎
///
/// Tülu's markers are ordinary text (Lambert et al., 2024, arXiv:2411.15124), so it works with any tokenizer that has an
/// end-of-text token. Llama 3.1 (arXiv:2407.21783) writes tool results under the role `ipython`.
public struct ChatTemplate: Sendable, Hashable {
    public enum Kind: String, Sendable, CaseIterable {
        case tulu
        case llama31 = "llama3.1"
        case chatML = "chatml"
    }

    public let kind: Kind
    /// What ChatML says first when a chat has no system message; models of the Qwen and SmolLM families have one.
    public let defaultSystem: String?

    /// - Parameter defaultSystem: For ChatML alone.
    public init(_ kind: Kind, defaultSystem: String? = nil) {
        precondition(defaultSystem == nil || kind == .chatML)
        self.kind = kind
        self.defaultSystem = defaultSystem
    }

    /// - Throws: `.invalidInput` listing the names there are.
    public init(named name: String) throws(ForjaError) {
        guard let kind = Kind(rawValue: name) else {
            throw ForjaError(
                .invalidInput, "there is no chat template \"\(name)\"",
                fix: "use one of \(Kind.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        self.init(kind)
    }

    /// Tokens that must be in the vocabulary, beside Tülu's end-of-text token.
    var markers: [String] {
        switch kind {
        case .tulu: []
        case .llama31:
            ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
        case .chatML: ["<|im_start|>", "<|im_end|>"]
        }
    }

    /// Tokens that end an answer, where the vocabulary has them.
    var stops: [String] {
        switch kind {
        case .tulu: []
        case .llama31: ["<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"]
        case .chatML: ["<|im_end|>"]
        }
    }

    /// The text of a chat.
    ///
    /// - Parameters:
    ///   - endOfText: Spelling of the token that ends Tülu's answers; the others do not use it.
    ///   - addsGenerationPrompt: Whether the header of an answer follows, for a model to go on from.
    /// - Throws: `.invalidInput` when there is no message, or one of a role the template cannot write.
    public func text(
        of messages: [ChatMessage], endOfText: String, addsGenerationPrompt: Bool = false
    ) throws(ForjaError) -> String {
        try pieces(
            of: messages, endOfText: endOfText, addsGenerationPrompt: addsGenerationPrompt
        ).map(\.text).joined()
    }

    /// A run of a chat's text.
    struct Piece: Equatable {
        var text: String
        /// Index of the message whose answer this is, what the model is to write; `nil`: what it is given.
        var answer: Int?
    }

    /// The chat cut at both ends of every answer. An answer is the content of an assistant message and the token after it.
    func pieces(
        of messages: [ChatMessage], endOfText: String, addsGenerationPrompt: Bool
    ) throws(ForjaError) -> [Piece] {
        guard let first = messages.first else {
            throw ForjaError(
                .invalidInput, "a chat has no messages", fix: "give at least one message")
        }
        var pieces: [Piece] = []
        func add(_ text: String, answer: Int? = nil) {
            if answer == nil, let last = pieces.last, last.answer == nil {
                pieces[pieces.count - 1].text += text
            } else {
                pieces.append(Piece(text: text, answer: answer))
            }
        }
        if kind == .llama31 { add("<|begin_of_text|>") }
        if let defaultSystem, first.role != .system {
            add("<|im_start|>system\n\(defaultSystem)<|im_end|>\n")
        }
        for (index, message) in messages.enumerated() {
            let isAnswer = message.role == .assistant
            let frame = try frame(of: message.role, endOfText: endOfText)
            let content = kind == .llama31 ? Self.trimmed(message.content) : message.content
            add(frame.header)
            add(content + frame.end, answer: isAnswer ? index : nil)
            // Only Tülu treats the last message differently, and only an answer.
            let isLast = index == messages.count - 1
            if !(kind == .tulu && isAnswer && isLast) {
                add(frame.separator)
            }
        }
        if addsGenerationPrompt { add(try frame(of: .assistant, endOfText: endOfText).header) }
        return pieces.filter { !$0.text.isEmpty }
    }

    private func frame(
        of role: ChatMessage.Role, endOfText: String
    ) throws(ForjaError) -> (header: String, end: String, separator: String) {
        let isToolResult = role == .tool || role == .ipython
        switch kind {
        case .tulu:
            guard !isToolResult else {
                throw ForjaError(
                    .invalidInput, "the chat template tulu has no role \(role.rawValue)",
                    fix: "use llama3.1 or chatml, or leave tool results out")
            }
            return ("<|\(role.rawValue)|>\n", role == .assistant ? endOfText : "", "\n")
        case .llama31:
            let name = isToolResult ? "ipython" : role.rawValue
            return ("<|start_header_id|>\(name)<|end_header_id|>\n\n", "<|eot_id|>", "")
        case .chatML:
            let name = isToolResult ? "tool" : role.rawValue
            return ("<|im_start|>\(name)\n", "<|im_end|>", "\n")
        }
    }

    /// As Python's `str.strip`, which the template calls.
    private static func trimmed(_ text: String) -> String {
        func isSpace(_ scalar: Unicode.Scalar) -> Bool {
            scalar.properties.isWhitespace || ("\u{1c}"..."\u{1f}").contains(scalar)
        }
        var scalars = text.unicodeScalars[...].drop(while: isSpace)
        while let last = scalars.last, isSpace(last) { scalars.removeLast() }
        return String(scalars)
    }
}
