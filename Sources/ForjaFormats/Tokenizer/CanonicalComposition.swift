import Foundation

/// Normalisation form C as Hugging Face tokenizers compute it, which is that of Unicode 9
/// (Unicode Standard Annex 15).
///
/// Scalars assigned later were inert for those tables: no decomposition, combining class 0. They
/// pass unchanged, and nothing composes or moves across them.
///
/// Foundation only decomposes here. On Linux it leaves marks out of order behind the Tibetan
/// vowels U+0F73, U+0F75 and U+0F81, and its composition takes U+10041, a Linear B sign, followed
/// by a dot below for the letter A with one.
enum CanonicalComposition {
    /// The composed text; `nil` when it equals the given one without a closer look.
    static func composed(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        // U+0300, the first scalar that composition can touch, starts with 0xCC.
        guard text.contains(where: { $0 >= 0xCC }) else { return nil }
        guard let base = text.baseAddress else { return nil }
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        // A cluster starts at a scalar that stands alone and is composed if anything else follows
        // in it; what lies between such clusters is copied in one piece.
        var copyStart = 0
        var clusterStart = 0
        var isPlain = true
        func finishCluster(at end: Int) {
            if !isPlain {
                result.append(contentsOf: text[copyStart..<clusterStart])
                appendComposed(text[clusterStart..<end], to: &result)
                copyStart = end
            }
            clusterStart = end
            isPlain = true
        }
        var position = 0
        while position < text.count {
            let (value, byteCount) = decodeScalar(base, at: position)
            if standsAlone(value) {
                finishCluster(at: position)
            } else if Unicode.Scalar(value).map(isKnown) != true {
                finishCluster(at: position)
                clusterStart = position + byteCount
            } else {
                isPlain = false
            }
            position += byteCount
        }
        finishCluster(at: text.count)
        result.append(contentsOf: text[copyStart...])
        return result
    }

    private static func appendComposed(
        _ cluster: Slice<UnsafeBufferPointer<UInt8>>, to result: inout [UInt8]
    ) {
        let decomposed = String(decoding: cluster, as: UTF8.self)
            .decomposedStringWithCanonicalMapping
        for scalar in compose(decomposed.unicodeScalars) {
            result.append(contentsOf: UTF8.encode(scalar)!)
        }
    }

    /// Whether a scalar is known to be a starter that nothing before it takes in and that does not
    /// change by itself: Latin, Cyrillic, Hebrew, Arabic, punctuation, kana, ideographs, Hangul.
    private static func standsAlone(_ value: UInt32) -> Bool {
        switch value {
        case 0..<0x300, 0x400...0x482, 0x48A...0x52F, 0x5D0...0x5EA, 0x620...0x64A,
            0x2010...0x2027, 0x3001...0x3029, 0x3041...0x3096, 0x30A1...0x30FA, 0x3400...0x4DB5,
            0x4E00...0x9FD5, 0xAC00...0xD7A3, 0xFF01...0xFF5E:
            true
        default: false
        }
    }

    private static func isKnown(_ scalar: Unicode.Scalar) -> Bool {
        guard let age = scalar.properties.age else { return false }
        return age.major <= 9
    }

    private struct Element {
        var scalar: Unicode.Scalar
        var combiningClass: UInt8

        init(_ scalar: Unicode.Scalar) {
            self.scalar = scalar
            combiningClass = scalar.properties.canonicalCombiningClass.rawValue
        }
    }

    /// Marks behind each starter, ascending by class; those of one class keep their order.
    private static func ordered(_ decomposed: String.UnicodeScalarView) -> [Element] {
        var elements = decomposed.map(Element.init)
        var start = 0
        while start < elements.count {
            let end = elements[start...].firstIndex { $0.combiningClass == 0 } ?? elements.count
            if end - start > 1 {
                let marks = elements[start..<end].enumerated().sorted {
                    ($0.element.combiningClass, $0.offset) < ($1.element.combiningClass, $1.offset)
                }
                elements.replaceSubrange(start..<end, with: marks.map(\.element))
            }
            start = end + 1
        }
        return elements
    }

    /// Joins each scalar to the last starter unless one of its own or a higher class lies between.
    private static func compose(_ decomposed: String.UnicodeScalarView) -> [Unicode.Scalar] {
        var result: [Unicode.Scalar] = []
        var starter: Int?
        var lastClass: UInt8 = 0
        for element in ordered(decomposed) {
            if let starter, starter == result.count - 1 || lastClass < element.combiningClass,
                let composite = composite(of: result[starter], element.scalar)
            {
                result[starter] = composite
                continue
            }
            if element.combiningClass == 0 { starter = result.count }
            lastClass = element.combiningClass
            result.append(element.scalar)
        }
        return result
    }

    private static func composite(
        of first: Unicode.Scalar, _ second: Unicode.Scalar
    ) -> Unicode.Scalar? {
        composites[PairTable.key(Int32(first.value), Int32(second.value))]
            ?? hangul(first.value, second.value)
    }

    /// Composites of two scalars but for Hangul, found where they lie: Latin to Katakana, and the
    /// Indic scripts of the first supplementary plane. Those that a text never composes to, such
    /// as U+0958, are left out.
    private static let composites: [UInt64: Unicode.Scalar] = {
        var composites: [UInt64: Unicode.Scalar] = [:]
        for value in [0xC0..<0x3100, 0x11000..<0x11600].joined() {
            guard let scalar = Unicode.Scalar(UInt32(value)), isKnown(scalar) else { continue }
            let text = String(scalar)
            let parts = text.decomposedStringWithCanonicalMapping.unicodeScalars
            guard parts.count > 1,
                text.precomposedStringWithCanonicalMapping.unicodeScalars.elementsEqual([scalar])
            else { continue }
            let head = String(String.UnicodeScalarView(parts.dropLast()))
                .precomposedStringWithCanonicalMapping.unicodeScalars
            guard let first = head.first, head.count == 1, let second = parts.last else { continue }
            composites[PairTable.key(Int32(first.value), Int32(second.value))] = scalar
        }
        return composites
    }()

    /// Leading and vowel jamo make a syllable, such a syllable and a trailing jamo a closed one
    /// (Unicode Standard, section 3.12).
    private static func hangul(_ first: UInt32, _ second: UInt32) -> Unicode.Scalar? {
        let (leadingCount, vowelCount, trailingCount): (UInt32, UInt32, UInt32) = (19, 21, 28)
        let leading = first &- 0x1100
        let vowel = second &- 0x1161
        if leading < leadingCount, vowel < vowelCount {
            return Unicode.Scalar(0xAC00 + (leading * vowelCount + vowel) * trailingCount)
        }
        let syllable = first &- 0xAC00
        let trailing = second &- 0x11A7
        guard syllable < leadingCount * vowelCount * trailingCount, syllable % trailingCount == 0,
            trailing > 0, trailing < trailingCount
        else { return nil }
        return Unicode.Scalar(first + trailing)
    }
}
