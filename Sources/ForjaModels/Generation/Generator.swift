import ForjaCore
import ForjaNN
import ForjaRuntime

/// Generates tokens for several sequences at once, with keys and values cached.
///
/// Two graphs of fixed shape serve every length: one fills the cache from the prompts, `prefillRows` positions at a
/// time, one adds a token to every sequence. Both read lengths and positions from device buffers.
///
/// When a sequence reaches the model's positions, its last half is read in again as a new prompt, so generation goes on
/// past the context with the recent text in view.
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
            name: "logits", shape: [sequences, c.vocabularySize], dtype: .float32)

        let cache = { (name: String, capacity: Int) in
            (0..<c.layers).map {
                Variable(
                    name: "\(name) cache \($0)",
                    shape: [sequences, capacity, c.keyValueHeads * c.headWidth],
                    dtype: model.computeType)
            }
        }
        let keys = cache("key", self.capacity)
        let values = cache("value", self.capacity)

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
            hidden: hidden, weight: decodeGraph.tensor(model.head.compute), into: logits)

        scheduler = Scheduler(queue: queue)
        prefill = try scheduler.add(prefillGraph)
        decode = try scheduler.add(decodeGraph)
        try scheduler.prepare()
    }

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
        let sampler = Sampler(sampling)
        var texts = prompts
        var isDone = [Bool](repeating: maxNewTokens == 0, count: sequences)
        var lengths = [Int](repeating: 0, count: sequences)
        try refill(texts, lengths: &lengths)
        var row = [Float](repeating: 0, count: model.configuration.vocabularySize * sequences)

        generation: while isDone.contains(false) {
            if lengths.contains(where: { $0 >= capacity }) { try refill(texts, lengths: &lengths) }
            try tokens.write(texts.map { $0.last! }, on: queue)
            try position.write(lengths.map(Int32.init), on: queue)
            try scheduler.run(decode)
            for index in lengths.indices { lengths[index] += 1 }
            try row.withUnsafeMutableBufferPointer { buffer throws(ForjaError) in
                try logits.readBytes(into: UnsafeMutableRawBufferPointer(buffer), on: queue)
            }
            for sequence in 0..<sequences {
                let id = row.withUnsafeBufferPointer {
                    let vocabulary = model.configuration.vocabularySize
                    return sampler.draw(
                        from: UnsafeBufferPointer(
                            rebasing: $0[(sequence * vocabulary)..<((sequence + 1) * vocabulary)]),
                        sequence: sequence,
                        index: texts[sequence].count - prompts[sequence].count)
                }
                // Finished sequences keep their place in the batch; what they draw is dropped.
                guard !isDone[sequence] else { continue }
                texts[sequence].append(id)
                let drawn = texts[sequence].count - prompts[sequence].count
                isDone[sequence] = stopIDs.contains(id) || drawn >= maxNewTokens
                if !onToken(sequence, id) { break generation }
            }
        }
        return zip(texts, prompts).map { Array($0.dropFirst($1.count)) }
    }

    /// Fills the caches with all but the last token of each text, or of its last half-context when it has
    /// outgrown the cache; the last token is what the next decode reads.
    private func refill(_ texts: [[Int32]], lengths: inout [Int]) throws(ForjaError) {
        let heads = texts.map { text in
            text.count <= capacity ? text.dropLast() : text.suffix(max(capacity / 2, 1)).dropLast()
        }
        let longest = heads.map(\.count).max() ?? 0
        for start in stride(from: 0, to: longest, by: prefillRows) {
            // A text shorter than the longest is padded; what padding leaves in the cache is overwritten before
            // anything attends to it.
            var tokens = [Int32](repeating: 0, count: sequences * prefillRows)
            var positions = tokens
            for (sequence, head) in heads.enumerated() {
                let part = head.dropFirst(start).prefix(prefillRows)
                for (offset, id) in part.enumerated() {
                    tokens[sequence * prefillRows + offset] = id
                }
                for offset in 0..<prefillRows {
                    positions[sequence * prefillRows + offset] = Int32(start + offset)
                }
            }
            try prefillTokens.write(tokens, on: queue)
            try prefillPositions.write(positions, on: queue)
            try position.write([Int32](repeating: Int32(start), count: sequences), on: queue)
            try scheduler.run(prefill)
        }
        lengths = heads.map(\.count)
    }
}
