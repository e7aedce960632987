import ForjaCore
import Foundation

/// Makes a tokenizer from text: byte-level BPE, or one token per character.
///
///     var trainer = TokenizerTrainer()
///     try trainer.add(contentsOf: "corpus.txt")
///     let tokenizer = try trainer.bytePairTokenizer(vocabularySize: 4096)
///
/// Only the distinct words of the text stay in memory, so the text may be larger. The result
/// depends on the text alone: not on the number of threads, nor on how the text was divided into
/// calls, as long as each document or file stays one. Special tokens that stand in the text count
/// as ordinary text.
public struct TokenizerTrainer: Sendable {
    private var words = WordCounts()
    /// Documents that wait to be counted together, end to end, and where each ends.
    private var pending: [UInt8] = []
    private var pendingEnds: [Int] = []
    private let threadCount: Int

    private static let pendingLimit = 1 << 24

    /// - Parameter threadCount: Threads that count words; all cores when `nil`.
    public init(threadCount: Int? = nil) {
        self.threadCount = max(1, threadCount ?? ProcessInfo.processInfo.activeProcessorCount)
    }

    /// Adds a document.
    public mutating func add(_ document: String) {
        pending.append(contentsOf: document.utf8)
        pendingEnds.append(pending.count)
        guard pending.count >= Self.pendingLimit else { return }
        countPending(into: &words)
        pending.removeAll(keepingCapacity: true)
        pendingEnds.removeAll(keepingCapacity: true)
    }

    /// Adds a file of text as one document; it is mapped, not read.
    ///
    /// - Throws: `.inputOutput` when the file cannot be read; `.damagedFile` naming the first byte
    ///   that is not UTF-8.
    public mutating func add(contentsOf path: String) throws(ForjaError) {
        let file = try MappedFile(path: path, access: .sequential)
        defer { withExtendedLifetime(file) {} }
        do {
            try words.add(
                file.unsafeBytes.bindMemory(to: UInt8.self), documentEnds: [file.count],
                threadCount: threadCount)
        } catch {
            var error = error
            error.message = "\(path): \(error.message)"
            throw error
        }
    }

    /// Byte-level BPE with Llama 3's pre-tokenizer.
    ///
    /// Ids: the special tokens, the 256 bytes in the order of their spelling, then the merges from
    /// the most frequent down; ties as `BytePairTraining` says. Any text can be encoded.
    ///
    /// - Parameters:
    ///   - vocabularySize: Tokens wanted, all kinds together. A small text may run out of pairs:
    ///     look at the result's `vocabularySize`.
    ///   - specialTokens: Each once, of two characters or more. Letters such as "é" spell a byte
    ///     in a byte-level vocabulary and would be decoded to it: they are refused.
    /// - Throws: `.invalidInput` for special tokens that cannot be or a vocabulary too small for
    ///   them and the bytes.
    public func bytePairTokenizer(
        vocabularySize: Int, specialTokens: [String] = ["<|end_of_text|>"]
    ) throws(ForjaError) -> Tokenizer {
        for token in specialTokens {
            let bytes = Array(token.utf8)
            guard bytes.count > 1, ByteAlphabet.bytes(of: bytes) ?? bytes == bytes else {
                throw ForjaError(
                    .invalidInput,
                    "the special token \(jsonQuoted(token)) is too short or spells bytes",
                    fix: "use two ASCII characters or more, such as <|end_of_text|>")
            }
        }
        let leastSize = specialTokens.count + 256
        guard vocabularySize >= leastSize, vocabularySize <= TokenizerModelFile.greatestID + 1
        else {
            throw ForjaError(
                .invalidInput,
                "a vocabulary of \(vocabularySize) tokens cannot hold 256 bytes and "
                    + "\(specialTokens.count) special tokens, or is larger than any embedding",
                fix: "use at least \(leastSize), for example 4096")
        }
        // Spellings by id, and the other way round: a merge may make a token that exists.
        var spellings = ByteStringTable(minimumCapacity: vocabularySize)
        for token in specialTokens {
            guard spellings.insert(Array(token.utf8)).isNew else {
                throw ForjaError(
                    .invalidInput, "the special token \(token) is given twice", fix: "give it once")
            }
        }
        for scalar in ByteAlphabet.scalars.sorted() {
            _ = spellings.insert(Array(UTF8.encode(scalar)!))
        }
        let byteIDs = ByteAlphabet.scalars.map { scalar in
            Int32(spellings.insert(Array(UTF8.encode(scalar)!)).index)
        }
        var training = BytePairTraining(countedWords, byteIDs: byteIDs)
        var merges: [(left: Int32, right: Int32)] = []
        while spellings.count < vocabularySize, let (left, right) = training.nextPair() {
            let joined = Array(spellings[Int(left)]) + Array(spellings[Int(right)])
            training.join(left, right, into: Int32(spellings.insert(joined).index))
            merges.append((left, right))
        }
        let writer = TokenizerWriter(
            tokens: (0..<spellings.count).map { String(decoding: spellings[$0], as: UTF8.self) },
            merges: merges, specialTokenCount: specialTokens.count, isByteLevel: true)
        return try Tokenizer(bytes: Array(writer.json.utf8))
    }

    /// One token for each character of the text, ascending by code point, and nothing else; a
    /// character that was not seen is dropped in encoding. Characters are Unicode scalars.
    ///
    /// - Throws: `.invalidInput` when there was no text.
    public func characterTokenizer() throws(ForjaError) -> Tokenizer {
        let words = countedWords.words
        var seen: Set<Unicode.Scalar> = []
        for index in 0..<words.count {
            seen.formUnion(String(decoding: words[index], as: UTF8.self).unicodeScalars)
        }
        guard !seen.isEmpty else {
            throw ForjaError(
                .invalidInput, "no text to make a vocabulary from", fix: "check the input files")
        }
        let writer = TokenizerWriter(tokens: seen.sorted().map(String.init), isByteLevel: false)
        return try Tokenizer(bytes: Array(writer.json.utf8))
    }

    private var countedWords: WordCounts {
        var words = words
        countPending(into: &words)
        return words
    }

    private func countPending(into words: inout WordCounts) {
        pending.withUnsafeBufferPointer { text in
            do {
                try words.add(text, documentEnds: pendingEnds, threadCount: threadCount)
            } catch {
                preconditionFailure("a String is UTF-8")
            }
        }
    }
}
