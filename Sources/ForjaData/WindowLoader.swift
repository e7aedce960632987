import ForjaCore

/// Training windows of a token range, in an order that is a pure function of (seed, step).
///
/// An epoch cuts the range into windows of T tokens, the first at a random phase in 0 ..< T, so
/// that another epoch cuts elsewhere, and visits each once in permuted order. The sequence of step
/// s and row r has number n = s · sequences + r: epoch n / windowCount, place n % windowCount.
/// Nothing is remembered between calls: ranks, resumes and other batch splits see the same data.
public struct WindowLoader: Sendable {
    public let shard: TokenShard
    public let tokenRange: Range<Int>
    /// T.
    public let sequenceLength: Int
    /// Windows of an epoch.
    public let windowCount: Int

    private let seed: UInt64
    private let separator: Int32?
    private let phaseCount: Int

    /// - Parameters:
    ///   - tokenRange: Part of the shard to train on; `nil`: all of it.
    ///   - sequenceLength: T, at least 1.
    ///   - seed: Decides phases and order.
    ///   - documentMask: Whether documents are kept apart: `documentStart` is given, and the label
    ///     after an end-of-text token is not trained.
    /// - Throws: `.invalidInput` when the range has fewer than T + 1 tokens or passes the shard.
    public init(
        shard: TokenShard, tokenRange: Range<Int>? = nil, sequenceLength: Int, seed: UInt64,
        documentMask: Bool
    ) throws(ForjaError) {
        let range = tokenRange ?? 0..<shard.count
        try checkWindow(
            shard: shard, range: range, sequenceLength: sequenceLength,
            least: sequenceLength + 1)
        self.shard = shard
        self.tokenRange = range
        self.sequenceLength = sequenceLength
        self.seed = seed
        separator = documentMask ? shard.endOfText : nil
        // With 2 T tokens or more every phase leaves room for all windows and the last label. A
        // shorter range has one window, anywhere it fits.
        windowCount = max(1, (range.count - sequenceLength) / sequenceLength)
        phaseCount = min(sequenceLength, range.count - windowCount * sequenceLength)
    }

    /// First token of the window with a number, in the shard.
    package func windowStart(of number: Int) -> Int {
        let (epoch, place) = number.quotientAndRemainder(dividingBy: windowCount)
        let stream = UInt32(truncatingIfNeeded: epoch)
        let phase = CounterRandom(seed: seed, purpose: .data, stream: stream)
            .integer(below: UInt64(phaseCount), at: 0)
        let window = Permutation(count: windowCount, seed: seed, stream: stream)[place]
        return tokenRange.lowerBound + Int(phase) + window * sequenceLength
    }

    /// Rows of one optimizer step.
    ///
    /// - Parameters:
    ///   - step: Updates done before, from 0.
    ///   - sequences: Sequences of the whole step, over all ranks and microsteps.
    ///   - rows: Which of them, within 0 ..< `sequences`.
    /// - Returns: `[rows.count, T]`.
    /// - Throws: `.damagedFile` when a token lies outside the vocabulary.
    public func batch(step: Int, sequences: Int, rows: Range<Int>) throws(ForjaError) -> Batch {
        precondition(step >= 0 && rows.lowerBound >= 0 && rows.upperBound <= sequences)
        var builder = BatchBuilder(
            sequenceLength: sequenceLength, rowCount: rows.count, separator: separator)
        for row in rows {
            let start = windowStart(of: step * sequences + row)
            let window = try shard.tokens(in: start..<start + sequenceLength + 1)
            builder.append(window: window, start: start, padding: 0)
        }
        return builder.finish()
    }
}

/// Refuses ranges that give no window.
func checkWindow(
    shard: TokenShard, range: Range<Int>, sequenceLength: Int, least: Int
) throws(ForjaError) {
    guard sequenceLength >= 1 else {
        throw ForjaError(
            .invalidInput, "sequence_length_tokens is \(sequenceLength)",
            fix: "set it to 1 or more")
    }
    guard range.lowerBound >= 0, range.upperBound <= shard.count else {
        throw ForjaError(
            .invalidInput,
            "tokens \(range.lowerBound) to \(range.upperBound) pass the \(shard.count) tokens of "
                + shard.path)
    }
    guard range.count >= least else {
        throw ForjaError(
            .invalidInput,
            "\(shard.path): \(range.count) tokens in this part, a sequence of \(sequenceLength) "
                + "takes at least \(least)",
            fix: "give more text or lower training.sequence_length_tokens")
    }
}
