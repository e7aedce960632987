import ForjaCore
import ForjaData
import ForjaFormats
import ForjaModels
import ForjaPipeline
import ForjaTestSupport
import ForjaTraining
import Foundation
import Testing

/// Damaged files given to their readers thousands of times a second, in this process: each ends in a value or in a
/// `ForjaError` with a message.
///
/// A trap ends the whole test run; the file that caused it is then in the test's directory, "forja-test-..." among the
/// temporary files. Half a second for each kind in `make test`, and as `DamagedFileTests` says in `make fuzz`.
@Suite("Damaged files, readers alone", .serialized)
struct DamagedReaderTests {
    enum Kind: String, CaseIterable, CustomTestStringConvertible {
        case safetensors, safetensorsIndex, configuration, tokenizer, recipe, pipeline,
            tokenShard, rows, chat

        var testDescription: String { rawValue }
    }

    /// Whole files of a kind, where one is put to be read, and the reading.
    private struct Subject {
        let files: [[UInt8]]
        var prefixCount: Int?
        let path: String
        let read: (String) throws -> Void
    }

    private static let seconds = Fuzzing.seconds(default: 3) / Double(Kind.allCases.count)

    @Test("damaged files end in a value or an error", arguments: Kind.allCases)
    func neverTraps(kind: Kind) throws {
        let directory = try TemporaryDirectory()
        let subject = try Self.subject(kind, in: directory)
        func write(_ bytes: [UInt8]) throws {
            try Data(bytes).write(to: URL(fileURLWithPath: subject.path))
        }
        for file in subject.files {
            try write(file)
            try subject.read(subject.path)
        }
        var refused = 0
        var number: UInt64 = 0
        let deadline = Date(timeIntervalSinceNow: Self.seconds)
        while Date() < deadline {
            var mutator = Mutator(seed: Fuzzing.seed << 32 + number)
            let whole = subject.files[Int(number) % subject.files.count]
            let damaged = mutator.damaged(whole, prefixCount: subject.prefixCount)
            try write(damaged)
            do {
                try subject.read(subject.path)
            } catch let error as ForjaError where !error.message.isEmpty {
                refused += 1
            } catch {
                try Fuzzing.keep(damaged, "\(kind.rawValue)-\(number)")
                Issue.record("\(kind.rawValue), seed \(Fuzzing.seed), number \(number): \(error)")
            }
            number += 1
        }
        print(
            "\(kind.rawValue), reader alone: \(number) damaged files, seed \(Fuzzing.seed), "
                + "\(refused) refused")
    }

