import ForjaCore
import ForjaNN
import ForjaRuntime

/// A model that reads texts a part at a time, with keys and values cached: B places, each with room for one text.
///
/// Graphs of fixed shape serve every length, since they read lengths and positions from device buffers. One fills all
/// caches from texts, `partLength` positions at a time; one a place does so for that place alone; one adds a token to
/// every place.
///
/// Every rank of a tensor group calls it with the same arguments: each holds its heads' caches, all get the same logits.
final class CachedDecoder {
    let model: LlamaModel
    let queue: Queue
    let placeCount: Int
    /// Positions that the cache of a place holds.
    let capacity: Int
    /// Logits of the last `decode`, `[B, V]`.
    private(set) var logits: [Float]

    private let scheduler: Scheduler
    private let partLength: Int
    private let fillAll: Prefill
    /// By place; empty where there is only one.
    private var fillOne: [Prefill] = []
    private let decodeGraph: Scheduler.GraphID
    private let tokens: Variable
    /// Positions of the decoded tokens, which is also what the cache holds before them.
    private let positions: Variable
    /// `[P·B, V/P]`.
    private let deviceLogits: Variable
    private let caches: [Variable]
    /// `[P, B, V/P]` on their way to `logits`; empty where one rank holds the whole head.
    private var logitParts: [Float]

    /// A graph that reads `partLength` tokens into each of its places.
    private struct Prefill {
        let graph: Scheduler.GraphID
        let tokens: Variable
        let positions: Variable
        /// Where in its cache each place's tokens begin.
        let first: Variable
    }

    /// Keys and values of each layer, `[places, capacity, G·D]`.
    private struct Caches {
        let keys: [Variable]
        let values: [Variable]
    }

    /// Records and plans; allocates nothing on the device.
    ///
    /// - Parameters:
    ///   - model: Allocated, with weights; its `positions` bound what a cache can hold.
    ///   - places: Texts at once, B.
    ///   - capacity: Positions of the longest text; cut to the model's.
    init(model: LlamaModel, places: Int, capacity: Int, queue: Queue) throws(ForjaError) {
        precondition(places > 0)
        self.model = model
        self.queue = queue
        placeCount = places
        let capacity = min(max(capacity, 2), model.positions)
        self.capacity = capacity
        partLength = min(64, capacity)
        let ranks = model.sharding.group.rankCount
        let vocabulary = model.configuration.vocabularySize
        logits = Array(repeating: 0, count: places * vocabulary)
        logitParts = ranks > 1 ? logits : []
        tokens = Variable(name: "tokens", shape: [places], dtype: .int32)
        positions = Variable(name: "positions", shape: [places], dtype: .int32)
        deviceLogits = Variable(
            name: "logits", shape: [ranks * places, model.sharding.vocabulary.shape.rows],
            dtype: .float32)

        let width = model.sharding.keyValueHeads * model.configuration.headWidth
        let layers = 0..<model.configuration.layers
        func cache(_ name: String, _ places: Int) -> [Variable] {
            layers.map {
                Variable(
                    name: "\(name) cache \($0)", shape: [places, capacity, width],
                    dtype: model.computeType)
            }
        }
        let whole = Caches(keys: cache("key", places), values: cache("value", places))
        caches = whole.keys + whole.values
        scheduler = Scheduler(
            queue: queue, communication: try model.sharding.lane(on: queue.device),
            memoryFix: "generate fewer or shorter texts, or use a device with more memory")

        fillAll = try Self.prefill(
            model, whole, places: places, length: partLength, on: scheduler)
        for place in 0..<(places > 1 ? places : 0) {
            func part(of whole: [Variable]) -> [Variable] {
                whole.map {
                    let part = Variable(
                        name: "\($0.name) of \(place)", shape: [1, capacity, width],
                        dtype: $0.dtype)
                    part.lay(into: $0, at: place * capacity * width)
                    return part
                }
            }
            fillOne.append(
                try Self.prefill(
                    model, Caches(keys: part(of: whole.keys), values: part(of: whole.values)),
                    places: 1, length: partLength, on: scheduler))
        }
        let graph = StepGraph()
        let hidden = try model.hidden(
            in: graph, tokens: graph.tensor(tokens), batch: places,
            source: .cache(
                keys: whole.keys.map(graph.tensor), values: whole.values.map(graph.tensor),
                position: graph.tensor(positions), positions: graph.tensor(positions)))
        try graph.logits(
            hidden: hidden, weight: graph.tensor(model.head.compute), into: deviceLogits,
            over: model.sharding.group)
        decodeGraph = try scheduler.add(graph)
    }

