/// A pseudo-random permutation of 0 ..< count as a pure function of (seed, stream): element i is computed without
/// storing or visiting the others.
///
/// A 4-round Feistel network over the smallest even-bit domain that holds `count`, walked until the value falls
/// inside (cycle walking): Black and Rogaway, "Ciphers with arbitrary finite domains", 2002.
public struct Permutation: Sendable {
    public let count: Int
    private let halfBits: UInt64
    private let random: CounterRandom

    public init(count: Int, seed: UInt64, stream: UInt32) {
        precondition(count > 0)
        self.count = count
        var bits = UInt64(2)
        while (UInt64(1) << bits) < UInt64(count) { bits += 2 }
        halfBits = bits / 2
        random = CounterRandom(seed: seed, purpose: .shuffle, stream: stream)
    }

    public subscript(index: Int) -> Int {
        precondition(index >= 0 && index < count)
        var value = UInt64(index)
        repeat { value = encrypted(value) } while value >= UInt64(count)
        return Int(value)
    }

    private func encrypted(_ value: UInt64) -> UInt64 {
        let mask = (UInt64(1) << halfBits) - 1
        var left = value >> halfBits
        var right = value & mask
        for round in UInt64(0)..<4 {
            let word = random.words(at: round << 48 | right)
            (left, right) = (right, left ^ (UInt64(word.x) & mask))
        }
        return left << halfBits | right
    }
}
