/// The text of a `tokenizer.json`, in the form Hugging Face tokenizers write: members in their
/// order, two spaces of indentation, characters as they are.
struct TokenizerWriter {
    /// Token strings by id.
    var tokens: [String]
    var merges: [(left: Int32, right: Int32)] = []
    /// How many of the first ids are special tokens.
    var specialTokenCount = 0
    var isByteLevel: Bool

    var json: String {
        """
        {
          "version": "1.0",
          "truncation": null,
          "padding": null,
          "added_tokens": \(Self.list(addedTokens, indent: 2)),
          "normalizer": null,
          "pre_tokenizer": \(preTokenizer),
          "post_processor": null,
          "decoder": \(isByteLevel ? Self.byteLevel(addsSpace: true, usesRegex: true) : Self.fuse),
          "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": false,
            "vocab": \(Self.list(vocabulary, indent: 4, brackets: ("{", "}"))),
            "merges": \(Self.list(mergeLines, indent: 4))
          }
        }

        """
    }

    private var addedTokens: [String] {
        tokens.prefix(specialTokenCount).enumerated().map { id, token in
            """
            {"id": \(id), "content": \(jsonQuoted(token)), "single_word": false, \
            "lstrip": false, "rstrip": false, "normalized": false, "special": true}
            """
        }
    }

    private var vocabulary: [String] {
        tokens.enumerated().map { id, token in "\(jsonQuoted(token)): \(id)" }
    }

    private var mergeLines: [String] {
        merges.map { left, right in
            "[\(jsonQuoted(tokens[Int(left)])), \(jsonQuoted(tokens[Int(right)]))]"
        }
    }

    private var preTokenizer: String {
        guard isByteLevel else { return "null" }
        return """
            {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": \(jsonQuoted(SplitPattern.llama3))}, \
            "behavior": "Isolated", "invert": false},
                \(Self.byteLevel(addsSpace: false, usesRegex: false))
              ]}
            """
    }

    private static let fuse = #"{"type": "Fuse"}"#

    private static func byteLevel(addsSpace: Bool, usesRegex: Bool) -> String {
        """
        {"type": "ByteLevel", "add_prefix_space": \(addsSpace), "trim_offsets": true, \
        "use_regex": \(usesRegex)}
        """
    }

    private static func list(
        _ elements: [String], indent: Int, brackets: (String, String) = ("[", "]")
    ) -> String {
        guard !elements.isEmpty else { return brackets.0 + brackets.1 }
        let margin = "\n" + String(repeating: " ", count: indent)
        return brackets.0 + margin + "  " + elements.joined(separator: "," + margin + "  ") + margin
            + brackets.1
    }
}
