import Foundation

/// Normalisation form C as Hugging Face tokenizers compute it, which is that of Unicode 9.
///
/// Scalars assigned later were inert for those tables: no decomposition, combining class 0. They
/// pass unchanged, and nothing composes or moves across them.
enum CanonicalComposition {
    /// The composed text; `nil` when it equals the given one without a closer look.
    static func composed(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        // U+0300, the first scalar that composition can touch, starts with 0xCC.
        guard text.contains(where: { $0 >= 0xCC }) else { return nil }
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var known = String.UnicodeScalarView()
        func flush() {
            result.append(contentsOf: String(known).precomposedStringWithCanonicalMapping.utf8)
            known.removeAll()
        }
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            if isKnown(scalar) {
                known.append(scalar)
            } else {
                flush()
                result.append(contentsOf: UTF8.encode(scalar)!)
            }
        }
        flush()
        return result
    }

    private static func isKnown(_ scalar: Unicode.Scalar) -> Bool {
        guard scalar.value >= 0x300 else { return true }
        guard let age = scalar.properties.age else { return false }
        return age.major <= 9
    }
}
