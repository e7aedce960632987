import ForjaCore
import Foundation

/// Text to token ids and back, as a Hugging Face `tokenizer.json` says.
///
/// Covers byte-level BPE (Llama 3, GPT-2, Qwen2, SmolLM2 and what `TokenizerTrainer` makes) and
/// BPE over characters. Ids equal those of Hugging Face `tokenizers` exactly; a file with a part
/// that is not covered is refused by name. Safe to use from many threads at once.
///
///     text → added tokens → normalizer → pre-tokenizer → BPE → post-processor → ids
public struct Tokenizer: Sendable {
    private let json: [UInt8]
    let rawTokens: AddedTokens
    let normalizedTokens: AddedTokens
    private let isComposing: Bool
    let preTokenizer: PreTokenizer
    private let model: BytePairModel
    private let prefix: [Int32]
    private let suffix: [Int32]
    private let decoder: TokenDecoder
    /// Token strings as the file spells them; `vocabularyIDs` has the id of each.
    private let vocabulary: ByteStringTable
    private let vocabularyIDs: [Int32]
    /// Index in `vocabulary` by id; -1 where no token has the id.
    private let vocabularyIndex: [Int32]
    private let pool = EncodingScratchPool()

    /// Ids of the tokens marked special, ascending.
    public let specialTokenIDs: [Int32]

    /// One past the greatest id: the least number of embedding rows.
    public var vocabularySize: Int { vocabularyIndex.count }

    /// Reads a `tokenizer.json`.
    ///
    /// - Throws: `.inputOutput` when the file cannot be read, and as `init(json:)`.
    public init(contentsOf path: String) throws(ForjaError) {
        let file = try MappedFile(path: path, access: .sequential)
        do {
            try self.init(bytes: file.withUnsafeBytes { Array($0) })
        } catch {
            var error = error
            error.message = "\(path): \(error.message)"
            throw error
        }
    }

    /// Reads the contents of a `tokenizer.json`.
    ///
    /// - Throws: `.damagedFile` for what is not JSON or contradicts itself; `.invalidInput` naming
    ///   a part that is not supported.
    public init(json: Data) throws(ForjaError) {
        try self.init(bytes: Array(json))
    }

    init(bytes: [UInt8]) throws(ForjaError) {
        json = bytes
        let file = try bytes.withUnsafeBufferPointer { (bytes) throws(ForjaError) in
            try TokenizerFile(bytes)
        }
        rawTokens = AddedTokens(file.addedTokens.filter { !$0.isNormalized })
        normalizedTokens = AddedTokens(file.addedTokens.filter(\.isNormalized))
        isComposing = file.isComposing
        preTokenizer = file.preTokenizer
        model = BytePairModel(file)
        prefix = file.prefix
        suffix = file.suffix
        specialTokenIDs = file.addedTokens.filter(\.isSpecial).map(\.id).sorted()

        var vocabulary = file.model.vocabulary
        var ids = file.model.ids
        for token in file.addedTokens where vocabulary.insert(token.content).isNew {
            ids.append(token.id)
        }
        let size = max(file.model.idCount, Int(ids.max() ?? -1) + 1)
        var index = [Int32](repeating: -1, count: size)
        for (number, id) in ids.enumerated() { index[Int(id)] = Int32(number) }
        for id in prefix + suffix where Int(id) >= size || index[Int(id)] < 0 {
            throw TokenizerFile.damaged("the template adds id \(id), which no token has")
        }
        decoder = TokenDecoder(
            index.map { number in
                guard number >= 0 else { return nil }
                let token = Array(vocabulary[Int(number)])
                return file.decoding == .byteLevel ? ByteAlphabet.bytes(of: token) ?? token : token
            },
            specialIDs: specialTokenIDs,
            separator: file.decoding == .joinedBySpaces ? [UInt8(ascii: " ")] : [])
        self.vocabulary = vocabulary
        vocabularyIDs = ids
        vocabularyIndex = index
    }

    /// The ids of a text.
    ///
    /// Added tokens inside the text, special ones too, become their ids: text from strangers has
    /// to be cleaned of them by the caller.
    ///
    /// - Parameters:
    ///   - text: Any text; empty gives no ids but those of the post-processor.
    ///   - addSpecialTokens: Whether the post-processor adds its tokens, such as Llama 3's
    ///     `<|begin_of_text|>`.
    public func encode(_ text: String, addSpecialTokens: Bool = true) -> [Int32] {
        var ids = addSpecialTokens ? prefix : []
        var text = text
        text.withUTF8 { bytes in
            ids.reserveCapacity(ids.count + bytes.count / 4 + 4)
            pool.withScratch { scratch in
                rawTokens.forEachSegment(in: bytes) { segment in
                    switch segment {
                    case .token(let id): ids.append(id)
                    case .text(let range):
                        encodeRaw(UnsafeBufferPointer(rebasing: bytes[range]), scratch, &ids)
                    }
                }
            }
        }
        if addSpecialTokens { ids.append(contentsOf: suffix) }
        return ids
    }

