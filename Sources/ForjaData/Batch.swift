/// Sequences for one microstep, `[B, T]` row-major.
public struct Batch: Sendable, Equatable {
    /// What labels hold where nothing is trained.
    public static let ignoredLabel: Int32 = -100

    /// B.
    public var rowCount: Int
    /// T.
    public var sequenceLength: Int
    /// `[B, T]`.
    public var tokens: [Int32]
    /// `[B, T]`: the token that follows, or `ignoredLabel`.
    public var labels: [Int32]
    /// `[B, T]`: first position of the row that belongs to the document of position t, for
    /// attention that stays inside documents. `nil`: attention sees the whole row.
    public var documentStart: [Int32]?
    /// Where each row's tokens stand in the shard; empty for a row that only fills the batch.
    public var sourceRanges: [Range<Int>]
    /// Labels that are trained.
    public var labelCount: Int
}

extension Batch {
    /// One row of given tokens and labels, from no shard: benchmarks, replays.
    ///
    /// - Parameter labels: `ignoredLabel`, or any negative number, where nothing is trained.
    public init(tokens: [Int32], labels: [Int32]) {
        precondition(tokens.count == labels.count)
        self.init(
            rowCount: 1, sequenceLength: tokens.count, tokens: tokens, labels: labels,
            documentStart: nil, sourceRanges: [0..<0], labelCount: labels.count { $0 >= 0 })
    }
}

/// Puts a batch together row by row.
struct BatchBuilder {
    let sequenceLength: Int
    /// Token that ends a document where documents are kept apart; `nil` where they are not.
    let separator: Int32?
    private var batch: Batch

    init(sequenceLength: Int, rowCount: Int, separator: Int32?) {
        self.sequenceLength = sequenceLength
        self.separator = separator
        batch = Batch(
            rowCount: 0, sequenceLength: sequenceLength, tokens: [], labels: [],
            documentStart: separator == nil ? nil : [], sourceRanges: [], labelCount: 0)
        batch.tokens.reserveCapacity(rowCount * sequenceLength)
        batch.labels.reserveCapacity(rowCount * sequenceLength)
        batch.documentStart?.reserveCapacity(rowCount * sequenceLength)
    }

    /// Appends a row.
    ///
    /// - Parameters:
    ///   - window: The row's tokens and one more that only labels the last, at most T + 1; what is
    ///     missing is filled with `padding` and carries no label.
    ///   - start: Place of the first token in the shard.
    mutating func append(window: [Int32], start: Int, padding: Int32) {
        let known = min(window.count, sequenceLength)
        var document = Int32(0)
        for position in 0..<sequenceLength {
            let token = position < known ? window[position] : padding
            let follows = position + 1 < window.count
            // The end-of-text token belongs to the document it ends; what follows it starts
            // another, which nothing before could foretell.
            let endsDocument = position < known && token == separator
            let label = follows && !endsDocument ? window[position + 1] : Batch.ignoredLabel
            batch.tokens.append(token)
            batch.labels.append(label)
            batch.documentStart?.append(document)
            if label >= 0 { batch.labelCount += 1 }
            if endsDocument { document = Int32(position + 1) }
        }
        batch.sourceRanges.append(start..<start + known)
        batch.rowCount += 1
    }

    func finish() -> Batch { batch }
}
