import Benchmark
import ForjaFormats
import Foundation

/// The example text by the byte-pair tokenizer of the tests' fixtures.
func registerTokenizerBenchmarks() {
    let input = OnFirstUse {
        (
            try Tokenizer(contentsOf: repositoryFile("Tests/Fixtures/tokenizer/trained.json")),
            try String(
                contentsOfFile: repositoryFile("examples/tinyshakespeare/input.txt"),
                encoding: .utf8)
        )
    }
    Benchmark(
        "tokenizer-encode-tinyshakespeare",
        configuration: configuration([Count.tokens], iterations: 5)
    ) { benchmark in
        let (tokenizer, text) = try input.get()
        var ids: [Int32] = []
        benchmark.measure { ids = tokenizer.encode(text) }
        benchmark.measurement(Count.tokens, ids.count)
    }
}
