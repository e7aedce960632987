import ForjaCore

/// The `model` of a `tokenizer.json`: its vocabulary and merges.
struct TokenizerModelFile {
    /// Token strings as the file spells them.
    var vocabulary = ByteStringTable()
    /// Id of each string of `vocabulary`.
    var ids: [Int32] = []
    /// One past the greatest id of the vocabulary.
    var idCount = 0
    /// Joined pairs: rank above, id of the joined token below, as `BytePairModel.merges`.
    var merges = PairTable()
    var unknownID: Int32?
    var isFusingUnknowns = false
    var isIgnoringMerges = false

    /// Ids are also row numbers of an embedding; this many rows are in no model.
    static let greatestID = (1 << 24) - 1

    init() {}

    /// Reads the object that `reader` stands at.
    init(
        _ reader: inout TokenizerJSONReader, _ bytes: UnsafeBufferPointer<UInt8>
    ) throws(ForjaError) {
        var options: [String: TokenizerJSONValue] = [:]
        var mergesPosition: Int?
        var hasVocabulary = false
        var model = TokenizerModelFile()
        try reader.readObject { (reader, key) throws(ForjaError) in
            switch key {
            case "vocab" where try reader.peek() == .object:
                try model.readVocabulary(&reader)
                hasVocabulary = true
            case "merges":
                // Merges name tokens, and the vocabulary may stand behind them.
                guard try reader.peek() == .array else {
                    throw TokenizerFile.damaged("the merges are not a list")
                }
                mergesPosition = reader.position
                try reader.skipContainer()
            default: options[key] = try reader.readValue()
            }
        }
        if let type = options["type"]?.string, type != "BPE" {
            throw TokenizerFile.unsupported("the model \(type)")
        }
        guard hasVocabulary, let mergesPosition else {
            throw TokenizerFile.damaged("the model lacks its vocabulary or merges")
        }
        try model.readOptions(options)
        var mergesReader = TokenizerJSONReader(bytes, position: mergesPosition)
        try model.readMerges(&mergesReader)
        self = model
    }

    private mutating func readVocabulary(
        _ reader: inout TokenizerJSONReader
    ) throws(ForjaError) {
        var vocabulary = ByteStringTable(minimumCapacity: 1 << 15)
        var ids: [Int32] = []
        try reader.readTokens { (reader, token) throws(ForjaError) in
            let id = try reader.readInteger()
            guard id >= 0, id <= Self.greatestID else {
                throw reader.failure("the id \(id) is not in 0 to \(Self.greatestID)")
            }
            let (index, isNew) = vocabulary.insert(token)
            if isNew { ids.append(Int32(id)) } else { ids[index] = Int32(id) }
        }
        idCount = Int(ids.max() ?? -1) + 1
        var isTaken = [Bool](repeating: false, count: idCount)
        for id in ids {
            guard !isTaken[Int(id)] else {
                throw TokenizerFile.damaged("two tokens of the vocabulary have id \(id)")
            }
            isTaken[Int(id)] = true
        }
        self.vocabulary = vocabulary
        self.ids = ids
    }

    private mutating func readOptions(
        _ options: [String: TokenizerJSONValue]
    ) throws(ForjaError) {
        for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
            let value = options[name] ?? .null
            guard value == .null || value == .string("") else {
                throw TokenizerFile.unsupported("BPE with \(name)")
            }
        }
        let dropout = options["dropout"] ?? .null
        guard dropout == .null || dropout == .number(0) else {
            throw TokenizerFile.unsupported(
                "BPE with dropout", fix: "set \"dropout\" to null in tokenizer.json")
        }
        guard options["byte_fallback"]?.boolean != true else {
            throw TokenizerFile.unsupported("BPE with byte_fallback")
        }
        isFusingUnknowns = options["fuse_unk"]?.boolean ?? false
        isIgnoringMerges = options["ignore_merges"]?.boolean ?? false
        if let unknown = options["unk_token"]?.string {
            guard let index = vocabulary.index(of: Array(unknown.utf8)) else {
                throw TokenizerFile.damaged("unk_token \(unknown) is not in the vocabulary")
            }
            unknownID = ids[index]
        }
    }

    private mutating func readMerges(_ reader: inout TokenizerJSONReader) throws(ForjaError) {
        var merges = PairTable(minimumCapacity: vocabulary.count)
        var rank = 0
        try reader.readArray { (reader) throws(ForjaError) in
            let left: [UInt8]
            let right: [UInt8]
            if try reader.peek() == .string {
                let line = try reader.readString()
                if line.starts(with: "#version".utf8) { return }
                let parts = line.split(
                    separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
                guard parts.count == 2 else {
                    throw reader.failure("merge \(rank + 1) is not two tokens")
                }
                (left, right) = (Array(parts[0]), Array(parts[1]))
            } else {
                var parts: [[UInt8]] = []
                try reader.readArray { (reader) throws(ForjaError) in
                    parts.append(try reader.readString())
                }
                guard parts.count == 2 else {
                    throw reader.failure("merge \(rank + 1) is not two tokens")
                }
                (left, right) = (parts[0], parts[1])
            }
            guard let leftID = id(of: left), let rightID = id(of: right),
                let joinedID = id(of: left + right)
            else {
                throw reader.failure(
                    "merge \(rank + 1) makes or uses a token that is not in the vocabulary")
            }
            merges[PairTable.key(leftID, rightID)] =
                UInt64(rank) << 32 | UInt64(UInt32(bitPattern: joinedID))
            rank += 1
        }
        self.merges = merges
    }

    private func id(of token: [UInt8]) -> Int32? {
        vocabulary.index(of: token).map { ids[$0] }
    }
}
