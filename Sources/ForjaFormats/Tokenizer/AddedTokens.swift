/// Tokens that are found in the text before anything else is done to it, such as
/// `<|end_of_text|>`.
struct AddedTokens: Sendable {
    /// One added token as the file describes it.
    struct Token: Sendable {
        var id: Int32
        /// UTF-8 to look for and to decode to.
        var content: [UInt8]
        var isSpecial: Bool
        /// Looked for after normalisation instead of before.
        var isNormalized: Bool
        /// Not taken beside a letter, mark, digit or connector.
        var isSingleWord: Bool
        /// Takes the spaces before it.
        var stripsLeft: Bool
        /// Takes the spaces after it.
        var stripsRight: Bool
    }

    /// A stretch of text, or a token found in it.
    enum Segment {
        case text(Range<Int>)
        case token(Int32)
    }

    private struct Node: Sendable {
        var byte: UInt8
        var firstChild: Int32 = -1
        var nextSibling: Int32 = -1
        var token: Int32 = -1
    }

    let tokens: [Token]
    private var nodes = [Node(byte: 0)]
    private var startsToken = [Bool](repeating: false, count: 256)

    init(_ tokens: [Token]) {
        self.tokens = tokens
        for (index, token) in tokens.enumerated() {
            startsToken[Int(token.content[0])] = true
            var node = 0
            for byte in token.content { node = child(of: node, byte) ?? addChild(to: node, byte) }
            nodes[node].token = Int32(index)
        }
    }

    var isEmpty: Bool { tokens.isEmpty }

    /// Calls `body` with the stretches and tokens of valid UTF-8, in order. Of the tokens that
    /// start at one place the longest is taken.
    func forEachSegment(
        in text: UnsafeBufferPointer<UInt8>, _ body: (Segment) -> Void
    ) {
        guard let base = text.baseAddress, !text.isEmpty else { return }
        var done = 0
        var position = 0
        while !tokens.isEmpty, position < text.count {
            guard startsToken[Int(text[position])], let (index, end) = match(text, at: position)
            else {
                position += 1
                continue
            }
            let token = tokens[index]
            let isTaken =
                !token.isSingleWord
                || !(endsWithWord(base, position) || startsWithWord(base, end, text.count))
            if isTaken {
                let start =
                    token.stripsLeft
                    ? max(done, spaceStart(base, before: position)) : position
                if done < start { body(.text(done..<start)) }
                body(.token(token.id))
                done = token.stripsRight ? spaceEnd(base, from: end, to: text.count) : end
            }
            // A refused token is passed over whole: what starts inside it is not looked for.
            position = end
        }
        if done < text.count { body(.text(done..<text.count)) }
    }

    private func match(
        _ text: UnsafeBufferPointer<UInt8>, at start: Int
    ) -> (token: Int, end: Int)? {
        var node = 0
        var position = start
        var longest: (Int, Int)?
        while position < text.count, let next = child(of: node, text[position]) {
            node = next
            position += 1
            if nodes[node].token >= 0 { longest = (Int(nodes[node].token), position) }
        }
        return longest
    }

    private func child(of node: Int, _ byte: UInt8) -> Int? {
        var index = nodes[node].firstChild
        while index >= 0 {
            if nodes[Int(index)].byte == byte { return Int(index) }
            index = nodes[Int(index)].nextSibling
        }
        return nil
    }

    private mutating func addChild(to node: Int, _ byte: UInt8) -> Int {
        nodes.append(Node(byte: byte, nextSibling: nodes[node].firstChild))
        nodes[node].firstChild = Int32(nodes.count - 1)
        return nodes.count - 1
    }

    private func endsWithWord(_ text: UnsafePointer<UInt8>, _ end: Int) -> Bool {
        guard end > 0 else { return false }
        let value = decodeScalar(text, at: scalarStart(text, before: end)).value
        return Unicode.Scalar(value).map(ScalarClass.isWord) ?? false
    }

    private func startsWithWord(_ text: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Bool {
        guard start < end else { return false }
        return Unicode.Scalar(decodeScalar(text, at: start).value).map(ScalarClass.isWord) ?? false
    }

    private func spaceStart(_ text: UnsafePointer<UInt8>, before end: Int) -> Int {
        var position = end
        while position > 0 {
            let start = scalarStart(text, before: position)
            guard isSpace(decodeScalar(text, at: start).value) else { break }
            position = start
        }
        return position
    }

    private func spaceEnd(_ text: UnsafePointer<UInt8>, from start: Int, to end: Int) -> Int {
        var position = start
        while position < end {
            let scalar = decodeScalar(text, at: position)
            guard isSpace(scalar.value) else { break }
            position += scalar.byteCount
        }
        return position
    }

    private func isSpace(_ value: UInt32) -> Bool {
        Int(value) < ScalarClass.tableCount
            && ScalarClass(rawValue: ScalarClass.table[Int(value)]).contains(.space)
    }
}