    private static func subject(_ kind: Kind, in directory: TemporaryDirectory) throws -> Subject {
        func bytes(_ name: String) throws -> [UInt8] {
            Array(try Data(contentsOf: URL(fileURLWithPath: fixture(name))))
        }
        switch kind {
        case .safetensors:
            return Subject(
                files: [try bytes("safetensors/mixed.safetensors")],
                path: directory.file("mixed.safetensors")
            ) { path in
                let file = try SafetensorsFile(contentsOf: path)
                for tensor in file.tensors { _ = try file.digest(of: tensor.name) }
            }
        case .safetensorsIndex:
            let folder = directory.file("sharded")
            try FileManager.default.copyItem(
                atPath: fixture("safetensors/sharded"), toPath: folder)
            return Subject(
                files: [try bytes("safetensors/sharded/\(SafetensorsDirectory.indexName)")],
                path: folder + "/" + SafetensorsDirectory.indexName
            ) { _ in
                _ = try SafetensorsDirectory(folder)
            }
        case .configuration:
            return Subject(
                files: try ["tied", "untied-wide-heads", "tied/transformers4"].map {
                    try bytes("llama/\($0)/config.json")
                },
                path: directory.file("config.json")
            ) { path in
                let model = try ModelDirectory((path as NSString).deletingLastPathComponent)
                _ = model.configuration.parameterCount
                _ = model.configuration.trainingFlopsPerToken(sequenceLength: 1 << 24)
            }
        case .tokenizer:
            return Subject(
                files: try ["characters", "gpt2", "llama3", "qwen2", "smollm2"].map {
                    try bytes("tokenizer/\($0).json")
                },
                path: directory.file("tokenizer.json")
            ) { path in
                let tokenizer = try Tokenizer(contentsOf: path)
                let ids = tokenizer.encode("a badge; it's 1 é <L> \u{1f642}")
                _ = tokenizer.decode(ids + [0, 1, .max, -1], skipSpecialTokens: false)
            }
        case .recipe:
            return Subject(
                files: try ShippedRecipes.recipes.map {
                    [UInt8](try Data(contentsOf: URL(fileURLWithPath: $0)))
                },
                path: directory.file("recipe.yaml")
            ) { path in
                let recipe = try Recipe(contentsOf: path)
                _ = recipe.schedule.learningRate(at: recipe.maxSteps)
                guard recipe.modelSource == nil else { return }
                _ = try recipe.modelConfiguration(vocabularySize: 1024).parameterCount
            }
        case .pipeline:
            return Subject(
                files: try ShippedRecipes.pipelines.map {
                    [UInt8](try Data(contentsOf: URL(fileURLWithPath: $0)))
                },
                path: directory.file("pipeline.yaml")
            ) { path in
                _ = try PipelineFile(contentsOf: path)
            }
        case .rows:
            let lines = [
                #"{"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]}"#,
                #"{"prompt": "u", "completion": [{"role": "assistant", "content": "a"}]}"#,
                #"{"prompt": "u", "chosen": "a", "rejected": "b"}"#,
                #"{"prompt": "u", "response": "7", "ground_truth": ["7", 8.5], "dataset": "gsm8k"}"#,
            ]
            return Subject(
                files: [Array(lines.joined(separator: "\n").utf8)],
                path: directory.file("rows.jsonl")
            ) { path in
                _ = try JSONLines.read(path, as: ChatRow.self, badRows: .skip)
                _ = try JSONLines.read(path, as: PreferenceRow.self, badRows: .skip)
                _ = try JSONLines.read(path, as: RewardRow.self, badRows: .skip)
                _ = try JSONLines.read(path, as: GradedRow.self, badRows: .skip)
            }
        case .chat:
            let tokenizer = try Tokenizer(contentsOf: fixture("chat/tokenizer.json"))
            let files = try ChatTemplate.Kind.allCases.map { kind in
                try tokenizer.configuration(
                    endOfText: "<|endoftext|>", maximumLength: 8, chatTemplate: ChatTemplate(kind))
            }
            return Subject(
                files: files.map { Array($0.utf8) }, path: directory.file("tokenizer_config.json")
            ) { _ in
                let settings = try TokenizerSettings(directory: directory.path)
                guard let text = settings.chatTemplate else { return }
                let encoder = try ChatEncoder(
                    ChatTemplate(jinja: text), tokenizer: tokenizer, endOfText: settings.endOfText)
                _ = try encoder.encode([.user("a"), .assistant("b")])
            }
        case .tokenShard:
            let tokenizer = try Tokenizer(contentsOf: fixture("tokenizer/gpt2.json"))
            let text = directory.file("text.txt")
            try Data("The forge is hot.\n".utf8).write(to: URL(fileURLWithPath: text))
            let path = directory.file("tokens.shard")
            let digest = try SHA256Digest(contentsOf: fixture("tokenizer/gpt2.json"))
            let sources = [try TextSource(path: text)]
            _ = try Tokenization(tokenizer: tokenizer, tokenizerDigest: digest, threads: 1).write(
                sources, to: path, sourceDigest: TextSource.digest(of: sources))
            return Subject(
                files: [Array(try Data(contentsOf: URL(fileURLWithPath: path)))], path: path
            ) { path in
                let shard = try TokenShard(contentsOf: path)
                let loader = try WindowLoader(
                    shard: shard, sequenceLength: 4, seed: 1, documentMask: true)
                _ = try loader.batch(step: 0, sequences: 2, rows: 0..<2)
                _ = try shard.unigramEntropy(in: 0..<shard.count)
            }
        }
    }
}
