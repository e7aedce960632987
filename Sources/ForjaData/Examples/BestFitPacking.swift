import ForjaCore

/// Puts examples into rows of T positions, whole, wasting few positions.
///
/// Best fit, the longest first: each example goes into the fullest row that has room for it, else into a new one.
/// Johnson et al., 1974, doi:10.1137/0203025: at most 11/9 of the fewest rows possible, and 4 more.
public enum BestFitPacking {
    /// Which examples share a row.
    ///
    /// - Parameters:
    ///   - lengths: Positions of each example, each within 0...`capacity`.
    ///   - capacity: T.
    ///   - seed: Decides which of equally long examples comes first.
    /// - Returns: Rows of example numbers; every number once.
    public static func rows(lengths: [Int], capacity: Int, seed: UInt64) -> [[Int]] {
        precondition(capacity >= 1 && lengths.allSatisfy { (0...capacity).contains($0) })
        guard !lengths.isEmpty else { return [] }
        let shuffle = Permutation(count: lengths.count, seed: seed, stream: .max)
        let shuffled = lengths.indices.map { shuffle[$0] }
        // By (length, place), since Swift's sort need not keep equal elements in order.
        let order = shuffled.enumerated().sorted {
            (lengths[$0.element], $1.offset) > (lengths[$1.element], $0.offset)
        }
        var rows: [[Int]] = []
        var open = RowsByRoom(capacity: capacity)
        for (_, example) in order {
            let length = lengths[example]
            if let (row, room) = open.popFullest(withRoomFor: length) {
                rows[row].append(example)
                open.push(row, room: room - length)
            } else {
                rows.append([example])
                open.push(rows.count - 1, room: capacity - length)
            }
        }
        return rows
    }
}

/// Rows by the positions they have left, with a bit for each number of positions that some row has.
private struct RowsByRoom {
    private var rows: [[Int]]
    private var bits: [UInt64]

    init(capacity: Int) {
        rows = Array(repeating: [], count: capacity + 1)
        bits = Array(repeating: 0, count: capacity / 64 + 1)
    }

    mutating func push(_ row: Int, room: Int) {
        rows[room].append(row)
        bits[room / 64] |= 1 << UInt64(room % 64)
    }

    mutating func popFullest(withRoomFor length: Int) -> (row: Int, room: Int)? {
        var word = length / 64
        var candidates = bits[word] & (~0 << UInt64(length % 64))
        while candidates == 0 {
            word += 1
            guard word < bits.count else { return nil }
            candidates = bits[word]
        }
        let room = word * 64 + candidates.trailingZeroBitCount
        let row = rows[room].removeLast()
        if rows[room].isEmpty { bits[word] &= ~(1 << UInt64(room % 64)) }
        return (row, room)
    }
}
