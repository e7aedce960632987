import ForjaCore
import ForjaData
import ForjaFormats
import Foundation
import Testing

@Suite("Token shards")
struct TokenShardTests {
    @Test("gives back its tokens in either width", arguments: [1 << 16, (1 << 16) + 1])
    func roundTrips(vocabularySize: Int) throws {
        let directory = try ScratchDirectory()
        let tokens: [Int32] = [0, 1, 65535, 256, 77]
        let shard = try directory.shard(tokens, vocabularySize: vocabularySize, endOfText: 77)
        #expect(shard.count == 5)
        #expect(shard.endOfText == 77)
        #expect(shard.header.tokenizerDigest == SHA256Digest(of: "test"))
        #expect(try shard.tokens(in: 0..<5) == tokens)
        #expect(try shard.tokens(in: 2..<4) == [65535, 256])
        #expect(try shard.tokens(in: 5..<5) == [])
        let size = try Data(contentsOf: URL(fileURLWithPath: shard.path)).count
        #expect(size == 128 + 5 * (vocabularySize == 1 << 16 ? 2 : 4))
    }

    @Test("a token outside the vocabulary is refused when written and when read")
    func refusesForeignTokens() throws {
        let directory = try ScratchDirectory()
        for token in [-1, 1000] as [Int32] {
            #expect(throws: ForjaError.self) { try directory.shard([5, token]) }
        }
        let shard = try directory.shard([1, 2, 3])
        var bytes = try Array(Data(contentsOf: URL(fileURLWithPath: shard.path)))
        bytes[129 + 2] = 0xFF
        try AtomicFile.write(bytes, to: shard.path)
        let damaged = try TokenShard(contentsOf: shard.path)
        #expect(try damaged.tokens(in: 0..<1) == [1])
        let error = #expect(throws: ForjaError.self) { try damaged.tokens(in: 0..<3) }
        #expect(error?.code == .damagedFile)
    }

    @Test("a damaged header is refused", arguments: [0, 8, 12, 16, 24, 31])
    func refusesDamagedHeader(place: Int) throws {
        let directory = try ScratchDirectory()
        let shard = try directory.shard([1, 2, 3])
        var bytes = try Array(Data(contentsOf: URL(fileURLWithPath: shard.path)))
        bytes[place] ^= 0x55
        if place == 24 { bytes[24...27] = [0, 0, 0, 0] }
        try AtomicFile.write(bytes, to: directory["bad"])
        let error = #expect(throws: ForjaError.self) {
            try TokenShard(contentsOf: directory["bad"])
        }
        #expect(error?.code == .damagedFile)
        for size in [0, 127, bytes.count - 1] {
            bytes = try Array(Data(contentsOf: URL(fileURLWithPath: shard.path)))
            try AtomicFile.write(Array(bytes.prefix(size)), to: directory["cut"])
            #expect(throws: ForjaError.self) { try TokenShard(contentsOf: directory["cut"]) }
        }
    }

    @Test("splits by tokens")
    func splits() throws {
        let directory = try ScratchDirectory()
        let shard = try directory.shard([Int32](repeating: 1, count: 101))
        #expect(try shard.split(fractions: [0.9]) == [0..<90, 90..<101])
        #expect(try shard.split(fractions: []) == [0..<101])
        #expect(try shard.split(fractions: [0.5, 0.25]) == [0..<50, 50..<75, 75..<101])
        for wrong in [[0.0], [1.0], [0.6, 0.4], [-0.1], [0.001], [.nan]] {
            #expect(throws: ForjaError.self) { try shard.split(fractions: wrong) }
        }
    }

    @Test("the entropy of token frequencies is in nats")
    func entropy() throws {
        let directory = try ScratchDirectory()
        let uniform = try directory.shard((0..<800).map { Int32($0 % 8) })
        #expect(abs(try uniform.unigramEntropy() - log(8)) < 1e-12)
        #expect(try uniform.unigramEntropy(in: 0..<1) == 0)
        #expect(try uniform.unigramEntropy(in: 3..<3) == 0)
        // −(3/4) ln(3/4) − (1/4) ln(1/4)
        let skewed = try directory.shard([1, 1, 1, 2])
        #expect(abs(try skewed.unigramEntropy() - 0.562_335_144_618_808_3) < 1e-15)
    }

    @Test("the cache makes a shard once for a text and a tokenizer")
    func caches() throws {
        let directory = try ScratchDirectory()
        let cache = try TokenShardCache(directory: directory["cache"])
        let text = try TextSource(path: directory.write("some text", to: "a.txt"))
        let same = try TextSource(path: directory.write("some text", to: "b.txt"))
        let other = try TextSource(path: directory.write("other text", to: "c.txt"))
        let gpt2 = try directory.write(TestTokenizer.gpt2.json, to: "gpt2.json")
        let llama3 = try directory.write(TestTokenizer.llama3.json, to: "llama3.json")
        var made = 0
        func path(_ source: TextSource, _ tokenizer: String) throws -> String {
            try cache.shard(of: [source], tokenizerPath: tokenizer, threads: 1) { _ in made += 1 }
                .path
        }
        let first = try path(text, gpt2)
        #expect(try path(text, gpt2) == first)
        #expect(try path(same, gpt2) == first)
        #expect(made == 1)
        #expect(try Set([first, path(other, gpt2), path(text, llama3)]).count == 3)
        #expect(made == 3)

        try TokenShardCache.place(first, at: directory["run.shard"])
        #expect(try TokenShard(contentsOf: directory["run.shard"]).count > 0)
        try AtomicFile.write("damaged", to: first)
        #expect(try path(text, gpt2) == first)
        #expect(made == 4)
        #expect(try TokenShard(contentsOf: first).count > 0)
    }

    @Test("the cache directory follows the environment")
    func findsCacheDirectory() {
        func directory(_ environment: [String: String]) -> String {
            TokenShardCache.directory(in: environment)
        }
        #expect(directory(["FORJA_CACHE_DIR": "/f", "XDG_CACHE_HOME": "/x"]) == "/f")
        #expect(directory(["XDG_CACHE_HOME": "/x", "HOME": "/h"]) == "/x/forja")
        #expect(directory(["XDG_CACHE_HOME": "x", "HOME": "/h"]) == "/h/.cache/forja")
        #expect(directory(["FORJA_CACHE_DIR": "", "HOME": "/h"]) == "/h/.cache/forja")
    }
}
