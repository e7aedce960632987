/// The spelling of the 256 bytes as printable characters in byte-level vocabularies.
///
/// Bytes that are printable in Latin-1 stand for themselves; the other 68 are U+0100 onwards in
/// their order, so that a space is "Ġ" and a line feed "Ċ". Radford et al., "Language models are
/// unsupervised multitask learners", 2019.
enum ByteAlphabet {
    /// The character of each byte.
    static let scalars: [Unicode.Scalar] = {
        var next: UInt32 = 0x100
        return (0...255).map { (byte: UInt32) in
            switch byte {
            case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF:
                return Unicode.Scalar(byte)!
            default:
                defer { next += 1 }
                return Unicode.Scalar(next)!
            }
        }
    }()

    private static let bytes: [UInt32: UInt8] = Dictionary(
        uniqueKeysWithValues: zip(scalars.map(\.value), (0...255).map(UInt8.init)))

    /// Bytes that a token spells; `nil` when it has a character outside the alphabet.
    static func bytes(of token: [UInt8]) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(token.count)
        for scalar in String(decoding: token, as: UTF8.self).unicodeScalars {
            if (0x21...0x7E).contains(scalar.value) {
                result.append(UInt8(scalar.value))
            } else if let byte = bytes[scalar.value] {
                result.append(byte)
            } else {
                return nil
            }
        }
        return result
    }

    /// UTF-8 of the spelling of bytes.
    static func spelling(of bytes: some Sequence<UInt8>) -> [UInt8] {
        bytes.flatMap { UTF8.encode(scalars[Int($0)])! }
    }
}
