/// Which characters of a quoted string become escapes.
package enum JSONEscapes: Sendable {
    /// Those JSON requires and no others: byte for byte what Hugging Face's libraries write.
    case required
    /// Also those that YAML 1.2 does not take bare (its `c-printable`) or takes for line ends and byte order marks, so that
    /// the string is a YAML double-quoted scalar too.
    case unprintable
}

/// A JSON string: `text` between quotation marks.
package func jsonQuoted(_ text: String, escaping escapes: JSONEscapes = .required) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case "\r": result += "\\r"
        case "\t": result += "\\t"
        case "\u{8}": result += "\\b"
        case "\u{c}": result += "\\f"
        case "\u{0}"..<"\u{20}": result += escaped(scalar)
        case "\u{7f}"..."\u{9f}", "\u{2028}", "\u{2029}", "\u{feff}", "\u{fffe}", "\u{ffff}":
            if escapes == .unprintable { result += escaped(scalar) } else { fallthrough }
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}

/// Backslash, "u" and four hexadecimal digits.
private func escaped(_ scalar: Unicode.Scalar) -> String {
    let digits = String(scalar.value, radix: 16)
    return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
}
