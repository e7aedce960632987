import ForjaCore

/// A token range in order, cut into windows of T without overlap, every label exactly once.
///
/// The last window may be shorter; it is filled up with tokens that carry no label, so that all
/// batches have one shape.
public struct ValidationWindows: Sendable {
    public let shard: TokenShard
    public let tokenRange: Range<Int>
    /// T.
    public let sequenceLength: Int
    /// Number of windows, the last possibly partial.
    public let count: Int

    private let separator: Int32?

    /// - Parameters: As of `WindowLoader`.
    /// - Throws: `.invalidInput` when the range has fewer than 2 tokens or passes the shard.
    public init(
        shard: TokenShard, tokenRange: Range<Int>? = nil, sequenceLength: Int, documentMask: Bool
    ) throws(ForjaError) {
        let range = tokenRange ?? 0..<shard.count
        try checkWindow(shard: shard, range: range, sequenceLength: sequenceLength, least: 2)
        self.shard = shard
        self.tokenRange = range
        self.sequenceLength = sequenceLength
        separator = documentMask ? shard.endOfText : nil
        count = (range.count - 1 + sequenceLength - 1) / sequenceLength
    }

    /// Consecutive windows.
    ///
    /// - Parameter windows: May pass `count`; rows past it carry no label.
    /// - Returns: `[windows.count, T]`.
    /// - Throws: `.damagedFile` when a token lies outside the vocabulary.
    public func batch(_ windows: Range<Int>) throws(ForjaError) -> Batch {
        precondition(windows.lowerBound >= 0)
        var builder = BatchBuilder(
            sequenceLength: sequenceLength, rowCount: windows.count, separator: separator)
        for window in windows {
            let start = min(
                tokenRange.lowerBound + window * sequenceLength, tokenRange.upperBound)
            let end = min(start + sequenceLength + 1, tokenRange.upperBound)
            // One token left over is no window: it has been the label of the one before.
            let tokens = window < count ? try shard.tokens(in: start..<end) : []
            builder.append(window: tokens, start: start, padding: shard.endOfText ?? 0)
        }
        return builder.finish()
    }
}
