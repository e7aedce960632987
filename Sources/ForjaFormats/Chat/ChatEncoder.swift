import ForjaCore

/// A chat as token ids, and which of them the model is to learn to write.
public struct ChatTokens: Sendable, Equatable {
    public var ids: [Int32]
    /// Of each id: whether it belongs to an answer that is trained, its end token included.
    public var isLabel: [Bool]

    public init(ids: [Int32], isLabel: [Bool]) {
        precondition(ids.count == isLabel.count)
        self.ids = ids
        self.isLabel = isLabel
    }

    public var labelCount: Int { isLabel.count { $0 } }
}

/// A template with the tokenizer that reads it.
///
/// The text is cut at both ends of every answer and the parts are encoded on their own. So the mask is exact, and the
/// tokens before an answer are those that a prompt has when the model is asked; only an answer that begins with a line
/// feed gives other ids than encoding the whole text at once, where that line feed may be taken into the header.
///
/// Special tokens spelt out in a message become special tokens, as in `transformers`: texts from strangers have to be
/// cleaned of them before.
public struct ChatEncoder: Sendable {
    /// Which answers are trained.
    public enum Labels: Sendable {
        case everyAnswer
        /// For preferences: what came before is given.
        case lastAnswer
    }

    public let template: ChatTemplate
    public let tokenizer: Tokenizer
    /// Ids that end an answer, at least one.
    public let stopTokens: [Int32]
    /// Spelling of the end-of-text token; empty without one.
    public let endOfText: String

    /// - Parameter endOfText: Spelling of the tokenizer's end-of-text token; Tülu needs one.
    /// - Throws: `.invalidInput` naming a token that the vocabulary lacks.
    public init(
        _ template: ChatTemplate, tokenizer: Tokenizer, endOfText: String?
    ) throws(ForjaError) {
        func isToken(_ text: String) -> Bool {
            guard let id = tokenizer.id(of: text) else { return false }
            return tokenizer.encode(text, addSpecialTokens: false) == [id]
        }
        var needed = template.markers
        if template.kind == .tulu {
            guard let endOfText else {
                throw ForjaError(
                    .invalidInput, "the chat template tulu needs an end-of-text token",
                    fix: "use a tokenizer that has one")
            }
            needed.append(endOfText)
        }
        if let missing = needed.first(where: { !isToken($0) }) {
            throw ForjaError(
                .invalidInput,
                "the chat template \(template.kind.rawValue) needs the token \(missing), which the "
                    + "tokenizer lacks",
                fix:
                    "use the template of this tokenizer's model, or tulu, which needs no such tokens"
            )
        }
        self.template = template
        self.tokenizer = tokenizer
        self.endOfText = endOfText ?? ""
        var stops: [Int32] = []
        for text in template.stops + [endOfText].compactMap({ $0 }) {
            if let id = tokenizer.id(of: text), !stops.contains(id) { stops.append(id) }
        }
        stopTokens = stops
    }

    /// A whole chat.
    ///
    /// - Throws: `.invalidInput` when there is no message, or one of a role the template cannot write.
    public func encode(
        _ messages: [ChatMessage], labels: Labels = .everyAnswer
    ) throws(ForjaError) -> ChatTokens {
        let pieces = try template.pieces(
            of: messages, endOfText: endOfText, addsGenerationPrompt: false)
        let last = pieces.last { $0.answer != nil }?.answer
        var tokens = ChatTokens(ids: [], isLabel: [])
        for piece in pieces {
            let ids = tokenizer.encode(piece.text, addSpecialTokens: false)
            let isLabel =
                piece.answer != nil && (labels == .everyAnswer || piece.answer == last)
            tokens.ids += ids
            tokens.isLabel += [Bool](repeating: isLabel, count: ids.count)
        }
        return tokens
    }

    /// A chat up to where the model's next answer begins.
    ///
    /// - Throws: As `encode`.
    public func prompt(_ messages: [ChatMessage]) throws(ForjaError) -> [Int32] {
        try template.pieces(of: messages, endOfText: endOfText, addsGenerationPrompt: true)
            .flatMap { tokenizer.encode($0.text, addSpecialTokens: false) }
    }
}
