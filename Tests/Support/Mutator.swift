/// Damages files as bad disks, cut-off downloads and hasty editors do; a seed decides how.
public struct Mutator {
    private var generator: SeededGenerator

    public init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    /// Texts that readers of JSON, YAML and binary headers are known to stumble over.
    private static let texts: [[UInt8]] =
        [
            "0", "-1", "1e309", "-0.0", "NaN", "null", "true", "\"\"", "[]", "{}", "2147483648",
            "9223372036854775807", "9223372036854775808", "18446744073709551615",
            "99999999999999999999999999", "0.1", "\"\\ud800\"", "\"\\u0000\"", "/dev/null", "..",
            "\\", "\"", "'", "\n", "\t", "#", "&a", "*a", "<<: *a", "!!binary", "? ", "- ", "---\n",
            "\u{feff}", "\u{10ffff}",
        ].map { Array($0.utf8) }
        + [[0x80], [0xff, 0xfe], [0xc0, 0xaf], [0]]
        + ["[", "{\"a\":", "- "].map { text in
            Array(String(repeating: text, count: 5000).utf8)
        }

    /// One damage of `bytes` or a few, all inside its first `prefixCount` bytes where that is given.
    public mutating func damaged(_ bytes: [UInt8], prefixCount: Int? = nil) -> [UInt8] {
        var head = Array(bytes.prefix(prefixCount ?? bytes.count))
        repeat { damage(&head) } while Int.random(in: 0..<3, using: &generator) == 0
        return head + bytes.dropFirst(prefixCount ?? bytes.count)
    }

    private mutating func damage(_ bytes: inout [UInt8]) {
        switch Int.random(in: 0..<9, using: &generator) {
        case 0:
            replace(
                place(in: bytes, upTo: 1), of: &bytes,
                with: [.random(in: 0...255, using: &generator)])
        case 1: flipBit(&bytes)
        case 2: bytes.removeSubrange(place(in: bytes, upTo: 64))
        case 3: bytes.removeLast(bytes.count - place(in: bytes, upTo: 0).lowerBound)
        case 4:
            let copied = Array(bytes[place(in: bytes, upTo: 64)])
            replace(place(in: bytes, upTo: 0), of: &bytes, with: copied)
        case 5:
            let copied = Array(bytes[place(in: bytes, upTo: 32)])
            replace(place(in: bytes, upTo: 32), of: &bytes, with: copied)
        case 6:
            replace(
                place(in: bytes, upTo: 0), of: &bytes,
                with: Self.texts.randomElement(using: &generator)!)
        case 7: replaceWord(&bytes)
        default: replaceInteger(&bytes)
        }
    }

    /// A random place of at most `count` bytes.
    private mutating func place(in bytes: [UInt8], upTo count: Int) -> Range<Int> {
        let start = Int.random(in: 0...bytes.count, using: &generator)
        let limit = min(count, bytes.count - start)
        return start..<start + (limit == 0 ? 0 : Int.random(in: 1...limit, using: &generator))
    }

    private func replace(_ place: Range<Int>, of bytes: inout [UInt8], with new: [UInt8]) {
        bytes.replaceSubrange(place, with: new)
    }

    private mutating func flipBit(_ bytes: inout [UInt8]) {
        guard let index = bytes.indices.randomElement(using: &generator) else { return }
        bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
    }

    /// Replaces a number, name or string by another of the file or by a text that is hard to read.
    private mutating func replaceWord(_ bytes: inout [UInt8]) {
        func isWord(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "."), UInt8(ascii: "-"),
                UInt8(ascii: "_"), UInt8(ascii: "\""):
                true
            default: false
            }
        }
        var words: [Range<Int>] = []
        var start: Int?
        // Words of the neighbourhood: a file may be large.
        let centre = place(in: bytes, upTo: 0).lowerBound
        for index in max(0, centre - 500)..<min(bytes.count, centre + 500) {
            if isWord(bytes[index]) {
                start = start ?? index
            } else if let first = start {
                words.append(first..<index)
                start = nil
            }
        }
        guard let word = words.randomElement(using: &generator) else { return }
        let other =
            Bool.random(using: &generator)
            ? Array(bytes[words.randomElement(using: &generator)!])
            : Self.texts.randomElement(using: &generator)!
        replace(word, of: &bytes, with: other)
    }

    /// Writes over 2, 4 or 8 bytes with an integer at a limit of its type.
    private mutating func replaceInteger(_ bytes: inout [UInt8]) {
        let size = [2, 4, 8].randomElement(using: &generator)!
        guard bytes.count >= size else { return }
        let start = Int.random(in: 0...min(bytes.count - size, 128), using: &generator)
        let bits = UInt64(size * 8)
        let values: [UInt64] = [
            0, 1, 2, .max, .max - 1, 1 << (bits - 1), (1 << (bits - 1)) - 1, UInt64(bytes.count),
            UInt64(bytes.count) + 1,
        ]
        let value = values.randomElement(using: &generator)!
        for index in 0..<size {
            bytes[start + index] = UInt8(truncatingIfNeeded: value >> (8 * index))
        }
    }
}
