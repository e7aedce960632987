import ForjaCore

/// The parts of a `tokenizer.json`, checked: whatever this reader does not know is refused by
/// name, since a part passed over would give ids that are nearly right.
struct TokenizerFile {
    var model = TokenizerModelFile()
    var addedTokens: [AddedTokens.Token] = []
    var isComposing = false
    var preTokenizer = PreTokenizer()
    /// What the post-processor puts around a text.
    var prefix: [Int32] = []
    var suffix: [Int32] = []
    var decoding = Decoding.joinedBySpaces

    enum Decoding {
        /// No decoder: Hugging Face puts a space between tokens.
        case joinedBySpaces
        case joined
        case byteLevel
    }

    /// - Throws: `.damagedFile` for what is not JSON or contradicts itself; `.invalidInput` naming
    ///   a part that is not supported.
    init(_ bytes: UnsafeBufferPointer<UInt8>) throws(ForjaError) {
        if let offset = UTF8Scan.firstInvalid(in: bytes) {
            throw TokenizerJSONReader(bytes, position: offset).failure("not UTF-8")
        }
        var parts: [String: TokenizerJSONValue] = [:]
        var model: TokenizerModelFile?
        var reader = TokenizerJSONReader(bytes)
        try reader.readObject { (reader, key) throws(ForjaError) in
            if key == "model", try reader.peek() == .object {
                model = try TokenizerModelFile(&reader, bytes)
            } else {
                parts[key] = try reader.readValue()
            }
        }
        try reader.finish()
        guard let model else { throw Self.damaged("it has no model") }
        self.model = model
        if let version = parts["version"], version != .string("1.0") {
            throw Self.unsupported("a version other than 1.0")
        }
        for part in ["truncation", "padding"] where parts[part] ?? .null != .null {
            throw Self.unsupported(part, fix: "set \"\(part)\" to null in tokenizer.json")
        }
        try readNormalizer(parts["normalizer"] ?? .null)
        try readPreTokenizer(parts["pre_tokenizer"] ?? .null)
        try readAddedTokens(parts["added_tokens"] ?? .null)
        try readPostProcessor(parts["post_processor"] ?? .null)
        decoding = try Self.decoding(parts["decoder"] ?? .null)
    }

    static func unsupported(_ part: String, fix: String? = nil) -> ForjaError {
        ForjaError(
            .invalidInput, "tokenizer.json uses \(part), which is not supported",
            fix: fix ?? "use a byte-level BPE tokenizer such as those of Llama 3, Qwen2 or SmolLM2")
    }

    static func damaged(_ message: String) -> ForjaError {
        ForjaError(
            .damagedFile, "tokenizer.json is damaged: \(message)",
            fix: "export or download the file again")
    }

    /// The members of a `Sequence` at any depth, or the part itself; empty for null.
    private static func flattened(
        _ part: TokenizerJSONValue, _ name: String, members: String
    ) throws(ForjaError) -> [(type: String, value: TokenizerJSONValue)] {
        if part == .null { return [] }
        guard let type = part["type"].string else { throw damaged("\(name) has no type") }
        guard type == "Sequence" else { return [(type, part)] }
        guard let elements = part[members].array else {
            throw damaged("\(name) Sequence has no \(members)")
        }
        var result: [(type: String, value: TokenizerJSONValue)] = []
        for element in elements {
            result += try flattened(element, name, members: members)
        }
        return result
    }

    private mutating func readNormalizer(_ part: TokenizerJSONValue) throws(ForjaError) {
        let normalizers = try Self.flattened(part, "normalizer", members: "normalizers")
        for (type, _) in normalizers where type != "NFC" {
            throw Self.unsupported("the normalizer \(type)")
        }
        isComposing = !normalizers.isEmpty
    }

    private mutating func readPreTokenizer(_ part: TokenizerJSONValue) throws(ForjaError) {
        for (type, value) in try Self.flattened(
            part, "pre_tokenizer", members: "pretokenizers")
        {
            guard !preTokenizer.isByteLevel else {
                throw Self.unsupported("the pre-tokenizer \(type) after ByteLevel")
            }
            switch type {
            case "Split": preTokenizer.stages.append(.split(try Self.splitPattern(value)))
            case "Digits":
                let isIndividual = value["individual_digits"].boolean ?? false
                preTokenizer.stages.append(
                    .split(.numbers(limit: isIndividual ? 1 : .max, isRust: true)))
            case "ByteLevel":
                if value["add_prefix_space"].boolean ?? true {
                    preTokenizer.stages.append(.prefixSpace)
                }
                if value["use_regex"].boolean ?? true { preTokenizer.stages.append(.split(.gpt2)) }
                preTokenizer.isByteLevel = true
            default: throw Self.unsupported("the pre-tokenizer \(type)")
            }
        }
    }