    private func encodeRaw(
        _ text: UnsafeBufferPointer<UInt8>, _ scratch: EncodingScratch, _ ids: inout [Int32]
    ) {
        if isComposing, let composed = CanonicalComposition.composed(text) {
            composed.withUnsafeBufferPointer { encodeNormalized($0, scratch, &ids) }
        } else {
            encodeNormalized(text, scratch, &ids)
        }
    }

    private func encodeNormalized(
        _ text: UnsafeBufferPointer<UInt8>, _ scratch: EncodingScratch, _ ids: inout [Int32]
    ) {
        normalizedTokens.forEachSegment(in: text) { segment in
            switch segment {
            case .token(let id): ids.append(id)
            case .text(let range):
                preTokenizer.forEachPiece(in: UnsafeBufferPointer(rebasing: text[range])) { piece in
                    scratch.encode(piece, with: model, into: &ids)
                }
            }
        }
    }

    /// The text of ids.
    ///
    /// Bytes that form no character become U+FFFD; an id that no token has gives nothing.
    ///
    /// - Parameters:
    ///   - ids: Token ids.
    ///   - skipSpecialTokens: Whether special tokens are left out.
    public func decode(_ ids: [Int32], skipSpecialTokens: Bool = false) -> String {
        String(
            decoding: decodedBytes(ids, skipSpecialTokens: skipSpecialTokens), as: UTF8.self)
    }

    /// The bytes of ids, which need not be UTF-8: a token may end inside a character.
    public func decodedBytes(_ ids: [Int32], skipSpecialTokens: Bool = false) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(ids.count * 4)
        var isFirst = true
        for id in ids {
            decoder.append(
                id, skipSpecialTokens: skipSpecialTokens, isFirst: &isFirst, to: &bytes)
        }
        return bytes
    }

    /// A decoder for ids that arrive one at a time.
    public func makeStreamDecoder(skipSpecialTokens: Bool = false) -> StreamDecoder {
        StreamDecoder(decoder, skipSpecialTokens: skipSpecialTokens)
    }

    /// Id of a token spelt as in the file, such as `Ġthe` or `<|end_of_text|>`.
    public func id(of token: String) -> Int32? {
        vocabulary.index(of: Array(token.utf8)).map { vocabularyIDs[$0] }
    }

    /// Spelling of a token in the file; `nil` when no token has the id.
    public func token(of id: Int32) -> String? {
        guard id >= 0, id < vocabularyIndex.count, vocabularyIndex[Int(id)] >= 0 else { return nil }
        return String(decoding: vocabulary[Int(vocabularyIndex[Int(id)])], as: UTF8.self)
    }

    /// Writes the `tokenizer.json`, byte for byte as it was read or trained, whole or not at all.
    ///
    /// - Throws: `.inputOutput` naming the path.
    public func write(to path: String) throws(ForjaError) {
        try AtomicFile.write(json, to: path)
    }
}

extension BytePairModel {
    fileprivate init(_ file: TokenizerFile) {
        let vocabulary = file.model.vocabulary
        merges = file.model.merges
        unknownID = file.model.unknownID
        isFusingUnknowns = file.model.isFusingUnknowns
        if file.preTokenizer.isByteLevel {
            byteIDs = ByteAlphabet.scalars.map { scalar in
                vocabulary.index(of: Array(UTF8.encode(scalar)!)).map { file.model.ids[$0] } ?? -1
            }
        } else {
            for (index, id) in file.model.ids.enumerated() {
                let scalars = String(decoding: vocabulary[index], as: UTF8.self).unicodeScalars
                if let first = scalars.first, scalars.dropFirst().isEmpty {
                    characterIDs[first.value] = id
                }
            }
        }
        guard file.model.isIgnoringMerges else { return }
        wholePieces = ByteStringTable(minimumCapacity: vocabulary.count)
        for (index, id) in file.model.ids.enumerated() {
            let token = Array(vocabulary[index])
            let piece = file.preTokenizer.isByteLevel ? ByteAlphabet.bytes(of: token) : token
            // A token outside the byte alphabet, or an empty one, is no piece of any text.
            if let piece, wholePieces.insert(piece).isNew { wholePieceIDs.append(id) }
        }
    }
}
