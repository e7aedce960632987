import ForjaCore
import ForjaFormats

/// One chat as the model sees it: at each position a token, and the token to predict there.
///
/// The last token of a chat is only ever predicted, so a chat of n tokens has n − 1 positions.
public struct Example: Sendable, Hashable {
    public let tokens: [Int32]
    /// Of each position: the token that follows, or `Batch.ignoredLabel` where it is not part of a trained answer.
    public let labels: [Int32]

    /// - Parameter chat: At least one token.
    public init(_ chat: ChatTokens) {
        precondition(!chat.ids.isEmpty)
        tokens = chat.ids.dropLast()
        labels = zip(chat.ids, chat.isLabel).dropFirst().map { $1 ? $0 : Batch.ignoredLabel }
    }

    /// Positions.
    public var count: Int { tokens.count }
    public var labelCount: Int { labels.count { $0 >= 0 } }
}
