/// Cuts text into the pieces that merges never cross.
struct PreTokenizer: Sendable {
    enum Stage: Sendable, Equatable {
        case split(SplitPattern)
        /// Puts a space before a piece that does not start with one.
        case prefixSpace
    }

    var stages: [Stage] = []
    /// Whether tokens are spelt in the byte alphabet (`ByteLevel`) and not in characters.
    var isByteLevel = false

    /// Calls `body` with each piece of valid UTF-8, in order; the pointers are valid during the call.
    func forEachPiece(
        in text: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Void
    ) {
        guard let base = text.baseAddress, !text.isEmpty else { return }
        split(base, 0, text.count, stage: 0, body)
    }

    private func split(
        _ text: UnsafePointer<UInt8>, _ start: Int, _ end: Int, stage: Int,
        _ body: (UnsafeBufferPointer<UInt8>) -> Void
    ) {
        guard stage < stages.count else {
            body(UnsafeBufferPointer(start: text + start, count: end - start))
            return
        }
        switch stages[stage] {
        case .split(let pattern):
            // The pattern sees only its piece: what lies around it is another text.
            let piece = text + start
            let count = end - start
            let isLast = stage + 1 == stages.count
            var position = 0
            while position < count {
                let next = pattern.pieceEnd(in: piece, from: position, to: count)
                if isLast {
                    body(UnsafeBufferPointer(start: piece + position, count: next - position))
                } else {
                    split(piece, position, next, stage: stage + 1, body)
                }
                position = next
            }
        case .prefixSpace where text[start] != UInt8(ascii: " "):
            var spaced: [UInt8] = [UInt8(ascii: " ")]
            spaced.append(contentsOf: UnsafeBufferPointer(start: text + start, count: end - start))
            spaced.withUnsafeBufferPointer { bytes in
                split(bytes.baseAddress!, 0, bytes.count, stage: stage + 1, body)
            }
        case .prefixSpace:
            split(text, start, end, stage: stage + 1, body)
        }
    }
}
