import ForjaCore

/// A pull reader over the bytes of a JSON document (RFC 8259), for files whose bulk is two tables.
///
/// A `tokenizer.json` holds hundreds of thousands of short strings. They go from the file to the
/// tables byte by byte, without a `String` or a tree in between: the 6 MB of Llama 3 take a
/// fraction of a second where a general decoder takes several. Token strings stay exact bytes, as
/// two that are canonically equivalent are two tokens.
struct TokenizerJSONReader {
    /// What the next value is.
    enum Kind {
        case object, array, string, number, boolean, null
    }

    private let bytes: UnsafeBufferPointer<UInt8>
    /// Offset of the next byte to read.
    var position: Int
    private var unescaped: [UInt8] = []

    private static let deepestNesting = 64

    /// - Parameter bytes: Valid UTF-8.
    init(_ bytes: UnsafeBufferPointer<UInt8>, position: Int = 0) {
        self.bytes = bytes
        self.position = position
    }

    func failure(_ message: String) -> ForjaError {
        ForjaError(
            .damagedFile, "tokenizer.json, byte \(position): \(message)",
            fix: "export or download the file again")
    }

    mutating func peek() throws(ForjaError) -> Kind {
        skipSpace()
        guard position < bytes.count else { throw failure("the file ends early") }
        switch bytes[position] {
        case UInt8(ascii: "{"): return .object
        case UInt8(ascii: "["): return .array
        case UInt8(ascii: "\""): return .string
        case UInt8(ascii: "t"), UInt8(ascii: "f"): return .boolean
        case UInt8(ascii: "n"): return .null
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
        default: throw failure("expected a value")
        }
    }

    /// Refuses what follows the document.
    mutating func finish() throws(ForjaError) {
        skipSpace()
        guard position == bytes.count else { throw failure("unexpected bytes after the document") }
    }

    /// Reads an object; `member` gets each key and must read its value.
    mutating func readObject(
        _ member: (inout TokenizerJSONReader, String) throws(ForjaError) -> Void
    ) throws(ForjaError) {
        try readTokens { (reader, key) throws(ForjaError) in
            try member(&reader, String(decoding: key, as: UTF8.self))
        }
    }

    /// Reads an object whose keys are wanted as exact bytes; `member` must read each value.
    mutating func readTokens(
        _ member: (inout TokenizerJSONReader, [UInt8]) throws(ForjaError) -> Void
    ) throws(ForjaError) {
        try expect(UInt8(ascii: "{"))
        if consume(UInt8(ascii: "}")) { return }
        repeat {
            skipSpace()
            let key = try readString()
            try expect(UInt8(ascii: ":"))
            try member(&self, key)
        } while consume(UInt8(ascii: ","))
        try expect(UInt8(ascii: "}"))
    }

    /// Reads an array; `element` must read each value.
    mutating func readArray(
        _ element: (inout TokenizerJSONReader) throws(ForjaError) -> Void
    ) throws(ForjaError) {
        try expect(UInt8(ascii: "["))
        if consume(UInt8(ascii: "]")) { return }
        repeat { try element(&self) } while consume(UInt8(ascii: ","))
        try expect(UInt8(ascii: "]"))
    }

