import Benchmark
import ForjaData
import ForjaFormats
import Foundation

/// Batches of `WindowLoader` over the example text, one token a byte, lines as documents.
func registerLoaderBenchmarks() {
    let loader = OnFirstUse {
        let text = try String(
            contentsOfFile: repositoryFile("examples/tinyshakespeare/input.txt"), encoding: .utf8)
        let digest = SHA256Digest(of: text)
        let path = NSTemporaryDirectory() + "forja-benchmark-\(UUID().uuidString).tokens"
        let writer = try TokenShardWriter(
            path: path,
            header: TokenShard.Header(
                vocabularySize: 256, endOfText: Int32(UInt8(ascii: "\n")), tokenizerDigest: digest,
                sourceDigest: digest))
        try writer.append(text.utf8.map(Int32.init))
        let shard = try writer.finish()
        // The shard is mapped: it needs its name no longer.
        try FileManager.default.removeItem(atPath: path)
        return try WindowLoader(shard: shard, sequenceLength: 512, seed: 1, documentMask: true)
    }
    var step = 0
    Benchmark(
        "loader-batch-8x512",
        configuration: configuration([Count.tokens, Count.allocations], iterations: 200)
    ) { benchmark in
        let loader = try loader.get()
        var batch: Batch?
        try benchmark.measure {
            batch = try loader.batch(step: step, sequences: 8, rows: 0..<8)
        }
        step += 1
        benchmark.measurement(Count.tokens, batch?.tokens.count ?? 0)
    }
}
