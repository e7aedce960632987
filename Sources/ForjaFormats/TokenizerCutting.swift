extension Tokenizer {
    /// Where a long text may be cut without changing a token; `ForjaData.TextCut` has the reasons.
    package struct CuttingRule: Sendable {
        /// Before a space that follows a character which is not white space.
        package var allowsSpaces: Bool
        /// After a line feed between two characters that are not white space.
        package var allowsLineStarts: Bool
    }

    /// What this tokenizer's pre-tokeniser and added tokens allow.
    package var cuttingRule: CuttingRule {
        let added = rawTokens.tokens + normalizedTokens.tokens
        let splitsWords = preTokenizer.stages.contains { stage in
            switch stage {
            case .split(.gpt2), .split(.contractionsAnyCase): true
            case .split(.numbers), .prefixSpace: false
            }
        }
        // An added token with white space inside may lie across a cut, and one that takes the
        // spaces after it must see them.
        let allowsSpaces =
            splitsWords
            && !added.contains { $0.stripsRight || $0.content.contains { $0 <= UInt8(ascii: " ") } }
        return CuttingRule(
            allowsSpaces: allowsSpaces,
            allowsLineStarts: allowsSpaces && !preTokenizer.stages.contains(.prefixSpace)
                && !added.contains { $0.stripsLeft })
    }
}
