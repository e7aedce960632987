import ForjaCore

extension ChatEncoder {
    /// Chats as the files beside a tokenizer.json say, `tokenizer_config.json` and `chat_template.jinja`.
    ///
    /// - Parameters:
    ///   - directory: Where those files are, if there are any.
    ///   - template: Taken instead of the directory's own.
    ///   - endOfText: Taken where the directory names none.
    /// - Throws: `.invalidInput` when neither names a template, or the vocabulary lacks one of its tokens.
    public init(
        directory: String, template: ChatTemplate? = nil, tokenizer: Tokenizer, endOfText: String?
    ) throws(ForjaError) {
        let settings = try TokenizerSettings(directory: directory)
        let known: ChatTemplate? =
            if let template { template } else if let jinja = settings.chatTemplate {
                try ChatTemplate(jinja: jinja)
            } else { nil }
        guard let known else {
            throw ForjaError(
                .invalidInput, "\(directory) names no chat template",
                fix: "name one in tokenizer_config.json: "
                    + ChatTemplate.Kind.allCases.map(\.rawValue).joined(separator: ", "))
        }
        try self.init(known, tokenizer: tokenizer, endOfText: settings.endOfText ?? endOfText)
    }
}
