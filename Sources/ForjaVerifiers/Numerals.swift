/// Numbers as they stand in text, as text: no rounding, no limit on digits.
enum Numerals {
    /// The last number of `text`: a decimal (`.5`, `3.25`) or an integer, with the minus in front of it.
    ///
    /// Commas between digits are dropped first. A sign counts only where an operand can begin, not after a
    /// letter, a digit or a closing bracket, so `12-5` ends in `5` and `A: -5` in `-5`. A plus is dropped.
    static func last(in text: String) -> String? {
        let bytes = withoutCommasBetweenDigits(Array(text.utf8))
        // Walk as a regular expression would: from left to right, each match beginning where the last one ended.
        var last: Range<Int>?
        var position = 0
        while position < bytes.count {
            guard let end = numberEnd(bytes, from: position) else {
                position += 1
                continue
            }
            last = position..<end
            position = end
        }
        guard let last else { return nil }
        let number = String(decoding: bytes[last], as: UTF8.self)
        return isNegative(bytes, numberAt: last.lowerBound) ? "-" + number : number
    }

    /// Whether `text` is one number and nothing else: digits with at most one point among or before them, and at
    /// most one sign.
    static func isNumber(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        let start = bytes.first == minus || bytes.first == plus ? 1 : 0
        return numberEnd(bytes, from: start) == bytes.count
    }

    /// A whole number without leading zeros, plus sign and negative zero; `nil` for anything else.
    static func canonicalInteger(_ text: String) -> String? {
        var digits = text.utf8[...]
        let isNegative = digits.first == minus
        if isNegative || digits.first == plus { digits = digits.dropFirst() }
        guard !digits.isEmpty, digits.allSatisfy(isDigit) else { return nil }
        let significant = digits.drop { $0 == UInt8(ascii: "0") }
        guard !significant.isEmpty else { return "0" }
        return (isNegative ? "-" : "") + String(decoding: significant, as: UTF8.self)
    }

    private static let minus = UInt8(ascii: "-")
    private static let plus = UInt8(ascii: "+")
    private static let point = UInt8(ascii: ".")

    private static func isDigit(_ byte: UInt8) -> Bool {
        byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
    }

    private static func digitsEnd(_ bytes: [UInt8], from start: Int) -> Int {
        var end = start
        while end < bytes.count, isDigit(bytes[end]) { end += 1 }
        return end
    }

    /// End of the unsigned number that begins at `start`: digits, point and digits where there are both, else digits.
    private static func numberEnd(_ bytes: [UInt8], from start: Int) -> Int? {
        let whole = digitsEnd(bytes, from: start)
        if whole < bytes.count, bytes[whole] == point {
            let end = digitsEnd(bytes, from: whole + 1)
            if end > whole + 1 { return end }
        }
        return whole > start ? whole : nil
    }

    private static func isNegative(_ bytes: [UInt8], numberAt start: Int) -> Bool {
        guard start > 0, bytes[start - 1] == minus else { return false }
        guard start > 1 else { return true }
        let before = bytes[start - 2]
        let isLetter = before | 0x20 >= UInt8(ascii: "a") && before | 0x20 <= UInt8(ascii: "z")
        // Bytes from 0x80 on are letters of other scripts, or signs; neither begins an operand.
        return
            !(isLetter || isDigit(before) || before >= 0x80
            || [UInt8(ascii: ")"), UInt8(ascii: "]"), UInt8(ascii: "}")].contains(before))
    }

    /// Drops each comma that stands between two digits, pairs taken from left to right without overlap.
    static func withoutCommasBetweenDigits(_ bytes: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var position = 0
        while position < bytes.count {
            if isDigit(bytes[position]), position + 2 < bytes.count,
                bytes[position + 1] == UInt8(ascii: ","), isDigit(bytes[position + 2])
            {
                result += [bytes[position], bytes[position + 2]]
                position += 3
            } else {
                result.append(bytes[position])
                position += 1
            }
        }
        return result
    }
}
