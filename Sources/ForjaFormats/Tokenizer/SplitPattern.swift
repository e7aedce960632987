/// The pre-tokeniser patterns in use by open models, each as a hand-written scanner.
///
/// A scanner gives the pieces that a backtracking engine finds for the pattern with behaviour
/// "Isolated". Each pattern matches everything or, for the digits, splits matches from the rest,
/// so a text is cut without gaps. Other patterns are refused: a general engine at this speed is a
/// project of its own, and a nearly right split gives silently wrong ids.
enum SplitPattern: Sendable, Equatable {
    /// Llama 3 (numbers in runs of up to 3) and Qwen2 (single numbers).
    case contractionsAnyCase(numberLimit: Int)
    /// GPT-2, and `ByteLevel` with its own pattern.
    case gpt2
    /// Numbers in runs of up to `limit`; `isRust` counts what Rust calls numeric.
    case numbers(limit: Int, isRust: Bool)

    /// Llama 3's pattern as it stands in its tokenizer.json.
    static let llama3 = pattern(numbers: "\\p{N}{1,3}")

    private static func pattern(numbers: String) -> String {
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\(numbers)"
            + "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
    }

    private static let known: [String: SplitPattern] = [
        llama3: .contractionsAnyCase(numberLimit: 3),
        pattern(numbers: "\\p{N}"): .contractionsAnyCase(numberLimit: 1),
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+": .gpt2,
        "\\p{N}": .numbers(limit: 1, isRust: false),
        "\\p{N}{1,3}": .numbers(limit: 3, isRust: false),
        "\\p{N}+": .numbers(limit: .max, isRust: false),
    ]

    /// The scanner for a regular expression; `nil` when there is none.
    init?(regex: String) {
        guard let pattern = Self.known[regex] else { return nil }
        self = pattern
    }

    /// End of the piece that starts at `start`.
    ///
    /// - Parameters:
    ///   - text: Valid UTF-8.
    ///   - start: Where a piece starts, before `end`.
    ///   - end: Where the text ends for the pattern.
    @inline(__always)
    func pieceEnd(in text: UnsafePointer<UInt8>, from start: Int, to end: Int) -> Int {
        let scanner = PieceScanner(text: text, end: end)
        switch self {
        case .contractionsAnyCase(let limit):
            return scanner.llamaPiece(from: start, numberLimit: limit)
        case .gpt2:
            return scanner.gpt2Piece(from: start)
        case .numbers(let limit, let isRust):
            return scanner.numberPiece(
                from: start, limit: limit, number: isRust ? [.number, .lateNumber] : .number)
        }
    }
}

/// Runs of classes in one text.
private struct PieceScanner {
    let text: UnsafePointer<UInt8>
    let end: Int
    let classes = ScalarClass.table

    private static let content: ScalarClass = [.letter, .number, .space]

    /// Class of the scalar at `position`, and where the next starts.
    @inline(__always)
    private func read(at position: Int) -> (ScalarClass, next: Int) {
        let scalar = decodeScalar(text, at: position)
        let value = Int(scalar.value)
        return (
            ScalarClass(rawValue: value < ScalarClass.tableCount ? classes[value] : 0),
            position + scalar.byteCount
        )
    }

    /// End of the longest run of scalars of `wanted` from `position`.
    @inline(__always)
    private func runEnd(of wanted: ScalarClass, from position: Int) -> Int {
        var position = position
        while position < end {
            let (found, next) = read(at: position)
            guard !found.isDisjoint(with: wanted) else { break }
            position = next
        }
        return position
    }

