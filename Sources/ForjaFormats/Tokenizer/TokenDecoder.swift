/// Bytes of every token, end to end.
struct TokenDecoder: Sendable {
    private var bytes: [UInt8] = []
    /// Bounds in `bytes` by id; an id without a token is empty.
    private var bounds: [Int] = [0]
    private let isSpecial: [Bool]
    private let isPresent: [Bool]
    /// Put between tokens where the file names no decoder, as Hugging Face does.
    let separator: [UInt8]

    /// - Parameters:
    ///   - tokens: Bytes by id; `nil` where no token has the id.
    ///   - specialIDs: Tokens that `skipSpecialTokens` leaves out.
    ///   - separator: Put between tokens.
    init(_ tokens: [[UInt8]?], specialIDs: [Int32], separator: [UInt8]) {
        for token in tokens {
            bytes.append(contentsOf: token ?? [])
            bounds.append(bytes.count)
        }
        var isSpecial = [Bool](repeating: false, count: tokens.count)
        for id in specialIDs { isSpecial[Int(id)] = true }
        self.isSpecial = isSpecial
        isPresent = tokens.map { $0 != nil }
        self.separator = separator
    }

    /// Appends the bytes of a token to what was decoded before; an id without a token gives none.
    func append(
        _ id: Int32, skipSpecialTokens: Bool, isFirst: inout Bool, to output: inout [UInt8]
    ) {
        guard id >= 0, id < isPresent.count, isPresent[Int(id)],
            !(skipSpecialTokens && isSpecial[Int(id)])
        else { return }
        if !isFirst { output.append(contentsOf: separator) }
        isFirst = false
        output.append(contentsOf: bytes[bounds[Int(id)]..<bounds[Int(id) + 1]])
    }
}

/// Turns ids that arrive one at a time into text, whole characters only.
///
/// A token may end inside a character; its bytes wait for the rest. All pieces together equal
/// what `Tokenizer.decode` gives for all ids.
public struct StreamDecoder: Sendable {
    private let decoder: TokenDecoder
    private let skipSpecialTokens: Bool
    private var isFirst = true
    private var pending: [UInt8] = []

    init(_ decoder: TokenDecoder, skipSpecialTokens: Bool) {
        self.decoder = decoder
        self.skipSpecialTokens = skipSpecialTokens
    }

    /// The text that is certain with this id; often empty within a character.
    public mutating func append(_ id: Int32) -> String {
        decoder.append(
            id, skipSpecialTokens: skipSpecialTokens, isFirst: &isFirst, to: &pending)
        let count = pending.count - UTF8Scan.incompleteSuffixLength(pending)
        defer { pending.removeFirst(count) }
        return String(decoding: pending[..<count], as: UTF8.self)
    }

    /// What still waits: nothing, or U+FFFD where the last character never became whole.
    public mutating func finish() -> String {
        defer { pending.removeAll() }
        return String(decoding: pending, as: UTF8.self)
    }
}