    private static func splitPattern(
        _ split: TokenizerJSONValue
    ) throws(ForjaError) -> SplitPattern {
        guard let regex = split["pattern"]["Regex"].string else {
            throw unsupported("the pre-tokenizer Split with a string pattern")
        }
        guard split["behavior"].string == "Isolated", split["invert"].boolean == false else {
            throw unsupported(
                "the pre-tokenizer Split with behavior \(split["behavior"].string ?? "none")"
                    + (split["invert"].boolean == true ? ", inverted" : ""))
        }
        guard let pattern = SplitPattern(regex: regex) else {
            throw unsupported("the pre-tokenizer Split with the pattern \(regex)")
        }
        return pattern
    }

    private mutating func readAddedTokens(_ part: TokenizerJSONValue) throws(ForjaError) {
        // The rule by which Hugging Face numbers added tokens, whatever the file says.
        var next = model.vocabulary.count
        var contents: Set<[UInt8]> = []
        for value in part.array ?? [] {
            guard let text = value["content"].string, !text.isEmpty,
                let id = value["id"].integer
            else { throw Self.damaged("an added token lacks its content or id") }
            let bytes = Array(text.utf8)
            guard contents.insert(bytes).inserted else {
                throw Self.damaged("the added token \(text) appears twice")
            }
            let expected: Int
            if let index = model.vocabulary.index(of: bytes) {
                expected = Int(model.ids[index])
            } else {
                expected = next
                next += 1
            }
            guard id == expected else {
                throw Self.damaged(
                    "the added token \(text) has id \(id) where the vocabulary makes it \(expected)"
                )
            }
            let isNormalized = value["normalized"].boolean ?? false
            let composed =
                isNormalized && isComposing
                ? bytes.withUnsafeBufferPointer(CanonicalComposition.composed) : nil
            addedTokens.append(
                AddedTokens.Token(
                    id: Int32(id), content: composed ?? bytes,
                    isSpecial: value["special"].boolean ?? false, isNormalized: isNormalized,
                    isSingleWord: value["single_word"].boolean ?? false,
                    stripsLeft: value["lstrip"].boolean ?? false,
                    stripsRight: value["rstrip"].boolean ?? false))
        }
    }

    private mutating func readPostProcessor(_ part: TokenizerJSONValue) throws(ForjaError) {
        var hasTemplate = false
        for (type, value) in try Self.flattened(part, "post_processor", members: "processors") {
            switch type {
            case "ByteLevel": break  // Moves offsets only.
            case "TemplateProcessing" where hasTemplate:
                throw Self.unsupported("a second TemplateProcessing")
            case "TemplateProcessing":
                try readTemplate(value)
                hasTemplate = true
            default: throw Self.unsupported("the post-processor \(type)")
            }
        }
    }

    private mutating func readTemplate(_ template: TokenizerJSONValue) throws(ForjaError) {
        var sequenceCount = 0
        for piece in template["single"].array ?? [] {
            if piece["Sequence"] != .null {
                guard piece["Sequence"]["id"].string == "A" else {
                    throw Self.unsupported("a single-text template with the sequence B")
                }
                sequenceCount += 1
            } else if let name = piece["SpecialToken"]["id"].string {
                guard let ids = template["special_tokens"][name]["ids"].array else {
                    throw Self.damaged("the template names \(name) without its ids")
                }
                for id in ids {
                    guard let id = id.integer, id >= 0, id <= TokenizerModelFile.greatestID else {
                        throw Self.damaged("the template gives \(name) an id that cannot be")
                    }
                    if sequenceCount == 0 {
                        prefix.append(Int32(id))
                    } else {
                        suffix.append(Int32(id))
                    }
                }
            } else {
                throw Self.damaged("the template has a piece of unknown kind")
            }
        }
        guard sequenceCount == 1 else {
            throw Self.unsupported("a template that does not hold the text once")
        }
    }

    private static func decoding(_ part: TokenizerJSONValue) throws(ForjaError) -> Decoding {
        if part == .null { return .joinedBySpaces }
        var decoding = Decoding.joined
        let decoders = try flattened(part, "decoder", members: "decoders")
        for (position, decoder) in decoders.enumerated() {
            switch decoder.type {
            case "Fuse": break
            case "ByteLevel" where position == 0: decoding = .byteLevel
            case "ByteLevel": throw unsupported("the decoder ByteLevel after another")
            default: throw unsupported("the decoder \(decoder.type)")
            }
        }
        return decoding
    }
}
