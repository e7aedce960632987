/// Finds the merges of byte-pair encoding: joins the most frequent pair of neighbours again and
/// again.
///
/// Pair counts are kept up to date by visiting only the words that hold the joined pair; the best
/// pair comes from a heap whose entries are checked against the counts when they surface. Of
/// pairs equally frequent the one with the lower left id goes first, then the lower right id,
/// which is the rule of Hugging Face's trainer: the same text gives the same merges.
struct BytePairTraining {
    /// Symbols of all words, end to end; a word shrinks in place.
    private var symbols: [Int32] = []
    private var starts: [Int] = []
    private var lengths: [Int32] = []
    private let wordCounts: [Int]

    /// Index of each pair in the arrays below.
    private var pairs = PairTable(minimumCapacity: 1 << 14)
    private var pairKeys: [UInt64] = []
    private var pairCounts: [Int] = []
    /// Words that hold the pair, or once did.
    private var pairWords: [[Int32]] = []
    /// Pairs that became more frequent and are not in the heap with their new count.
    private var grown: [Int] = []
    private var isGrown: [Bool] = []
    private var heap = MinimumHeap<Candidate>()

    private struct Candidate: Comparable {
        var count: Int
        var index: Int
        var pair: UInt64

        /// The better candidate is the smaller.
        static func < (first: Candidate, second: Candidate) -> Bool {
            first.count != second.count
                ? first.count > second.count : first.pair < second.pair
        }
    }

    /// - Parameters:
    ///   - words: Pieces of text and how often each occurs.
    ///   - byteIDs: First symbol of each byte.
    init(_ words: WordCounts, byteIDs: [Int32]) {
        wordCounts = words.counts
        for word in 0..<words.words.count {
            let bytes = words.words[word]
            starts.append(symbols.count)
            lengths.append(Int32(bytes.count))
            for byte in bytes { symbols.append(byteIDs[Int(byte)]) }
            for position in starts[word]..<(symbols.count - 1) {
                change(symbols[position], symbols[position + 1], by: wordCounts[word], in: word)
            }
        }
        queueGrown()
    }

    /// The most frequent pair; `nil` when no word has two symbols left.
    mutating func nextPair() -> (left: Int32, right: Int32)? {
        while let candidate = heap.removeFirst() {
            let count = pairCounts[candidate.index]
            if count == candidate.count { return PairTable.ids(candidate.pair) }
            if count > 0 {
                heap.insert(
                    Candidate(count: count, index: candidate.index, pair: candidate.pair))
            }
        }
        return nil
    }

    /// Joins a pair in every word.
    mutating func join(_ left: Int32, _ right: Int32, into joined: Int32) {
        guard let known = pairs[PairTable.key(left, right)] else { return }
        let index = Int(known)
        let words = pairWords[index]
        pairWords[index] = []
        // A word listed twice has nothing to join the second time.
        for word in words { join(left, right, into: joined, word: Int(word)) }
        pairCounts[index] = 0
        queueGrown()
    }

    private mutating func queueGrown() {
        for index in grown {
            isGrown[index] = false
            if pairCounts[index] > 0 {
                heap.insert(
                    Candidate(count: pairCounts[index], index: index, pair: pairKeys[index]))
            }
        }
        grown.removeAll(keepingCapacity: true)
    }

    private mutating func join(_ left: Int32, _ right: Int32, into joined: Int32, word: Int) {
        let start = starts[word]
        let length = Int(lengths[word])
        let times = wordCounts[word]
        var read = 0
        var written = 0
        while read < length {
            let symbol = symbols[start + read]
            guard symbol == left, read + 1 < length, symbols[start + read + 1] == right else {
                symbols[start + written] = symbol
                read += 1
                written += 1
                continue
            }
            if written > 0 {
                let previous = symbols[start + written - 1]
                change(previous, left, by: -times, in: word)
                change(previous, joined, by: times, in: word)
            }
            if read + 2 < length {
                let next = symbols[start + read + 2]
                change(right, next, by: -times, in: word)
                change(joined, next, by: times, in: word)
            }
            symbols[start + written] = joined
            read += 2
            written += 1
        }
        lengths[word] = Int32(written)
    }

    private mutating func change(_ left: Int32, _ right: Int32, by amount: Int, in word: Int) {
        let pair = PairTable.key(left, right)
        let index: Int
        if let known = pairs[pair] {
            index = Int(known)
        } else {
            index = pairKeys.count
            pairs[pair] = UInt64(index)
            pairKeys.append(pair)
            pairCounts.append(0)
            pairWords.append([])
            isGrown.append(false)
        }
        pairCounts[index] += amount
        guard amount > 0 else { return }
        if !isGrown[index] {
            isGrown[index] = true
            grown.append(index)
        }
        if pairWords[index].last != Int32(word) { pairWords[index].append(Int32(word)) }
    }
}
