import ForjaCore
import ForjaNN
import ForjaRuntime

/// Generates tokens for several sequences at once, with keys and values cached.
///
/// Two graphs of fixed shape serve every length: one fills the cache from the prompts, `prefillRows` positions at a
/// time, one adds a token to every sequence. Both read lengths and positions from device buffers.
///
/// When a sequence reaches the model's positions, its last half is read in again as a new prompt, so generation goes on
/// past the context with the recent text in view. The other sequences keep their caches: what a sequence sees, and so
/// its text, does not depend on those beside it.
///
/// Every rank of a tensor group generates at once, with the same arguments: each holds its heads' caches, all get the
/// same logits and draw the same tokens.
public final class Generator {
    private let model: LlamaModel
    private let queue: Queue
    private let scheduler: Scheduler
    private let sequences: Int
    private let capacity: Int
    private let prefillRows: Int

    private let prefill: Scheduler.GraphID
    private let decode: Scheduler.GraphID
    private let prefillTokens: Variable
    private let prefillPositions: Variable
    private let tokens: Variable
    /// Positions of the decoded tokens, which is also what the cache holds before them.
    private let position: Variable
    private let logits: Variable
    private let caches: [Variable]

    /// Records and plans; allocates nothing.
    ///
    /// - Parameters:
    ///   - model: Allocated, with weights; its `positions` bound what the cache can hold.
    ///   - sequences: Sequences generated at once.
    ///   - capacity: Longest prompt and continuation together, for sizing; cut to the model's positions.
    public init(
        model: LlamaModel, sequences: Int, capacity: Int, queue: Queue
    ) throws(ForjaError) {
        precondition(sequences > 0)
        self.model = model
        self.queue = queue
        self.sequences = sequences
        self.capacity = min(max(capacity, 2), model.positions)
        prefillRows = min(64, self.capacity)
        let c = model.configuration
        prefillTokens = Variable(
            name: "prompt tokens", shape: [sequences * prefillRows], dtype: .int32)
        prefillPositions = Variable(
            name: "prompt positions", shape: [sequences * prefillRows], dtype: .int32)
        tokens = Variable(name: "tokens", shape: [sequences], dtype: .int32)
        position = Variable(name: "position", shape: [sequences], dtype: .int32)
        logits = Variable(
            name: "logits",
            shape: [
                model.sharding.group.rankCount * sequences, model.sharding.vocabulary.shape.rows,
            ], dtype: .float32)

        let cache = { (name: String, capacity: Int) in
            (0..<c.layers).map {
                Variable(
                    name: "\(name) cache \($0)",
                    shape: [sequences, capacity, model.sharding.keyValueHeads * c.headWidth],
                    dtype: model.computeType)
            }
        }
        let keys = cache("key", self.capacity)
        let values = cache("value", self.capacity)
        caches = keys + values

        let prefillGraph = StepGraph()
        _ = try model.hidden(
            in: prefillGraph, tokens: prefillGraph.tensor(prefillTokens), batch: sequences,
            source: .cache(
                keys: keys.map(prefillGraph.tensor), values: values.map(prefillGraph.tensor),
                position: prefillGraph.tensor(position),
                positions: prefillGraph.tensor(prefillPositions)))
        let decodeGraph = StepGraph()
        let hidden = try model.hidden(
            in: decodeGraph, tokens: decodeGraph.tensor(tokens), batch: sequences,
            source: .cache(
                keys: keys.map(decodeGraph.tensor), values: values.map(decodeGraph.tensor),
                position: decodeGraph.tensor(position), positions: decodeGraph.tensor(position)))
        try decodeGraph.logits(
            hidden: hidden, weight: decodeGraph.tensor(model.head.compute), into: logits,
            over: model.sharding.group)

        scheduler = Scheduler(
            queue: queue, communication: try model.sharding.lane(on: queue.device),
            memoryFix: "generate fewer or shorter texts, or use a device with more memory")
        prefill = try scheduler.add(prefillGraph)
        decode = try scheduler.add(decodeGraph)
    }

    /// Bytes held beside the model's: caches, activations, logits. The queue's workspace is not among them.
    public var byteCount: Int {
        let variables = caches + [prefillTokens, prefillPositions, tokens, position, logits]
        return scheduler.arenaByteCount + variables.reduce(0) { $0 + $1.byteCount }
    }

    /// Allocates what the first text would.
    ///
    /// - Throws: `.outOfMemory`.
    public func prepare() throws(ForjaError) { try scheduler.prepare() }

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
        for prompt in prompts { try model.check(prompt) }
        try prepare()
        let sampler = Sampler(sampling)
        let vocabulary = model.configuration.vocabularySize
        var rows = prompts.map { Row(prompt: $0, isDone: maxNewTokens <= 0) }
        var hostLogits = [Float](repeating: 0, count: vocabulary * sequences)

        var isFirst = true
        while rows.contains(where: { !$0.isDone }) {
            try fillCaches(&rows) { isFirst || $0.cached >= capacity && !$0.isDone }
            isFirst = false
            try tokens.write(rows.map { $0.text.last! }, on: queue)
            // A finished sequence keeps its place in the batch; what it computes there is dropped.
            try position.write(rows.map { Int32(min($0.cached, capacity - 1)) }, on: queue)
            try scheduler.run(decode)
            try hostLogits.withUnsafeMutableBufferPointer { buffer throws(ForjaError) in
                try logits.readBytes(into: UnsafeMutableRawBufferPointer(buffer), on: queue)
            }
            hostLogits = joinedVocabulary(hostLogits)
            var isStopped = false
            for sequence in rows.indices where !isStopped && !rows[sequence].isDone {
                let id = hostLogits.withUnsafeBufferPointer {
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
            if try model.sharding.group.gather(isStopped).contains(true) { break }
        }
        return rows.map { Array($0.newIDs) }
    }

    /// `[sequences, V]` from the ranks' parts, `[P, sequences, V/P]`.
    private func joinedVocabulary(_ parts: [Float]) -> [Float] {
        let ranks = model.sharding.group.rankCount
        guard ranks > 1 else { return parts }
        let width = model.sharding.vocabulary.shape.rows
        return (0..<sequences).flatMap { sequence in
            (0..<ranks).flatMap { rank in
                let first = (rank * sequences + sequence) * width
                return parts[first..<first + width]
            }
        }
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
        let longest = heads.map(\.count).max() ?? 0
        for start in stride(from: 0, to: longest, by: prefillRows) {
            var tokens = [Int32](repeating: 0, count: sequences * prefillRows)
            var positions = tokens
            // Rows past the end of a cache are dropped: a sequence with nothing to read keeps what it has.
            var firsts = [Int32](repeating: Int32(capacity), count: sequences)
            for (sequence, head) in heads.enumerated() where head.count > start {
                // The last part is padded; what padding leaves in the cache is overwritten before anything attends
                // to it.
                for (offset, id) in head.dropFirst(start).prefix(prefillRows).enumerated() {
                    tokens[sequence * prefillRows + offset] = id
                }
                for offset in 0..<prefillRows {
                    positions[sequence * prefillRows + offset] = Int32(start + offset)
                }
                firsts[sequence] = Int32(start)
            }
            try prefillTokens.write(tokens, on: queue)
            try prefillPositions.write(positions, on: queue)
            try position.write(firsts, on: queue)
            try scheduler.run(prefill)
        }
    }
}
