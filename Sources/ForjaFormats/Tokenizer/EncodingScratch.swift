import Synchronization

/// Working memory for encoding on one thread, with the ids of words seen before.
///
/// Text repeats its words: most pieces are found here and never merged. What is remembered changes
/// no result, only how soon it is known.
final class EncodingScratch: @unchecked Sendable {
    // Unchecked because the pool hands an object to one thread at a time.

    var symbols: [Int32] = []
    var ranks: [UInt64] = []
    private var words = ByteStringTable(minimumCapacity: 1 << 12)
    private var ids: [Int32] = []
    private var bounds: [Int] = [0]

    /// Beyond this length pieces hardly repeat.
    private static let longestWord = 48
    /// About 3 MB with their ids; then all are forgotten and the frequent ones soon return.
    private static let wordLimit = 1 << 16

    /// Appends the ids of a piece, remembered or from `model`.
    func encode(
        _ piece: UnsafeBufferPointer<UInt8>, with model: BytePairModel, into output: inout [Int32]
    ) {
        guard piece.count <= Self.longestWord else {
            model.encode(piece, self, into: &output)
            return
        }
        if let word = words.index(of: piece) {
            for index in bounds[word]..<bounds[word + 1] { output.append(ids[index]) }
            return
        }
        let start = output.count
        model.encode(piece, self, into: &output)
        if words.count == Self.wordLimit {
            words.removeAll()
            ids.removeAll(keepingCapacity: true)
            bounds.removeAll(keepingCapacity: true)
            bounds.append(0)
        }
        _ = words.insert(piece)
        ids.append(contentsOf: output[start...])
        bounds.append(ids.count)
    }
}

/// Scratch objects not in use, at most as many as threads ever encoded at once.
final class EncodingScratchPool: Sendable {
    private let idle = Mutex<[EncodingScratch]>([])

    /// Lends a scratch object to the calling thread for the duration of `body`.
    func withScratch(_ body: (EncodingScratch) -> Void) {
        let scratch = idle.withLock { $0.popLast() } ?? EncodingScratch()
        body(scratch)
        idle.withLock { $0.append(scratch) }
    }
}
