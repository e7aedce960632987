/// Byte-pair encoding of one piece of text: start from single bytes or characters, and join the
/// pair of neighbours that stands first in the list of merges until none is left.
///
/// Sennrich, Haddow and Birch, 2016, arXiv:1508.07909. Of equal pairs the leftmost is joined first.
struct BytePairModel: Sendable {
    /// Ids of the 256 bytes; -1 where the vocabulary lacks one. Empty for a vocabulary of characters.
    var byteIDs: [Int32] = []
    /// Ids of the tokens that are one character; empty for a byte-level vocabulary.
    var characterIDs: [UInt32: Int32] = [:]
    /// Pairs to join: rank in the upper half of the value, id of the joined token in the lower.
    var merges = PairTable()
    /// Pieces that are taken whole when the file says `ignore_merges`.
    var wholePieces = ByteStringTable()
    var wholePieceIDs: [Int32] = []
    /// Stands for what the vocabulary lacks; without one that is dropped, as Hugging Face does.
    var unknownID: Int32?
    /// Whether a run of unknowns is one token.
    var isFusingUnknowns = false

    private static let unranked = UInt64.max
    /// Up to here a scan for the best pair beats a heap.
    private static let scanLimit = 64

    /// Appends the ids of a piece.
    ///
    /// - Parameters:
    ///   - piece: UTF-8.
    ///   - scratch: Working memory of the calling thread.
    func encode(
        _ piece: UnsafeBufferPointer<UInt8>, _ scratch: EncodingScratch, into ids: inout [Int32]
    ) {
        if !wholePieceIDs.isEmpty, let index = wholePieces.index(of: piece) {
            ids.append(wholePieceIDs[index])
            return
        }
        scratch.symbols.removeAll(keepingCapacity: true)
        spell(piece, into: &scratch.symbols)
        if scratch.symbols.count > 1, merges.count > 0 {
            if scratch.symbols.count <= Self.scanLimit {
                mergeByScan(&scratch.symbols, &scratch.ranks)
            } else {
                mergeByHeap(&scratch.symbols)
            }
        }
        ids.append(contentsOf: scratch.symbols)
    }

    private func spell(_ piece: UnsafeBufferPointer<UInt8>, into symbols: inout [Int32]) {
        var isAfterUnknown = false
        func append(_ id: Int32?, _ symbols: inout [Int32]) {
            if let id {
                symbols.append(id)
                isAfterUnknown = false
            } else if let unknownID {
                if !(isFusingUnknowns && isAfterUnknown) { symbols.append(unknownID) }
                isAfterUnknown = true
            }
        }
        if byteIDs.isEmpty {
            var position = 0
            while position < piece.count {
                let scalar = decodeScalar(piece.baseAddress!, at: position)
                append(characterIDs[scalar.value], &symbols)
                position += scalar.byteCount
            }
        } else {
            for byte in piece {
                let id = byteIDs[Int(byte)]
                append(id < 0 ? nil : id, &symbols)
            }
        }
    }

    @inline(__always)
    private func merge(_ left: Int32, _ right: Int32) -> UInt64 {
        merges[PairTable.key(left, right)] ?? Self.unranked
    }

    /// Quadratic, without allocation: most pieces have fewer than ten symbols.
    private func mergeByScan(_ symbols: inout [Int32], _ ranks: inout [UInt64]) {
        var count = symbols.count
        ranks.removeAll(keepingCapacity: true)
        for index in 1..<count { ranks.append(merge(symbols[index - 1], symbols[index])) }
        symbols.withUnsafeMutableBufferPointer { symbols in
            ranks.withUnsafeMutableBufferPointer { ranks in
                while count > 1 {
                    var best = 0
                    for index in 1..<(count - 1) where ranks[index] < ranks[best] { best = index }
                    guard ranks[best] != Self.unranked else { return }
                    symbols[best] = Int32(truncatingIfNeeded: ranks[best])
                    for index in (best + 1)..<(count - 1) {
                        symbols[index] = symbols[index + 1]
                        ranks[index - 1] = ranks[index]
                    }
                    count -= 1
                    if best > 0 { ranks[best - 1] = merge(symbols[best - 1], symbols[best]) }
                    if best + 1 < count { ranks[best] = merge(symbols[best], symbols[best + 1]) }
                }
            }
        }
        symbols.removeLast(symbols.count - count)
    }

    /// n log n for long pieces, such as a line of a million spaces.
    private func mergeByHeap(_ symbols: inout [Int32]) {
        let count = symbols.count
        var next = (1...count).map(Int32.init(truncatingIfNeeded:))
        var previous = (-1..<(count - 1)).map(Int32.init(truncatingIfNeeded:))
        var heap = MinimumHeap<Candidate>()
        func push(_ left: Int) {
            let right = Int(next[left])
            guard right < count else { return }
            let found = merge(symbols[left], symbols[right])
            guard found != Self.unranked else { return }
            heap.insert(
                Candidate(
                    merge: found, left: Int32(left),
                    pair: PairTable.key(symbols[left], symbols[right])))
        }
        for left in 0..<(count - 1) { push(left) }
        while let candidate = heap.removeFirst() {
            let left = Int(candidate.left)
            // A joined-away symbol is -1, so a candidate about symbols that changed is not equal.
            let right = Int(next[left])
            guard right < count,
                candidate.pair == PairTable.key(symbols[left], symbols[right])
            else { continue }
            symbols[left] = Int32(truncatingIfNeeded: candidate.merge)
            symbols[right] = -1
            next[left] = next[right]
            if next[left] < count { previous[Int(next[left])] = Int32(left) }
            if previous[left] >= 0 { push(Int(previous[left])) }
            push(left)
        }
        symbols.removeAll { $0 < 0 }
    }

    private struct Candidate: Comparable {
        var merge: UInt64
        var left: Int32
        var pair: UInt64

        /// By rank, then from the left.
        static func < (first: Candidate, second: Candidate) -> Bool {
            (first.merge, first.left) < (second.merge, second.left)
        }
    }
}
