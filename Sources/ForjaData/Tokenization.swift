import Dispatch
import ForjaCore
import ForjaFormats
import Foundation
import Synchronization

/// Turns text files into a token shard.
///
/// Files are memory-mapped and encoded in pieces on several threads; tokens are written in order,
/// so the shard does not depend on the number of threads, and a text larger than memory works.
/// Pieces end at places where the tokens are exactly those of encoding each document at once
/// (`TextCut`). The end-of-text token stands after every document.
public struct Tokenization: Sendable {
    /// How far the work is.
    public struct Progress: Sendable {
        public var bytesDone: Int
        public var bytesTotal: Int
        public var tokenCount: Int
        public var documentCount: Int
    }

    /// Names of the end-of-text token in open models, the commonest first.
    public static let endOfTextNames = ["<|endoftext|>", "<|end_of_text|>", "</s>"]

    private let tokenizer: Tokenizer
    private let tokenizerDigest: SHA256Digest
    private let endOfText: Int32?
    private let threads: Int
    private let pieceByteCount: Int
    private let rule: Tokenizer.CuttingRule

    /// - Parameters:
    ///   - tokenizer: Must be the one in the file that `tokenizerDigest` was taken from.
    ///   - endOfText: Token that ends a document; `nil`: the tokenizer's own, by `endOfTextNames`,
    ///     or none where it has none of these.
    ///   - threads: At least 1.
    public init(
        tokenizer: Tokenizer, tokenizerDigest: SHA256Digest, endOfText: Int32? = nil,
        threads: Int
    ) {
        self.init(
            tokenizer: tokenizer, tokenizerDigest: tokenizerDigest, endOfText: endOfText,
            threads: threads, pieceByteCount: 1 << 18)
    }

    package init(
        tokenizer: Tokenizer, tokenizerDigest: SHA256Digest, endOfText: Int32?, threads: Int,
        pieceByteCount: Int
    ) {
        self.tokenizer = tokenizer
        self.tokenizerDigest = tokenizerDigest
        self.endOfText = endOfText ?? Self.endOfTextNames.lazy.compactMap(tokenizer.id(of:)).first
        self.threads = max(1, threads)
        self.pieceByteCount = pieceByteCount
        rule = tokenizer.cuttingRule
    }

    /// Writes the shard of `sources`, in order.
    ///
    /// - Parameters:
    ///   - path: The shard's final name.
    ///   - sourceDigest: `TextSource.digest(of:)` where known already; `nil`: taken here.
    ///   - progress: Called now and then from the calling thread.
    /// - Throws: `.inputOutput` when a file cannot be read or written; `.invalidInput` naming the
    ///   file, and the line of a bad row, when there is no text.
    public func write(
        _ sources: [TextSource], to path: String, sourceDigest: SHA256Digest? = nil,
        progress: ((Progress) -> Void)? = nil
    ) throws(ForjaError) -> TokenShard {
        guard !sources.isEmpty else {
            throw ForjaError(.invalidInput, "no text files are given", fix: "name at least one")
        }
        var digest = sourceDigest
        if digest == nil { digest = try TextSource.digest(of: sources) }
        guard let digest else { preconditionFailure("set above") }
        let writer = try TokenShardWriter(
            path: path,
            header: .init(
                vocabularySize: tokenizer.vocabularySize, endOfText: endOfText,
                tokenizerDigest: tokenizerDigest, sourceDigest: digest))
        var state = Progress(bytesDone: 0, bytesTotal: 0, tokenCount: 0, documentCount: 0)
        for source in sources { state.bytesTotal += try MappedFile(path: source.path).count }

        for source in sources {
            var pieces = try TextPieces(source, targetByteCount: pieceByteCount, rule: rule)
            let documentsBefore = state.documentCount
            // A round holds four pieces a thread: enough to even out their times, and the bound
            // on memory.
            while true {
                var round: [TextPieces.Piece] = []
                while round.count < 4 * threads, let piece = pieces.next() { round.append(piece) }
                guard !round.isEmpty else { break }
                for encoded in encode(round, of: pieces) {
                    let (tokens, documents) = try encoded.get()
                    try writer.append(tokens)
                    state.documentCount += documents
                }
                state.bytesDone += round.reduce(0) { $0 + $1.range.count }
                for piece in round { pieces.file.release(piece.range) }
                state.tokenCount = writer.count
                progress?(state)
            }
            guard state.documentCount > documentsBefore else { throw TextPieces.empty(source.path) }
        }
        return try writer.finish()
    }

    private typealias Encoded = Result<(tokens: [Int32], documents: Int), ForjaError>

    /// Encodes the pieces on all threads; results stand in the order of the pieces.
    private func encode(_ pieces: [TextPieces.Piece], of source: TextPieces) -> [Encoded] {
        let results = Mutex<[Int: Encoded]>([:])
        let next = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: min(threads, pieces.count)) { _ in
            while true {
                let place = next.add(1, ordering: .relaxed).oldValue
                guard place < pieces.count else { break }
                let encoded = Result { () throws(ForjaError) in
                    try encode(pieces[place], of: source)
                }
                results.withLock { $0[place] = encoded }
            }
        }
        return results.withLock { results in pieces.indices.compactMap { results[$0] } }
    }

    private func encode(
        _ piece: TextPieces.Piece, of source: TextPieces
    ) throws(ForjaError) -> (tokens: [Int32], documents: Int) {
        try source.file.withUnsafeBytes { (bytes) throws(ForjaError) in
            switch piece {
            case .text(let range, let endsDocument):
                guard let text = String(validating: bytes[range], as: UTF8.self) else {
                    throw notUTF8(source.source.path, bytes: bytes, range: range)
                }
                var tokens = tokenizer.encode(text, addSpecialTokens: false)
                if endsDocument, let endOfText { tokens.append(endOfText) }
                return (tokens, endsDocument ? 1 : 0)
            case .rows(let range, let firstLine):
                return try encodeRows(
                    bytes[range], path: source.source.path, firstLine: firstLine)
            }
        }
    }

    private func encodeRows(
        _ rows: UnsafeRawBufferPointer.SubSequence, path: String, firstLine: Int
    ) throws(ForjaError) -> (tokens: [Int32], documents: Int) {
        var tokens: [Int32] = []
        var documents = 0
        try TextRows.forEach(in: rows, path: path, firstLine: firstLine) { text in
            tokens += tokenizer.encode(text, addSpecialTokens: false)
            if let endOfText { tokens.append(endOfText) }
            documents += 1
        }
        return (tokens, documents)
    }

    private func notUTF8(
        _ path: String, bytes: UnsafeRawBufferPointer, range: Range<Int>
    ) -> ForjaError {
        var iterator = bytes[range].makeIterator()
        var decoder = UTF8()
        var offset = range.lowerBound
        while case .scalarValue(let scalar) = decoder.decode(&iterator) {
            offset += UTF8.width(scalar)
        }
        return ForjaError(
            .invalidInput, "\(path) is not UTF-8: see byte \(offset)",
            fix: "convert it, for example with iconv -t UTF-8")
    }
}
