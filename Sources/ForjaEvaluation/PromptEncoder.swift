import ForjaCore
import ForjaFormats
import ForjaModels

/// How the prompts of a task become tokens for a model, and what ends its answers.
public struct PromptEncoder: Sendable {
    public let tokenizer: Tokenizer
    public let stopIDs: Set<Int32>
    /// Name of the template, or `none`.
    public let templateName: String
    private let encoder: ChatEncoder?

    /// - Parameters:
    ///   - template: A template's name; `none` writes the messages' texts below each other, for models without chats; `nil`
    ///     takes the model's own.
    /// - Throws: `.invalidInput` when the model has no template and none is named, or its vocabulary lacks one's tokens.
    public init(_ directory: ModelDirectory, template: String?) throws(ForjaError) {
        tokenizer = try directory.tokenizer()
        let settings = try TokenizerSettings(directory: directory.path)
        guard template != "none" else {
            self.encoder = nil
            templateName = "none"
            stopIDs = directory.stopIDs
            return
        }
        let chosen: ChatTemplate
        if let template {
            chosen = try ChatTemplate(named: template)
        } else if let own = settings.chatTemplate {
            chosen = try ChatTemplate(jinja: own)
        } else {
            throw ForjaError(
                .invalidInput, "\(directory.path) has no chat template",
                fix: "name one with --chat-template: "
                    + ChatTemplate.Kind.allCases.map(\.rawValue).joined(separator: ", ")
                    + ", or none for a model that knows no chats")
        }
        let encoder = try ChatEncoder(
            chosen, tokenizer: tokenizer, endOfText: settings.endOfText)
        self.encoder = encoder
        templateName = chosen.kind.rawValue
        stopIDs = directory.stopIDs.union(encoder.stopTokens)
    }

    /// Tokens up to where the answer begins.
    public func prompt(_ messages: [ChatMessage]) throws(ForjaError) -> [Int32] {
        if let encoder { return try encoder.prompt(messages) }
        return tokenizer.encode(messages.map(\.content).joined(separator: "\n"))
    }

    /// Text of an answer, its end token aside.
    public func text(_ ids: [Int32]) -> String {
        tokenizer.decode(
            ids.last.map(stopIDs.contains) == true ? ids.dropLast() : ids, skipSpecialTokens: true)
    }
}
