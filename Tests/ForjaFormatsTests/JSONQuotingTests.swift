import ForjaFormats
import Foundation
import Testing

@Suite("JSON strings")
struct JSONQuotingTests {
    /// Every character of one UTF-16 unit, and some of two.
    private static let scalars =
        (0...0xFFFF as ClosedRange<UInt32>).compactMap(Unicode.Scalar.init) + ["😀", "\u{10FFFF}"]

    @Test("Foundation reads every character back", arguments: [JSONEscapes.required, .unprintable])
    func readsBack(escapes: JSONEscapes) throws {
        let text = String(String.UnicodeScalarView(Self.scalars))
        let json = jsonQuoted(text, escaping: escapes)
        let value = try JSONSerialization.jsonObject(
            with: Data("[\(json)]".utf8))
        let read = try #require((value as? [String])?.first)
        #expect(Array(read.unicodeScalars) == Self.scalars)
    }

    @Test("only what must be escaped is, unless what cannot be printed is to be too")
    func escapes() {
        #expect(
            jsonQuoted("a\"\\/\u{8}\u{c}\n\r\t\u{1}\u{1f}é")
                == #""a\"\\/\b\f\n\r\t\u0001\u001fé""#)
        #expect(jsonQuoted("\u{7f}\u{85}\u{2028}") == "\"\u{7f}\u{85}\u{2028}\"")
        #expect(
            jsonQuoted("\u{7f}\u{85}\u{2028}\u{feff}é", escaping: .unprintable)
                == #""\u007f\u0085\u2028\ufeffé""#)
    }
}
