import ForjaFormats

/// Places where a text may be cut so that encoding the parts gives exactly the tokens of encoding
/// the whole.
///
/// A pre-tokeniser of the GPT-2 or Llama 3 kind begins a new piece at these places whatever stands
/// around, its look-ahead `\s+(?!\S)` sees the same on both sides, and merges never cross pieces:
///
/// - Before a space that follows a character which is not white space. No alternative of either
///   pattern goes on from such a character into a space; the run of white space that begins there
///   stays whole in the second part.
/// - After a line feed between two characters that are not white space. Llama 3 ends a piece at
///   the last line feed of a run in any case. GPT-2 splits the last character off a longer run
///   only when text follows, so there the run must be this one line feed.
///
/// "word\n\nNext" can be cut at neither place: in the first part GPT-2 would make one piece of both
/// line feeds, in the whole it makes two. Kept by TokenizationTests.
package enum TextCut {
    private static let space = UInt8(ascii: " ")
    private static let lineFeed = UInt8(ascii: "\n")

    /// The last place to cut at or before `target`, else the first after it; `range.upperBound`
    /// where there is none.
    ///
    /// - Parameters:
    ///   - text: UTF-8.
    ///   - range: The rest of the document; the place lies inside it.
    ///   - target: The size wished for, within `range`.
    ///   - rule: Which of the two the tokenizer allows. One without such a pre-tokeniser, or with
    ///     added tokens that take in white space, allows none; one that puts a space before each
    ///     text it is given allows only the first.
    package static func place(
        in text: UnsafeRawBufferPointer, range: Range<Int>, target: Int, rule: Tokenizer.CuttingRule
    ) -> Int {
        func isPlace(_ place: Int) -> Bool {
            if text[place] == space {
                return !isWhiteSpace(before: place, in: text, from: range.lowerBound)
            }
            return rule.allowsLineStarts && text[place - 1] == lineFeed
                && place - 1 > range.lowerBound
                && !isWhiteSpace(before: place - 1, in: text, from: range.lowerBound)
                && !isWhiteSpace(at: place, in: text, to: range.upperBound)
        }
        guard target < range.upperBound, rule.allowsSpaces else { return range.upperBound }
        var place = target
        while place > range.lowerBound {
            if isPlace(place) { return place }
            place -= 1
        }
        place = max(target, range.lowerBound) + 1
        while place < range.upperBound {
            if isPlace(place) { return place }
            place += 1
        }
        return range.upperBound
    }

    private static func isWhiteSpace(
        before place: Int, in text: UnsafeRawBufferPointer, from start: Int
    ) -> Bool {
        var first = place - 1
        while first > start, text[first] & 0xC0 == 0x80, place - first < 4 { first -= 1 }
        return isWhiteSpace(at: first, in: text, to: place)
    }

    /// Bytes that are no UTF-8 count as white space, so nothing is cut beside them and the text is
    /// refused where it is decoded.
    private static func isWhiteSpace(
        at place: Int, in text: UnsafeRawBufferPointer, to end: Int
    ) -> Bool {
        var iterator = text[place..<min(end, place + 4)].makeIterator()
        var decoder = UTF8()
        guard case .scalarValue(let scalar) = decoder.decode(&iterator) else { return true }
        return scalar.properties.isWhitespace
    }
}
