import ForjaCore
import ForjaData
import ForjaFormats
import Foundation
import Testing

@Suite("Tokenisation")
struct TokenizationTests {
    /// Text with every kind of white space, punctuation and script at every distance, from a fixed
    /// seed.
    private func nastyText(seed: UInt64, partCount: Int) -> String {
        let parts = [
            "a", "ab", "b", "word", "12", "1234", ".", "...", "'s", "'", "\"", " ", "  ", "   ",
            "\n", "\n\n", "\n\n\n", "\r\n", "\r", "\t", "\t\t", " \n", "\n ", "\u{A0}", "\u{3000}",
            "\u{2028}", "。", "文字", "é", "e\u{301}", "ß", "\u{301}", "🙂", "\u{200D}", "<|",
            "<|endoftext|>", "|>", "-", "_",
        ]
        let random = CounterRandom(seed: seed, purpose: .sampling)
        return (0..<partCount).map { place in
            parts[Int(random.integer(below: UInt64(parts.count), at: UInt64(place)))]
        }.joined()
    }

    private func tokenization(
        _ tokenizer: Tokenizer, threads: Int = 2, pieceByteCount: Int = 1 << 18
    ) -> Tokenization {
        Tokenization(
            tokenizer: tokenizer, tokenizerDigest: SHA256Digest(of: "test"), endOfText: nil,
            threads: threads, pieceByteCount: pieceByteCount)
    }

    @Test("pieces give exactly the tokens of the whole", arguments: TestTokenizer.allCases)
    func piecesEqualTheWhole(kind: TestTokenizer) throws {
        let tokenizer = try kind.make()
        let directory = try ScratchDirectory()
        for seed in 1...12 as ClosedRange<UInt64> {
            let text = nastyText(seed: seed, partCount: 400)
            let path = try directory.write(text, to: "\(seed).txt")
            let source = try TextSource(path: path)
            var expected = tokenizer.encode(text, addSpecialTokens: false)
            expected.append(TestTokenizer.endOfText)
            for size in [1, 7, 64] {
                let shard = try tokenization(tokenizer, pieceByteCount: size)
                    .write([source], to: directory["shard"])
                #expect(try shard.tokens(in: 0..<shard.count) == expected, "seed \(seed)")
            }
            var pieces = try TextPieces(source, targetByteCount: 64, rule: tokenizer.cuttingRule)
            var count = 0
            while pieces.next() != nil { count += 1 }
            // Without a pre-tokeniser no cut is safe; with one the text does fall into pieces.
            #expect(kind == .wholeText ? count == 1 : count > 5)
        }
    }

    @Test("lines without a space are cut at line feeds")
    func cutsAtLineFeeds() throws {
        let directory = try ScratchDirectory()
        let line = "文字。\n"
        let text = String(repeating: line, count: 100)
        let source = try TextSource(path: directory.write(text, to: "a.txt"))
        var pieces = try TextPieces(
            source, targetByteCount: 50, rule: TestTokenizer.llama3.make().cuttingRule)
        var sizes: [Int] = []
        while let piece = pieces.next() { sizes.append(piece.range.count) }
        #expect(sizes == [Int](repeating: 50, count: 20))
        #expect(sizes.allSatisfy { $0 % line.utf8.count == 0 })
    }

    @Test("documents end with the end-of-text token, in order, on any number of threads")
    func joinsDocuments() throws {
        let tokenizer = try TestTokenizer.llama3.make()
        let directory = try ScratchDirectory()
        let texts = (1...60).map { nastyText(seed: UInt64($0), partCount: 30) + "x" }
        let rows = try texts.map {
            String(decoding: try JSONEncoder().encode(["text": $0]), as: UTF8.self)
        }
        let sources = try [
            TextSource(path: directory.write(texts[0], to: "a.txt")),
            TextSource(path: directory.write(rows.joined(separator: "\n\n"), to: "b.jsonl")),
        ]
        let expected = ([texts[0]] + texts).flatMap {
            tokenizer.encode($0, addSpecialTokens: false) + [TestTokenizer.endOfText]
        }
        for threads in [1, 2, 5] {
            var last: Tokenization.Progress?
            let shard = try tokenization(tokenizer, threads: threads, pieceByteCount: 100)
                .write(sources, to: directory["shard"]) { last = $0 }
            #expect(try shard.tokens(in: 0..<shard.count) == expected)
            #expect(shard.endOfText == TestTokenizer.endOfText)
            #expect(last?.documentCount == 61)
            #expect(last?.tokenCount == shard.count)
            #expect(last?.bytesDone == last?.bytesTotal)
        }
    }