    private static func prefill(
        _ model: LlamaModel, _ caches: Caches, places: Int, length: Int, on scheduler: Scheduler
    ) throws(ForjaError) -> Prefill {
        func input(_ name: String, _ count: Int) -> Variable {
            Variable(name: name, shape: [count], dtype: .int32)
        }
        let tokens = input("prompt tokens", places * length)
        let positions = input("prompt positions", places * length)
        let first = input("prompt start", places)
        let graph = StepGraph()
        _ = try model.hidden(
            in: graph, tokens: graph.tensor(tokens), batch: places,
            source: .cache(
                keys: caches.keys.map(graph.tensor), values: caches.values.map(graph.tensor),
                position: graph.tensor(first), positions: graph.tensor(positions)))
        return Prefill(
            graph: try scheduler.add(graph), tokens: tokens, positions: positions, first: first)
    }

    /// Bytes held beside the model's: caches, activations, logits. The queue's workspace is not among them.
    var byteCount: Int {
        let prefills = ([fillAll] + fillOne).flatMap { [$0.tokens, $0.positions, $0.first] }
        let variables = caches + prefills + [tokens, positions, deviceLogits]
        return scheduler.arenaByteCount + variables.reduce(0) { $0 + $1.byteCount }
    }

    /// Allocates what the first text would.
    ///
    /// - Throws: `.outOfMemory`.
    func prepare() throws(ForjaError) { try scheduler.prepare() }

    /// As `Scheduler.startProfile`.
    func startProfile() throws(ForjaError) -> StepProfile { try scheduler.startProfile() }

    /// Reads texts into the caches, from position 0 on.
    ///
    /// - Parameter texts: One a place, at most `capacity` tokens; a place with an empty one keeps what it has.
    func fill(_ texts: [ArraySlice<Int32>]) throws(ForjaError) {
        precondition(texts.count == placeCount && texts.allSatisfy { $0.count <= capacity })
        let filled = texts.indices.filter { !texts[$0].isEmpty }
        // All places in one graph read every weight once; a place alone computes nothing for the others.
        if placeCount == 1 || 2 * filled.count > placeCount {
            try run(fillAll, texts)
        } else {
            for place in filled { try run(fillOne[place], [texts[place]]) }
        }
    }

    private func run(_ prefill: Prefill, _ texts: [ArraySlice<Int32>]) throws(ForjaError) {
        let longest = texts.map(\.count).max() ?? 0
        for start in stride(from: 0, to: longest, by: partLength) {
            var tokens = [Int32](repeating: 0, count: texts.count * partLength)
            var positions = tokens
            // Rows past the end of a cache are dropped: a place with nothing to read keeps what it has.
            var first = [Int32](repeating: Int32(capacity), count: texts.count)
            for (place, text) in texts.enumerated() where text.count > start {
                // The last part is padded; what padding leaves in the cache is overwritten before anything attends
                // to it.
                for (offset, id) in text.dropFirst(start).prefix(partLength).enumerated() {
                    tokens[place * partLength + offset] = id
                }
                for offset in 0..<partLength {
                    positions[place * partLength + offset] = Int32(start + offset)
                }
                first[place] = Int32(start)
            }
            try prefill.tokens.write(tokens, on: queue)
            try prefill.positions.write(positions, on: queue)
            try prefill.first.write(first, on: queue)
            try scheduler.run(prefill.graph)
        }
    }

    /// Adds a token to every place, and leaves what follows it in `logits`.
    ///
    /// - Parameters:
    ///   - tokens: One a place.
    ///   - positions: Of each place, what its cache holds; below `capacity`.
    func decode(tokens: [Int32], positions: [Int32]) throws(ForjaError) {
        try self.tokens.write(tokens, on: queue)
        try self.positions.write(positions, on: queue)
        try scheduler.run(decodeGraph)
        guard !logitParts.isEmpty else { return try read(into: &logits) }
        try read(into: &logitParts)
        joinVocabulary()
    }

    private func read(into host: inout [Float]) throws(ForjaError) {
        try host.withUnsafeMutableBufferPointer { buffer throws(ForjaError) in
            try deviceLogits.readBytes(into: UnsafeMutableRawBufferPointer(buffer), on: queue)
        }
    }

    /// `[B, V]` from the ranks' parts, `[P, B, V/P]`.
    private func joinVocabulary() {
        let width = model.sharding.vocabulary.shape.rows
        let ranks = model.sharding.group.rankCount
        for place in 0..<placeCount {
            for rank in 0..<ranks {
                let source = (rank * placeCount + place) * width
                let target = (place * ranks + rank) * width
                for index in 0..<width { logits[target + index] = logitParts[source + index] }
            }
        }
    }
}
