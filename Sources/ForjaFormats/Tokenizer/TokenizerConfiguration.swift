import ForjaCore

extension Tokenizer {
    /// The text of a `tokenizer_config.json`, with which transformers' `AutoTokenizer` loads the
    /// directory that holds it and the `tokenizer.json`.
    ///
    /// - Parameters:
    ///   - endOfText: The token that ends a document; `nil` for a vocabulary without one.
    ///   - beginningOfText: The token that starts one, where the model was trained with it.
    ///   - maximumLength: Tokens that the model takes.
    ///   - chatTemplate: How chats are written, where the model was trained on them.
    /// - Throws: `.invalidInput` naming a token that the vocabulary lacks.
    public func configuration(
        endOfText: String?, beginningOfText: String? = nil, maximumLength: Int,
        chatTemplate: ChatTemplate? = nil
    ) throws(ForjaError) -> String {
        var members: [String] = []
        for (name, token) in [("bos_token", beginningOfText), ("eos_token", endOfText)] {
            guard let token else { continue }
            guard id(of: token) != nil else {
                throw ForjaError(
                    .invalidInput, "the vocabulary has no token \(token)",
                    fix: "name one of its special tokens")
            }
            members.append("\"\(name)\": \(jsonQuoted(token))")
        }
        if let chatTemplate {
            members.append("\"chat_template\": \(jsonQuoted(chatTemplate.jinja))")
        }
        members += [
            "\"clean_up_tokenization_spaces\": false",
            "\"model_max_length\": \(maximumLength)",
            "\"tokenizer_class\": \"PreTrainedTokenizerFast\"",
        ]
        return "{\n  " + members.joined(separator: ",\n  ") + "\n}\n"
    }
}
