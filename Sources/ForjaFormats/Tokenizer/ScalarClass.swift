/// The classes of Unicode scalars that pre-tokeniser patterns name, as the engines that run those
/// patterns know them: Oniguruma for `\p{L}`, `\p{N}` and `\s` (Unicode 16), Rust's `char` for
/// the digits of `Digits` (Unicode 17).
///
/// The runs are stored and not asked of the Swift runtime, whose Unicode version changes with the
/// toolchain: a letter more would change the ids of an old checkpoint. One scalar has one bit of
/// letter, number and space, or none.
struct ScalarClass: OptionSet {
    let rawValue: UInt8

    static let letter = ScalarClass(rawValue: 1)
    static let number = ScalarClass(rawValue: 2)
    /// `\s`, which is White_Space here and in Rust's regex.
    static let space = ScalarClass(rawValue: 4)
    /// Carriage return and line feed; both are also `space`.
    static let newline = ScalarClass(rawValue: 8)
    /// Numeric for Rust alone: not a number for a regex.
    static let lateNumber = ScalarClass(rawValue: 16)

    /// Classes by scalar value, for those below `tableCount`; above it there are none.
    ///
    /// Filled once, never changed and never freed, so that scanners on many threads read it
    /// without reference counts.
    nonisolated(unsafe) static let table: UnsafePointer<UInt8> = {
        let table = UnsafeMutablePointer<UInt8>.allocate(capacity: tableCount)
        table.initialize(repeating: 0, count: tableCount)
        func mark(_ runs: [UInt32], _ value: ScalarClass) {
            for index in stride(from: 0, to: runs.count, by: 2) {
                for scalar in runs[index]...runs[index + 1] {
                    table[Int(scalar)] |= value.rawValue
                }
            }
        }
        mark(letterRuns, .letter)
        mark(numberRuns, .number)
        mark(spaceRuns, .space)
        mark([0x0A, 0x0A, 0x0D, 0x0D], .newline)
        mark([0x11DE0, 0x11DE9, 0x16FF4, 0x16FF6], .lateNumber)
        return UnsafePointer(table)
    }()

    /// One past the last letter, the last scalar of any class.
    static let tableCount = 0x323B0

    private static let spaceRuns: [UInt32] = [
        0x09, 0x0D, 0x20, 0x20, 0x85, 0x85, 0xA0, 0xA0, 0x1680, 0x1680, 0x2000, 0x200A,
        0x2028, 0x2029, 0x202F, 0x202F, 0x205F, 0x205F, 0x3000, 0x3000,
    ]

    /// Whether a scalar is `\w` for Rust's regex: alphabetic, mark, decimal number, connector or
    /// joiner, as of Unicode 16.
    static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        let properties = scalar.properties
        guard let age = properties.age, age.major <= 16 else { return false }
        switch properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation:
            return true
        default:
            return properties.isAlphabetic || properties.isJoinControl
        }
    }
}

/// The scalar that starts at `position` of valid UTF-8, and its length in bytes.
@inline(__always)
func decodeScalar(
    _ text: UnsafePointer<UInt8>, at position: Int
) -> (value: UInt32, byteCount: Int) {
    let first = UInt32(text[position])
    if first < 0x80 { return (first, 1) }
    let second = UInt32(text[position + 1] & 0x3F)
    if first < 0xE0 { return ((first & 0x1F) << 6 | second, 2) }
    let third = UInt32(text[position + 2] & 0x3F)
    if first < 0xF0 { return ((first & 0x0F) << 12 | second << 6 | third, 3) }
    return ((first & 0x07) << 18 | second << 12 | third << 6 | UInt32(text[position + 3] & 0x3F), 4)
}

/// Start of the scalar that ends before `position` of valid UTF-8.
func scalarStart(_ text: UnsafePointer<UInt8>, before position: Int) -> Int {
    var start = position - 1
    while text[start] & 0xC0 == 0x80 { start -= 1 }
    return start
}
