import ForjaCore
import ForjaFormats
import Foundation
import Testing

@Suite("Tokenizer training")
struct TokenizerTrainerTests {
    private static let shakespeare =
        (#filePath as NSString).deletingLastPathComponent
        + "/../../examples/tinyshakespeare/input.txt"

    private struct File: Decodable {
        struct Model: Decodable {
            let vocab: [String: Int32]
            let merges: [[String]]
        }
        let model: Model

        init(_ path: String) throws {
            let data = try Data(contentsOf: URL(fileURLWithPath: path))
            self = try JSONDecoder().decode(File.self, from: data)
        }
    }

    /// The bytes of the `tokenizer.json`.
    private func written(_ tokenizer: Tokenizer) throws -> Data {
        let directory = try ScratchDirectory()
        try tokenizer.write(to: directory["tokenizer.json"])
        return try Data(contentsOf: URL(fileURLWithPath: directory["tokenizer.json"]))
    }

    @Test("finds the merges that Hugging Face's trainer finds")
    func equalsOracle() throws {
        let directory = try ScratchDirectory()
        var trainer = TokenizerTrainer()
        try trainer.add(contentsOf: Self.shakespeare)
        let tokenizer = try trainer.bytePairTokenizer(vocabularySize: 600)
        try tokenizer.write(to: directory["tokenizer.json"])
        let ours = try File(directory["tokenizer.json"]).model
        let theirs = try File(tokenizerFixtures + "trained.json").model
        #expect(ours.merges == theirs.merges)
        #expect(ours.vocab == theirs.vocab)
        #expect(tokenizer.vocabularySize == 600)
        #expect(tokenizer.specialTokenIDs == [0])
        let oracle = try Tokenizer(contentsOf: tokenizerFixtures + "trained.json")
        let text = "O Romeo, Romeo!\r\n\twherefore art thou 1597? \u{1F339}"
        #expect(tokenizer.encode(text) == oracle.encode(text))
    }

    @Test("does not depend on threads or on how documents are handed over")
    func isDeterministic() throws {
        // Over several shares of a worker, and in part without places to cut at.
        let text =
            try String(contentsOfFile: Self.shakespeare, encoding: .utf8)
            + String(repeating: "0123456789", count: 120_000) + "\nthe end the end\n"
        let directory = try ScratchDirectory()
        try AtomicFile.write(text, to: directory["text"])
        var results: [Data] = []
        for threadCount in [1, 2, 5] {
            var trainer = TokenizerTrainer(threadCount: threadCount)
            try trainer.add(contentsOf: directory["text"])
            results.append(try written(trainer.bytePairTokenizer(vocabularySize: 400)))
        }
        var trainer = TokenizerTrainer()
        trainer.add(text)
        results.append(try written(trainer.bytePairTokenizer(vocabularySize: 400)))
        #expect(Set(results).count == 1)
    }

    @Test("joins the pair with the lower ids when two are equally frequent")
    func breaksTies() throws {
        var trainer = TokenizerTrainer()
        trainer.add("dc")
        trainer.add("ab")
        trainer.add("ac")
        let tokenizer = try trainer.bytePairTokenizer(vocabularySize: 259)
        #expect(tokenizer.token(of: 257) == "ab")
        #expect(tokenizer.token(of: 258) == "ac")
    }

    @Test("counts overlapping pairs of one symbol right")
    func countsOverlaps() throws {
        var trainer = TokenizerTrainer()
        trainer.add("aaaaaaa")
        let tokenizer = try trainer.bytePairTokenizer(vocabularySize: 300)
        // aa, then aaaa, aaa out of what is left, then the whole word.
        #expect(
            (257..<Int32(tokenizer.vocabularySize)).map { tokenizer.token(of: $0) }.first == "aa")
        #expect(tokenizer.encode("aaaaaaa").count == 1)
        #expect(tokenizer.vocabularySize < 300)
    }

    @Test("any text comes back")
    func roundTrips() throws {
        var trainer = TokenizerTrainer()
        trainer.add("a little text")
        let tokenizer = try trainer.bytePairTokenizer(
            vocabularySize: 260, specialTokens: ["<|end|>", "<a b>"])
        #expect(tokenizer.specialTokenIDs == [0, 1])
        let text = "\0 caf\u{E9} e\u{301}\r\n \u{1F680}\u{FFFF} <|end|><a b>"
        #expect(Array(tokenizer.decode(tokenizer.encode(text)).utf8) == Array(text.utf8))
        #expect(tokenizer.encode("<|end|><a b>") == [0, 1])
        #expect(tokenizer.decode([1, 0], skipSpecialTokens: true) == "")
    }

    @Test("gives tiny Shakespeare 65 characters")
    func makesCharacters() throws {
        var trainer = TokenizerTrainer()
        try trainer.add(contentsOf: Self.shakespeare)
        let tokenizer = try trainer.characterTokenizer()
        #expect(tokenizer.vocabularySize == 65)
        #expect(tokenizer.specialTokenIDs == [])
        #expect(tokenizer.token(of: 0) == "\n")
        #expect(tokenizer.token(of: 64) == "z")
        let text = "First Citizen:\nBefore we proceed"
        #expect(tokenizer.encode(text).count == text.unicodeScalars.count)
        #expect(tokenizer.decode(tokenizer.encode(text)) == text)
        #expect(tokenizer.decode(tokenizer.encode("a\u{E9}b")) == "ab")
    }

    @Test("characters are scalars, sorted, in quotes where JSON needs them")
    func sortsCharacters() throws {
        var trainer = TokenizerTrainer()
        trainer.add("\u{1F680}\"\\\r\n\u{1}e\u{301}\u{E9}")
        let tokenizer = try trainer.characterTokenizer()
        #expect(
            (0..<Int32(tokenizer.vocabularySize)).map {
                tokenizer.token(of: $0)?.unicodeScalars.first
            }
                == ["\u{1}", "\n", "\r", "\"", "\\", "e", "\u{E9}", "\u{301}", "\u{1F680}"])
    }

    @Test("refuses sizes, tokens and texts that cannot be")
    func refuses() throws {
        var trainer = TokenizerTrainer()
        #expect(throws: ForjaError.self) { try trainer.characterTokenizer() }
        trainer.add("text")
        for (size, tokens) in [
            (256, ["<|end_of_text|>"]), (300, [""]), (300, ["a"]), (300, ["<|\u{E9}|>"]),
            (300, ["<a>", "<a>"]),
            (Int.max, ["<a>"]), (-1, []),
        ] {
            let error = #expect(throws: ForjaError.self) {
                try trainer.bytePairTokenizer(vocabularySize: size, specialTokens: tokens)
            }
            #expect(error?.code == .invalidInput)
        }
        let directory = try ScratchDirectory()
        try AtomicFile.write([0x61, 0x62, 0xFF, 0x63], to: directory["latin1"])
        let error = #expect(throws: ForjaError.self) {
            try trainer.add(contentsOf: directory["latin1"])
        }
        #expect(error?.message.contains("byte 2") == true)
    }
}
