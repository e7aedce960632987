import ForjaCore
import ForjaFormats
import Foundation
import Testing

@Suite("tokenizer.json")
struct TokenizerFileTests {
    /// A tokenizer of four tokens with some parts replaced.
    private func file(
        model: String = "", vocabulary: String = #""a": 0, "b": 1, "ab": 2, "<s>": 3"#,
        merges: String = #"["a", "b"]"#, parts: String = ""
    ) -> String {
        """
        {"version": "1.0", \(parts.isEmpty ? "" : parts + ", ")
         "model": {"merges": [\(merges)], "vocab": {\(vocabulary)}\(model.isEmpty ? "" : ", " + model)}}
        """
    }

    private func tokenizer(_ json: String) throws -> Tokenizer {
        try Tokenizer(json: Data(json.utf8))
    }

    private func refusal(of json: String) -> ForjaError? {
        #expect(throws: ForjaError.self) { try tokenizer(json) }
    }

    @Test("reads merges that stand before the vocabulary")
    func readsMergesFirst() throws {
        let tokenizer = try tokenizer(file())
        #expect(tokenizer.encode("abba") == [2, 1, 0])
        #expect(tokenizer.vocabularySize == 4)
        #expect(tokenizer.specialTokenIDs == [])
    }

    @Test("keeps composed and decomposed spellings apart")
    func keepsSpellingsApart() throws {
        let tokenizer = try tokenizer(
            file(
                vocabulary: #""\u00e9": 0, "e": 1, "\u0301": 2, "e\u0301": 3"#,
                merges: #""e \#u{301}""#))
        #expect(tokenizer.encode("\u{E9}e\u{301}") == [0, 3])
        #expect(tokenizer.id(of: "\u{E9}") == 0)
        #expect(tokenizer.id(of: "e\u{301}") == 3)
        #expect(tokenizer.token(of: 3).map { Array($0.utf8) } == Array("e\u{301}".utf8))
        #expect(tokenizer.token(of: 4) == nil)
        #expect(tokenizer.token(of: -1) == nil)
    }

    @Test("reads escapes, also surrogate pairs")
    func readsEscapes() throws {
        let tokenizer = try tokenizer(
            file(vocabulary: #""\ud83d\ude80": 0, "\n\t\"\\\/\b\f\r": 1, "\u4E2d": 2"#, merges: ""))
        #expect(tokenizer.token(of: 0) == "\u{1F680}")
        #expect(tokenizer.token(of: 1) == "\n\t\"\\/\u{8}\u{C}\r")
        #expect(tokenizer.token(of: 2) == "中")
    }

    @Test(
        "refuses what it does not know, by name",
        arguments: [
            (#""normalizer": {"type": "Lowercase"}"#, "", "Lowercase"),
            (
                #""normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "NFKC"}]}"#,
                "", "NFKC"
            ),
            (#""pre_tokenizer": {"type": "Metaspace"}"#, "", "Metaspace"),
            (
                #""pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\w+"}, "behavior": "Isolated", "invert": false}"#,
                "", #"\w+"#
            ),
            (
                #""pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\p{N}"}, "behavior": "Removed", "invert": false}"#,
                "", "Removed"
            ),
            (
                #""pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "Isolated", "invert": false}"#,
                "", "string pattern"
            ),
            (
                #""pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "Digits"}]}"#,
                "", "Digits after ByteLevel"
            ),
            (#""post_processor": {"type": "BertProcessing"}"#, "", "BertProcessing"),
            (
                #""post_processor": {"type": "TemplateProcessing", "single": [], "special_tokens": {}}"#,
                "", "template"
            ),
            (#""decoder": {"type": "WordPiece"}"#, "", "WordPiece"),
            (
                #""decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteLevel"}]}"#,
                "", "ByteLevel"
            ),
            (#""truncation": {"max_length": 5}"#, "", "truncation"),
            (#""padding": {}"#, "", "padding"),
            ("", #""byte_fallback": true"#, "byte_fallback"),
            ("", #""dropout": 0.1"#, "dropout"),
            ("", #""continuing_subword_prefix": "\#u{23}\#u{23}""#, "continuing_subword_prefix"),
            ("", #""end_of_word_suffix": "</w>""#, "end_of_word_suffix"),
            ("", #""type": "WordPiece""#, "WordPiece"),
        ])
    func refusesByName(parts: String, model: String, name: String) throws {
        let error = try #require(refusal(of: file(model: model, parts: parts)))
        #expect(error.code == .invalidInput)
        #expect(error.message.contains(name), "\(error)")
        #expect(error.fix != nil)
    }

    @Test("refuses files that contradict themselves")
    func refusesContradictions() throws {
        for json in [
            file(vocabulary: #""a": 0, "b": 0, "ab": 2"#),
            file(vocabulary: #""a": 0, "b": -1, "ab": 2"#),
            file(vocabulary: #""a": 0, "b": 99999999999, "ab": 2"#),
            file(vocabulary: #""a": 0, "b": 1.5, "ab": 2"#),
            file(vocabulary: #""a": 0, "b": 1"#),
            file(merges: #""a  b""#),
            file(merges: #"["a"]"#),
            file(merges: #"["b", "a"]"#),
            file(model: #""unk_token": "<unk>""#),
            file(parts: #""added_tokens": [{"id": 5, "content": "<t>", "special": true}]"#),
            file(parts: #""added_tokens": [{"id": 1, "content": "<s>", "special": true}]"#),
            file(parts: #""added_tokens": [{"id": 4, "content": ""}]"#),
            file(vocabulary: #""\ud83d": 0"#, merges: ""),
            "{}", "", "[]", "null", #"{"model": {}}"#, file() + "x",
            String(repeating: "[", count: 100_000), #"{"a": "# + String(repeating: "[", count: 999),
        ] {
            let error = try #require(refusal(of: json), "\(json)")
            #expect(error.code == .damagedFile, "\(error)")
        }
    }

    @Test("never crashes on damaged files")
    func survivesDamage() throws {
        let original = try Data(contentsOf: URL(fileURLWithPath: tokenizerFixtures + "qwen2.json"))
        let random = CounterRandom(seed: 7, purpose: .data)
        for round in UInt64(0)..<400 {
            var bytes = Data(original)
            for change in 0...(round % 3) {
                let words = random.words(at: round << 8 | UInt64(change))
                let place = Int(words.x) % bytes.count
                switch words.y % 3 {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: words.z)
                case 1: bytes.removeSubrange(place..<min(bytes.count, place + 3))
                default: bytes = bytes.prefix(max(1, place))
                }
            }
            if let tokenizer = try? Tokenizer(json: bytes) {
                let ids = tokenizer.encode("The king's 12 <L> caf\u{E9}\r\n\u{1F680}")
                _ = tokenizer.decode(ids)
            }
        }
    }

    @Test("names the file in its errors")
    func namesFile() throws {
        let directory = try ScratchDirectory()
        try AtomicFile.write("{", to: directory["tokenizer.json"])
        for name in ["tokenizer.json", "absent.json"] {
            let error = #expect(throws: ForjaError.self) {
                try Tokenizer(contentsOf: directory[name])
            }
            #expect(error?.message.contains(directory[name]) == true)
        }
    }

    @Test("writes the bytes it read")
    func writesBack() throws {
        let directory = try ScratchDirectory()
        let source = tokenizerFixtures + "gpt2.json"
        try Tokenizer(contentsOf: source).write(to: directory["tokenizer.json"])
        #expect(try directory.names == ["tokenizer.json"])
        #expect(
            FileManager.default.contentsEqual(atPath: source, andPath: directory["tokenizer.json"]))
    }

    @Test("describes itself to transformers")
    func describesItself() throws {
        let tokenizer = try Tokenizer(contentsOf: tokenizerFixtures + "llama3.json")
        let text = try tokenizer.configuration(
            endOfText: "<|end_of_text|>", beginningOfText: "<|begin_of_text|>", maximumLength: 512)
        let json = try #require(
            JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: any Sendable])
        #expect(json["tokenizer_class"] as? String == "PreTrainedTokenizerFast")
        #expect(json["eos_token"] as? String == "<|end_of_text|>")
        #expect(json["bos_token"] as? String == "<|begin_of_text|>")
        #expect(json["model_max_length"] as? Int == 512)
        #expect(json["clean_up_tokenization_spaces"] as? Bool == false)
        #expect(throws: ForjaError.self) {
            try tokenizer.configuration(endOfText: "<eos>", maximumLength: 512)
        }
    }
}
