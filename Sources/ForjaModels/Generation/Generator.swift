import ForjaCore
import ForjaNN
import ForjaRuntime

/// Generates tokens for several sequences at once, with keys and values cached.
///
/// All begin together and their number is fixed; `BatchEngine` answers many prompts.
///
/// When a sequence reaches the model's positions, its last half is read in again as a new prompt, so generation goes on
/// past the context with the recent text in view. The other sequences keep their caches: what a sequence sees, and so
/// its text, does not depend on those beside it.
///
/// Every rank of a tensor group generates at once, with the same arguments: each holds its heads' caches, all get the
/// same logits and draw the same tokens.
public final class Generator {
    private let decoder: CachedDecoder
    private var sequences: Int { decoder.placeCount }
    private var capacity: Int { decoder.capacity }

    /// Records and plans; allocates nothing on the device.
    ///
    /// - Parameters:
    ///   - model: Allocated, with weights; its `positions` bound what the cache can hold.
    ///   - sequences: Sequences generated at once.
    ///   - capacity: Longest prompt and continuation together, for sizing; cut to the model's positions.
    public init(
        model: LlamaModel, sequences: Int, capacity: Int, queue: Queue
    ) throws(ForjaError) {
        decoder = try CachedDecoder(
            model: model, places: sequences, capacity: capacity, queue: queue)
    }

    /// Bytes held beside the model's: caches, activations, logits. The queue's workspace is not among them.
    public var byteCount: Int { decoder.byteCount }

    /// Allocates what the first text would.
    ///
    /// - Throws: `.outOfMemory`.
    public func prepare() throws(ForjaError) { try decoder.prepare() }

    /// Continues each prompt until a stop id or the limit.
    ///
    /// - Parameters:
    ///   - prompts: One per sequence, each at least one token.
    ///   - stopIDs: Ids that end a sequence; the id itself is the last of its result.
    ///   - onToken: Called with sequence and id as each token is drawn; returning `false` stops everything.
    /// - Returns: The new ids of each sequence.
    public func generate(
        prompts: [[Int32]], maxNewTokens: Int, sampling: SamplingSettings,
        stopIDs: Set<Int32> = [], onToken: (Int, Int32) -> Bool = { _, _ in true }
    ) throws(ForjaError) -> [[Int32]] {
        precondition(prompts.count == sequences)
        for prompt in prompts { try decoder.model.check(prompt) }
        try prepare()
        let sampler = Sampler(sampling)
        let vocabulary = decoder.model.configuration.vocabularySize
        let group = decoder.model.sharding.group
        var rows = prompts.map { Row(prompt: $0, isDone: maxNewTokens <= 0) }

        var isFirst = true
        while rows.contains(where: { !$0.isDone }) {
            try fillCaches(&rows) { isFirst || $0.cached >= capacity && !$0.isDone }
            isFirst = false
            // A finished sequence keeps its place in the batch; what it computes there is dropped.
            try decoder.decode(
                tokens: rows.map { $0.text.last! },
                positions: rows.map { Int32(min($0.cached, capacity - 1)) })
            var isStopped = false
            for sequence in rows.indices where !isStopped && !rows[sequence].isDone {
                let id = decoder.logits.withUnsafeBufferPointer {
                    sampler.draw(
                        from: UnsafeBufferPointer(
                            rebasing: $0[(sequence * vocabulary)..<((sequence + 1) * vocabulary)]),
                        sequence: sequence, index: rows[sequence].newIDs.count)
                }
                rows[sequence].cached += 1
                rows[sequence].text.append(id)
                rows[sequence].isDone =
                    stopIDs.contains(id) || rows[sequence].newIDs.count >= maxNewTokens
                isStopped = !onToken(sequence, id)
            }
            // Ranks stop together, whichever was told to.
            if try group.gather(isStopped).contains(true) { break }
        }
        return rows.map { Array($0.newIDs) }
    }

    /// One sequence while it is generated.
    private struct Row {
        var text: [Int32]
        let promptCount: Int
        /// Where in the text its cache begins.
        var windowStart = 0
        /// Positions the cache holds: the text from `windowStart` on, but the token that the next decode reads.
        var cached = 0
        var isDone: Bool

        init(prompt: [Int32], isDone: Bool) {
            text = prompt
            promptCount = prompt.count
            self.isDone = isDone
        }

        var newIDs: ArraySlice<Int32> { text[promptCount...] }
    }

    /// Reads the texts of the rows chosen into their caches, up to all but the last token; of a text that has outgrown
    /// the cache, its last half-context.
    private func fillCaches(
        _ rows: inout [Row], where isChosen: (Row) -> Bool
    ) throws(ForjaError) {
        var heads = [ArraySlice<Int32>](repeating: [], count: sequences)
        for index in rows.indices where isChosen(rows[index]) {
            let text = rows[index].text
            if text.count - rows[index].windowStart > capacity {
                rows[index].windowStart = text.count - max(capacity / 2, 1)
            }
            heads[index] = text[rows[index].windowStart...].dropLast()
            rows[index].cached = heads[index].count
        }
        try decoder.fill(heads)
    }
}