    /// The UTF-8 of a string.
    mutating func readString() throws(ForjaError) -> [UInt8] {
        try expect(UInt8(ascii: "\""))
        let start = position
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "\""):
                defer { position += 1 }
                return Array(bytes[start..<position])
            case UInt8(ascii: "\\"):
                return try readEscapedString(from: start)
            case 0..<0x20:
                throw failure("a control character inside a string")
            default:
                position += 1
            }
        }
        throw failure("a string has no end")
    }

    /// A whole number that fits an `Int`.
    mutating func readInteger() throws(ForjaError) -> Int {
        let text = try numberText()
        guard let value = Int(text) else { throw failure("expected a whole number, not \(text)") }
        return value
    }

    /// Any value as a tree.
    mutating func readValue(nesting: Int = 0) throws(ForjaError) -> TokenizerJSONValue {
        guard nesting < Self.deepestNesting else { throw failure("nested too deeply") }
        switch try peek() {
        case .object:
            var members: [String: TokenizerJSONValue] = [:]
            try readObject { (reader, key) throws(ForjaError) in
                members[key] = try reader.readValue(nesting: nesting + 1)
            }
            return .object(members)
        case .array:
            var elements: [TokenizerJSONValue] = []
            try readArray { (reader) throws(ForjaError) in
                elements.append(try reader.readValue(nesting: nesting + 1))
            }
            return .array(elements)
        case .string:
            return .string(String(decoding: try readString(), as: UTF8.self))
        case .number:
            let text = try numberText()
            guard let value = Double(text) else { throw failure("\(text) is not a number") }
            return .number(value)
        case .boolean:
            if try readWord("true") { return .boolean(true) }
            guard try readWord("false") else { throw failure("expected true or false") }
            return .boolean(false)
        case .null:
            guard try readWord("null") else { throw failure("expected null") }
            return .null
        }
    }

    /// Passes over an array or object without keeping it; its contents are checked when read.
    mutating func skipContainer() throws(ForjaError) {
        skipSpace()
        var nesting = 0
        repeat {
            guard position < bytes.count else { throw failure("the file ends early") }
            switch bytes[position] {
            case UInt8(ascii: "{"), UInt8(ascii: "["): nesting += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): nesting -= 1
            case UInt8(ascii: "\""):
                position += 1
                while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
                    position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
                }
            default: break
            }
            position += 1
        } while nesting > 0
    }

    private mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }

    private mutating func consume(_ byte: UInt8) -> Bool {
        skipSpace()
        guard position < bytes.count, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    private mutating func expect(_ byte: UInt8) throws(ForjaError) {
        guard consume(byte) else {
            throw failure("expected \(Character(Unicode.Scalar(byte)))")
        }
    }

    private mutating func readWord(_ word: StaticString) throws(ForjaError) -> Bool {
        let count = word.utf8CodeUnitCount
        guard position + count <= bytes.count else { return false }
        for index in 0..<count where bytes[position + index] != word.utf8Start[index] {
            return false
        }
        position += count
        return true
    }

    private mutating func numberText() throws(ForjaError) -> String {
        guard try peek() == .number else { throw failure("expected a number") }
        let start = position
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"),
                UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"):
                position += 1
            default:
                return String(decoding: bytes[start..<position], as: UTF8.self)
            }
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func readEscapedString(from start: Int) throws(ForjaError) -> [UInt8] {
        unescaped.removeAll(keepingCapacity: true)
        unescaped.append(contentsOf: bytes[start..<position])
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return unescaped
            case UInt8(ascii: "\\"): try readEscape()
            case 0..<0x20: throw failure("a control character inside a string")
            default: unescaped.append(byte)
            }
        }
        throw failure("a string has no end")
    }

    private mutating func readEscape() throws(ForjaError) {
        guard position < bytes.count else { throw failure("a string has no end") }
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): unescaped.append(byte)
        case UInt8(ascii: "b"): unescaped.append(0x08)
        case UInt8(ascii: "f"): unescaped.append(0x0C)
        case UInt8(ascii: "n"): unescaped.append(0x0A)
        case UInt8(ascii: "r"): unescaped.append(0x0D)
        case UInt8(ascii: "t"): unescaped.append(0x09)
        case UInt8(ascii: "u"):
            var value = try readHexadecimal()
            if (0xD800..<0xDC00).contains(value), position + 1 < bytes.count,
                bytes[position] == UInt8(ascii: "\\"), bytes[position + 1] == UInt8(ascii: "u")
            {
                position += 2
                let low = try readHexadecimal()
                guard (0xDC00..<0xE000).contains(low) else { throw failure("a lone surrogate") }
                value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(value) else { throw failure("a lone surrogate") }
            unescaped.append(contentsOf: UTF8.encode(scalar)!)
        default: throw failure("an unknown escape")
        }
    }

    private mutating func readHexadecimal() throws(ForjaError) -> UInt32 {
        guard position + 4 <= bytes.count else { throw failure("a string has no end") }
        var value: UInt32 = 0
        for _ in 0..<4 {
            let digit: UInt8
            switch bytes[position] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = bytes[position] - 0x30
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = bytes[position] - 0x57
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = bytes[position] - 0x37
            default: throw failure("expected four hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }
}

/// A small part of a tokenizer file, such as its pre-tokenizer.
enum TokenizerJSONValue: Equatable {
    case null
    case boolean(Bool)
    case number(Double)
    case string(String)
    case array([TokenizerJSONValue])
    case object([String: TokenizerJSONValue])

    /// A member of an object; null where it is absent or this is no object.
    subscript(key: String) -> TokenizerJSONValue {
        if case .object(let members) = self { members[key] ?? .null } else { .null }
    }

    var string: String? {
        if case .string(let text) = self { text } else { nil }
    }

    var boolean: Bool? {
        if case .boolean(let value) = self { value } else { nil }
    }

    var integer: Int? {
        if case .number(let value) = self { Int(exactly: value) } else { nil }
    }

    var array: [TokenizerJSONValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }
}