    @Test(
        "a bad row is named by line",
        arguments: [
            ("{\"text\": \"a\"}\n\n{\"txt\": \"b\"}", 3), ("{\"text\": \"a\"}\n{\"text\": 5}", 2),
            ("{\"text\": \"a\"}\n{\"text\": \"b\"", 2), ("\"text\"", 1), ("{\"text\": \"\"}", 1),
            ("{\"text\": \"\\ud800\"}", 1),
        ])
    func namesBadRow(rows: String, line: Int) throws {
        let directory = try ScratchDirectory()
        let path = try directory.write(rows, to: "rows.jsonl")
        let tokenizer = try TestTokenizer.gpt2.make()
        for size in [1, 1000] {
            let error = #expect(throws: ForjaError.self) {
                try tokenization(tokenizer, pieceByteCount: size)
                    .write([TextSource(path: path)], to: directory["shard"])
            }
            #expect(error?.message.contains("\(path):\(line) ") == true, "\(error?.message ?? "")")
            #expect(!FileManager.default.fileExists(atPath: directory["shard"]))
            // Training a tokenizer reads the same rows.
            let training = #expect(throws: ForjaError.self) {
                var trainer = TokenizerTrainer(threadCount: 1)
                try trainer.add(TextSource(path: path))
            }
            #expect(training?.message == error?.message)
            #expect(training?.fix == error?.fix)
        }
    }

    @Test("a tokenizer learns the text of JSONL rows and nothing around it")
    func trainsOnRows() throws {
        let directory = try ScratchDirectory()
        let path = try directory.write(
            "{\"text\": \"b\\u0061b\", \"id\": 7}\r\n\n{\"text\": \"c\"}", to: "rows.jsonl")
        var trainer = TokenizerTrainer(threadCount: 1)
        try trainer.add(TextSource(path: path))
        let tokenizer = try trainer.characterTokenizer()
        #expect(tokenizer.vocabularySize == 3)
        #expect(tokenizer.encode("abc", addSpecialTokens: false) == [0, 1, 2])
    }

    @Test("a missing or empty file, packed data and other encodings are refused by name")
    func refusesUnusableFiles() throws {
        let directory = try ScratchDirectory()
        let tokenizer = try TestTokenizer.gpt2.make()
        func message(_ source: TextSource) -> String? {
            #expect(throws: ForjaError.self) {
                try tokenization(tokenizer).write([source], to: directory["shard"])
            }?.message
        }
        let missing = try TextSource(path: directory["none.txt"])
        #expect(message(missing)?.contains("none.txt") == true)
        for (name, text) in [("empty.txt", ""), ("blank.jsonl", "\n \n")] {
            let empty = try TextSource(path: directory.write(text, to: name))
            #expect(message(empty)?.contains("\(name) holds no text") == true)
            let training = #expect(throws: ForjaError.self) {
                var trainer = TokenizerTrainer(threadCount: 1)
                try trainer.add(empty)
            }
            #expect(training?.message == message(empty))
        }
        try AtomicFile.write([0x61, 0x20, 0xC3, 0xA9, 0xE9, 0x20], to: directory["latin.txt"])
        let latin = try TextSource(path: directory["latin.txt"])
        #expect(message(latin)?.contains("latin.txt is not UTF-8: see byte 4") == true)
        #expect(throws: ForjaError.self) { try TextSource(path: "a.txt.gz") }
        #expect(throws: ForjaError.self) {
            try tokenization(tokenizer).write([], to: directory["shard"])
        }
    }
}
