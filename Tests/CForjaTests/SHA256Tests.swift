import CForja
import Foundation
import Testing

// The engine's hash is internal, so it is reached by symbol; its calls take pointers and sizes alone.
@_silgen_name("forja__sha256_start")
private func start(_ hash: UnsafeMutableRawPointer)
@_silgen_name("forja__sha256_add")
private func add(_ hash: UnsafeMutableRawPointer, _ bytes: UnsafeRawPointer?, _ size: Int)
@_silgen_name("forja__sha256_finish")
private func finish(_ hash: UnsafeMutableRawPointer, _ out: UnsafeMutableRawPointer)

@Suite("SHA-256")
struct SHA256Tests {
    /// Hexadecimal digest of `bytes`, given in pieces of at most `piece` bytes.
    private func digest(_ bytes: [UInt8], piece: Int) -> String {
        // More room than the state, a length and one block need: 8 · 4 + 8 + 64 bytes.
        var hash = [UInt64](repeating: 0, count: 32)
        var out = [UInt8](repeating: 0, count: 32)
        start(&hash)
        for from in stride(from: 0, to: bytes.count, by: piece) {
            let part = Array(bytes[from..<min(from + piece, bytes.count)])
            add(&hash, part, part.count)
        }
        finish(&hash, &out)
        return out.map { String(format: "%02x", $0) }.joined()
    }

    // Vectors of FIPS 180-4's example page (csrc.nist.gov, "SHA256.pdf") and the empty message.
    @Test(
        "matches the standard's examples",
        arguments: [
            ("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
            ),
            ("a", 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
        ])
    func matchesExamples(text: String, count: Int, expected: String) {
        let bytes = [UInt8](String(repeating: text, count: count).utf8)
        for piece in [1000, 64, 63] { #expect(digest(bytes, piece: piece) == expected) }
    }

    @Test("does not depend on where a message is cut", arguments: [55, 56, 57, 63, 64, 65, 128])
    func doesNotDependOnCuts(size: Int) {
        let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let whole = digest(bytes, piece: size)
        for piece in [1, 3, 64] { #expect(digest(bytes, piece: piece) == whole) }
    }
}