    /// End of the run of scalars that are neither letter, number nor space.
    @inline(__always)
    private func symbolRunEnd(from position: Int) -> Int {
        var position = position
        while position < end {
            let (found, next) = read(at: position)
            guard found.isDisjoint(with: Self.content) else { break }
            position = next
        }
        return position
    }

    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,limit}`
    /// `| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    func llamaPiece(from start: Int, numberLimit: Int) -> Int {
        let (first, second) = read(at: start)
        if first.contains(.letter) { return runEnd(of: .letter, from: second) }
        if first.contains(.number) {
            return numberRunEnd(from: second, limit: numberLimit - 1, number: .number)
        }
        if text[start] == UInt8(ascii: "'"),
            let end = contractionEnd(after: second, isAnyCase: true)
        {
            return end
        }
        var isSymbol = first.isDisjoint(with: Self.content)
        if second < end {
            let (next, third) = read(at: second)
            if next.contains(.letter), !first.contains(.newline) {
                return runEnd(of: .letter, from: third)
            }
            if text[start] == UInt8(ascii: " "), next.isDisjoint(with: Self.content) {
                isSymbol = true
            }
        }
        if isSymbol { return runEnd(of: .newline, from: symbolRunEnd(from: second)) }
        return spaceEnd(from: start, isEndingAtNewline: true)
    }

    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    func gpt2Piece(from start: Int) -> Int {
        if text[start] == UInt8(ascii: "'"),
            let end = contractionEnd(after: start + 1, isAnyCase: false)
        {
            return end
        }
        var (found, next) = read(at: start)
        if text[start] == UInt8(ascii: " "), next < end {
            let (after, third) = read(at: next)
            if !after.contains(.space) { (found, next) = (after, third) }
        }
        if found.contains(.letter) { return runEnd(of: .letter, from: next) }
        if found.contains(.number) { return runEnd(of: .number, from: next) }
        if found.contains(.space) { return spaceEnd(from: start, isEndingAtNewline: false) }
        return symbolRunEnd(from: next)
    }

    /// A run of up to `limit` numbers, or everything up to the next number.
    func numberPiece(from start: Int, limit: Int, number: ScalarClass) -> Int {
        let (first, second) = read(at: start)
        if !first.isDisjoint(with: number) {
            return numberRunEnd(from: second, limit: limit - 1, number: number)
        }
        var position = second
        while position < end {
            let (found, next) = read(at: position)
            guard found.isDisjoint(with: number) else { break }
            position = next
        }
        return position
    }

    private func numberRunEnd(from start: Int, limit: Int, number: ScalarClass) -> Int {
        var position = start
        var count = 0
        while position < end, count < limit {
            let (found, next) = read(at: position)
            guard !found.isDisjoint(with: number) else { break }
            position = next
            count += 1
        }
        return position
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+` at a space: up to the last newline of the run where
    /// `isEndingAtNewline`; else the run without its last space, which goes with what follows.
    private func spaceEnd(from start: Int, isEndingAtNewline: Bool) -> Int {
        var position = start
        var last = start
        var newlineEnd: Int?
        while position < end {
            let (found, next) = read(at: position)
            guard found.contains(.space) else { break }
            if found.contains(.newline) { newlineEnd = next }
            last = position
            position = next
        }
        if isEndingAtNewline, let newlineEnd { return newlineEnd }
        return position == end || last == start ? position : last
    }

    /// End of `s`, `t`, `re`, `ve`, `m`, `ll` or `d` at `position`, behind an apostrophe.
    private func contractionEnd(after position: Int, isAnyCase: Bool) -> Int? {
        guard position < end else { return nil }
        let fold: UInt8 = isAnyCase ? 0x20 : 0
        func letter(_ offset: Int) -> UInt8 {
            guard position + offset < end else { return 0 }
            let byte = text[position + offset]
            return (0x41...0x5A).contains(byte) ? byte | fold : byte
        }
        switch (letter(0), letter(1)) {
        case (UInt8(ascii: "s"), _), (UInt8(ascii: "t"), _), (UInt8(ascii: "m"), _),
            (UInt8(ascii: "d"), _):
            return position + 1
        case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")),
            (UInt8(ascii: "l"), UInt8(ascii: "l")):
            return position + 2
        // Case folding makes the long s, U+017F, an s. No other scalar folds to these letters.
        case (0xC5, 0xBF) where isAnyCase:
            return position + 2
        default:
            return nil
        }
    }
}
