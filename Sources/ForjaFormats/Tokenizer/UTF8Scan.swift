/// Where bytes stop being UTF-8 (Unicode 16, table 3-7).
enum UTF8Scan {
    private enum Sequence {
        case whole(Int)
        /// Valid so far, but the bytes end.
        case incomplete
        case invalid
    }

    /// Offset of the first byte that belongs to no character.
    static func firstInvalid(in bytes: UnsafeBufferPointer<UInt8>) -> Int? {
        let raw = UnsafeRawBufferPointer(bytes)
        var position = 0
        while position < bytes.count {
            if position + 8 <= bytes.count,
                raw.loadUnaligned(fromByteOffset: position, as: UInt64.self)
                    & 0x8080_8080_8080_8080 == 0
            {
                position += 8
            } else if case .whole(let length) = sequence(bytes, at: position) {
                position += length
            } else {
                return position
            }
        }
        return nil
    }

    /// Length of an unfinished character at the end: 0 to 3.
    static func incompleteSuffixLength(_ bytes: [UInt8]) -> Int {
        bytes.withUnsafeBufferPointer { bytes in
            for start in stride(from: bytes.count - 1, through: max(0, bytes.count - 3), by: -1)
            where bytes[start] & 0xC0 != 0x80 {
                if case .incomplete = sequence(bytes, at: start) { return bytes.count - start }
                return 0
            }
            return 0
        }
    }

    private static func sequence(_ bytes: UnsafeBufferPointer<UInt8>, at start: Int) -> Sequence {
        let first = bytes[start]
        let length: Int
        var second: ClosedRange<UInt8> = 0x80...0xBF
        switch first {
        case 0x00...0x7F: return .whole(1)
        case 0xC2...0xDF: length = 2
        case 0xE0...0xEF:
            length = 3
            if first == 0xE0 { second = 0xA0...0xBF }
            if first == 0xED { second = 0x80...0x9F }
        case 0xF0...0xF4:
            length = 4
            if first == 0xF0 { second = 0x90...0xBF }
            if first == 0xF4 { second = 0x80...0x8F }
        default: return .invalid
        }
        for offset in 1..<length {
            guard start + offset < bytes.count else { return .incomplete }
            let allowed = offset == 1 ? second : 0x80...0xBF
            guard allowed.contains(bytes[start + offset]) else { return .invalid }
        }
        return .whole(length)
    }
}
