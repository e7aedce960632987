import ForjaCore
import ForjaFormats
import Foundation
import Testing

/// Made by Tests/Fixtures/tokenizer/make.py with Hugging Face tokenizers.
let tokenizerFixtures =
    (#filePath as NSString).deletingLastPathComponent + "/../Fixtures/tokenizer/"

@Suite("Tokenizer ids equal Hugging Face's")
struct TokenizerCasesTests {
    private struct Case: Decodable {
        let tokenizer: String
        let text: String?
        let ids: [Int32]
        let withSpecialTokens: [Int32]?
        let decoded: String
        let decodedWithoutSpecialTokens: String?
    }

    private static let names = ["llama3", "gpt2", "qwen2", "smollm2", "characters"]

    private static func rows<Row: Decodable>(_ type: Row.Type, of path: String) throws -> [Row] {
        try Data(contentsOf: URL(fileURLWithPath: path)).split(separator: UInt8(ascii: "\n"))
            .map { try JSONDecoder().decode(type, from: Data($0)) }
    }

    private func tokenizer(_ name: String) throws -> Tokenizer {
        try Tokenizer(contentsOf: tokenizerFixtures + name + ".json")
    }

    @Test("encodes and decodes strings that break tokenizers", arguments: names)
    func equalsOracle(name: String) throws {
        let tokenizer = try tokenizer(name)
        let cases = try Self.rows(Case.self, of: tokenizerFixtures + "cases.jsonl")
            .filter { $0.tokenizer == name }
        #expect(cases.count > 100)
        // The second round finds its words remembered.
        for row in cases + cases {
            if let text = row.text {
                #expect(tokenizer.encode(text, addSpecialTokens: false) == row.ids, "\(text)")
            }
            if let text = row.text, let expected = row.withSpecialTokens {
                #expect(tokenizer.encode(text) == expected, "\(text)")
            }
            // Compared as bytes: equal Strings may differ in normalisation.
            #expect(Array(tokenizer.decode(row.ids).utf8) == Array(row.decoded.utf8))
            if let expected = row.decodedWithoutSpecialTokens {
                let decoded = tokenizer.decode(row.ids, skipSpecialTokens: true)
                #expect(Array(decoded.utf8) == Array(expected.utf8))
            }
        }
    }

    @Test("streams whole characters that add up to the decoded text", arguments: names)
    func streams(name: String) throws {
        let tokenizer = try tokenizer(name)
        for row in try Self.rows(Case.self, of: tokenizerFixtures + "cases.jsonl")
        where row.tokenizer == name {
            var decoder = tokenizer.makeStreamDecoder()
            var text = ""
            for id in row.ids {
                let piece = decoder.append(id)
                text.unicodeScalars.append(contentsOf: piece.unicodeScalars)
            }
            text.unicodeScalars.append(contentsOf: decoder.finish().unicodeScalars)
            #expect(Array(text.utf8) == Array(row.decoded.utf8))
        }
    }

    @Test("holds a character back until its last byte")
    func holdsBack() throws {
        let tokenizer = try tokenizer("llama3")
        let ids = tokenizer.encode("\u{1F680}", addSpecialTokens: false)
        #expect(ids.count == 4)
        var decoder = tokenizer.makeStreamDecoder()
        #expect(ids.map { decoder.append($0) } == ["", "", "", "\u{1F680}"])
        #expect(decoder.append(ids[0]) == "")
        #expect(decoder.finish() == "\u{FFFD}")
        #expect(decoder.finish() == "")
    }

    @Test("cuts around scalars of all kinds alike", arguments: names)
    func cutsAroundScalars(name: String) throws {
        var text: [UInt8] = []
        for value in [
            Array(UInt32(0xD)..<0x3100), Array(stride(from: 0x3100, to: 0x32400, by: 13)),
        ]
        .joined() {
            guard let scalar = Unicode.Scalar(value) else { continue }
            text += "a\(scalar)1 \(scalar).\n\(scalar)\u{323}".utf8
        }
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for id in try tokenizer(name).encode(
            String(decoding: text, as: UTF8.self), addSpecialTokens: false)
        {
            hash = (hash ^ UInt64(id)) &* 0x100_0000_01B3
        }
        let data = try Data(
            contentsOf: URL(fileURLWithPath: tokenizerFixtures + "fingerprints.json"))
        let expected = try JSONDecoder().decode([String: String].self, from: data)[name]
        let digits = String(hash, radix: 16)
        #expect(String(repeating: "0", count: 16 - digits.count) + digits == expected)
    }

    @Test("gives the same ids on many threads at once")
    func isThreadSafe() throws {
        let tokenizer = try tokenizer("llama3")
        let texts = try Self.rows(Case.self, of: tokenizerFixtures + "cases.jsonl")
            .compactMap(\.text)
        let expected = texts.map { tokenizer.encode($0) }
        DispatchQueue.concurrentPerform(iterations: 8) { _ in
            #expect(texts.map { tokenizer.encode($0) } == expected)
        }
    }

    @Test("stays fast on pieces of a million bytes")
    func takesLongPieces() throws {
        let tokenizer = try tokenizer("llama3")
        let text = String(repeating: " ", count: 1 << 19) + String(repeating: "the", count: 1 << 18)
        #expect(tokenizer.decode(tokenizer.encode(text, addSpecialTokens: false)) == text)
    }

    private struct RealCase: Decodable {
        let id: String
        let text: String
        let ids: [Int32]
    }

    /// A folder with `llama3/` and `smollm2/`, each with `tokenizer.json` and `cases.jsonl` of
    /// rows {id, text, ids}. Those vocabularies are too large, and one is not free, to be here.
    private static let realData = ProcessInfo.processInfo.environment["FORJA_TEST_DATA"]

    @Test(
        "reads the real vocabularies of Llama 3 and SmolLM2",
        .enabled(if: realData != nil, "FORJA_TEST_DATA names no folder of real tokenizers"),
        arguments: ["llama3", "smollm2"])
    func readsRealVocabularies(name: String) throws {
        let folder = try #require(Self.realData) + "/" + name
        let tokenizer = try Tokenizer(contentsOf: folder + "/tokenizer.json")
        for row in try Self.rows(RealCase.self, of: folder + "/cases.jsonl") {
            #expect(tokenizer.encode(row.text, addSpecialTokens: false) == row.ids, "\(row.id)")
            #expect(Array(tokenizer.decode(row.ids).utf8) == Array(row.text.utf8), "\(row.id)")
        }
    }
}
