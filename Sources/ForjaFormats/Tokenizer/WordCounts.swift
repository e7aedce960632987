import Dispatch
import ForjaCore
import Synchronization

/// How often each piece that the Llama 3 pattern cuts occurs in a text.
struct WordCounts: Sendable {
    private(set) var words = ByteStringTable(minimumCapacity: 1 << 12)
    /// Occurrences of each of `words`.
    private(set) var counts: [Int] = []

    /// Counts the pieces of valid UTF-8.
    mutating func add(_ text: UnsafeBufferPointer<UInt8>) {
        guard let base = text.baseAddress else { return }
        let pattern = SplitPattern.contractionsAnyCase(numberLimit: 3)
        var position = 0
        while position < text.count {
            let end = pattern.pieceEnd(in: base, from: position, to: text.count)
            add(UnsafeBufferPointer(start: base + position, count: end - position), count: 1)
            position = end
        }
    }

    mutating func add(_ other: WordCounts) {
        for (index, count) in other.counts.enumerated() {
            other.words[index].withUnsafeBufferPointer { add($0, count: count) }
        }
    }

    private mutating func add(_ word: UnsafeBufferPointer<UInt8>, count: Int) {
        let (index, isNew) = words.insert(word)
        if isNew { counts.append(count) } else { counts[index] += count }
    }
}

extension WordCounts {
    /// Text that a worker takes at a time.
    private static let shareByteCount = 1 << 20

    /// Counts documents on several threads.
    ///
    /// A long document is cut only where the pattern cuts too whatever surrounds the place, so
    /// counts do not depend on the number of threads or on the size of a share.
    ///
    /// - Parameters:
    ///   - text: The documents, end to end.
    ///   - ends: Where each document ends in `text`.
    ///   - threadCount: Most threads to use.
    /// - Throws: `.damagedFile` naming the first byte that is not UTF-8.
    mutating func add(
        _ text: UnsafeBufferPointer<UInt8>, documentEnds ends: [Int], threadCount: Int
    ) throws(ForjaError) {
        let shares = Self.shares(of: text, documentEnds: ends)
        let next = Atomic<Int>(0)
        let results = Mutex<[WordCounts]>([])
        let firstInvalid = Mutex<Int?>(nil)
        // Read-only, and the caller keeps it alive until all workers are done.
        nonisolated(unsafe) let text = text
        DispatchQueue.concurrentPerform(iterations: min(threadCount, shares.count)) { _ in
            var counts = WordCounts()
            while true {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < shares.count else { break }
                for range in shares[index] {
                    let piece = UnsafeBufferPointer(rebasing: text[range])
                    if let offset = UTF8Scan.firstInvalid(in: piece) {
                        let invalid = range.lowerBound + offset
                        firstInvalid.withLock { $0 = min($0 ?? invalid, invalid) }
                    } else {
                        counts.add(piece)
                    }
                }
            }
            results.withLock { $0.append(counts) }
        }
        if let offset = firstInvalid.withLock({ $0 }) {
            throw ForjaError(
                .damagedFile, "the text is not UTF-8 at byte \(offset)",
                fix: "convert it, for example with iconv")
        }
        for counts in results.withLock({ $0 }) { add(counts) }
    }

    private static func shares(
        of text: UnsafeBufferPointer<UInt8>, documentEnds ends: [Int]
    ) -> [[Range<Int>]] {
        var shares: [[Range<Int>]] = []
        var share: [Range<Int>] = []
        var shareStart = 0
        var start = 0
        for documentEnd in ends {
            while start < documentEnd {
                let end = cut(text, after: start + shareByteCount, before: documentEnd)
                share.append(start..<end)
                start = end
                if end - shareStart >= shareByteCount {
                    shares.append(share)
                    share = []
                    shareStart = end
                }
            }
        }
        if !share.isEmpty { shares.append(share) }
        return shares
    }

    /// The first place from `position` on, or the document's end, where a match of the pattern ends and the next starts
    /// for sure: behind a newline with no space after it, or between a letter and a space with a
    /// letter (all three ASCII).
    private static func cut(
        _ text: UnsafeBufferPointer<UInt8>, after position: Int, before documentEnd: Int
    ) -> Int {
        func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte | 0x20) }
        var end = position
        while end + 1 < documentEnd {
            let previous = text[end - 1]
            if previous == 0x0A, (0x21...0x7E).contains(text[end]) { return end }
            if text[end] == 0x20, isLetter(previous), isLetter(text[end + 1]) { return end }
            end += 1
        }
        return documentEnd
    }
}
