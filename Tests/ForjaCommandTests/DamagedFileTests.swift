import ForjaTestSupport
import Foundation
import Testing

/// Damaged input of every kind through the command line: a result or an error line, never a crash, never a hang.
///
/// A second for each kind of file in `make test`; `make fuzz` sets FUZZ_SECONDS for all together, and FUZZ_SEED draws
/// other damage. What fails is kept in FUZZ_KEEP, a directory, where that is given. `DamagedReaderTests` reads far more
/// files in the same time.
@Suite("Damaged files", .serialized)
struct DamagedFileTests {
    /// For one kind of file.
    private static let seconds = Fuzzing.seconds(default: 8) / Double(Kind.allCases.count)

    enum Kind: String, CaseIterable, CustomTestStringConvertible {
        case safetensors = "safetensors header"
        case safetensorsIndex = "safetensors index"
        case configuration = "config.json"
        case tokenizer = "tokenizer.json"
        case recipe = "recipe"
        case tokenShard = "token shard"
        case checkpointState = "checkpoint state"
        case metrics = "metrics.jsonl"

        var testDescription: String { rawValue }
    }

    /// A file to damage and the commands that read it.
    private struct Subject {
        let file: String
        /// Only so many bytes from the start are damaged.
        var prefixCount: Int?
        let commands: [[String]]
        /// Brings back what a command changed.
        var restore: () throws -> Void = {}
    }

    @Test("damaged files end in a result or an error line", arguments: Kind.allCases)
    func neverCrashes(kind: Kind) throws {
        let workspace = try Workspace()
        let subject = try Self.subject(kind, in: workspace)
        let whole = Array(try workspace.data(subject.file))
        for arguments in subject.commands {
            let outcome = try Self.run(arguments, in: workspace)
            try #require(outcome.status == 0, "\(outcome)")
            try subject.restore()
        }

        var counts: [Int32: Int] = [:]
        var number: UInt64 = 0
        let deadline = Date(timeIntervalSinceNow: Self.seconds)
        while Date() < deadline {
            var mutator = Mutator(seed: Fuzzing.seed << 32 + number)
            let damaged = mutator.damaged(whole, prefixCount: subject.prefixCount)
            for arguments in subject.commands {
                try Data(damaged).write(to: URL(fileURLWithPath: workspace.file(subject.file)))
                let outcome = try Self.run(arguments, in: workspace)
                try subject.restore()
                counts[outcome.status, default: 0] += 1
                let saysWhy = outcome.errors.contains(/(?m)^(error|Error): ./)
                if outcome.status != 0, ![1, 64].contains(outcome.status) || !saysWhy {
                    try Fuzzing.keep(damaged, "\(kind.rawValue)-\(number)")
                    Issue.record(
                        "\(kind.rawValue), seed \(Fuzzing.seed), number \(number), \(arguments): \(outcome)"
                    )
                }
            }
            number += 1
        }
        print(
            "\(kind.rawValue): \(number) damaged files, seed \(Fuzzing.seed); exit codes "
                + counts.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
                .joined(separator: ", "))
    }

    private static func run(
        _ arguments: [String], in workspace: Workspace
    ) throws -> ForjaProcess.Outcome {
        // A cache of its own: damage must not reach other tests. Little memory: a shape may be absurd.
        try ForjaProcess(
            arguments, in: workspace,
            environment: [
                "FORJA_CACHE_DIR": workspace.file("cache"), "FORJA_MEMORY_LIMIT": "256M",
            ]
        ).wait()
    }

    private static func subject(_ kind: Kind, in workspace: Workspace) throws -> Subject {
        let score = ["score", "--model", "model", "--ids", "1 2 3", "--device", "cpu"]
        let files = FileManager.default
        func model(_ layout: String) throws {
            try files.copyItem(
                atPath: fixture("llama/\(layout)"), toPath: workspace.file("model"))
        }
        switch kind {
        case .safetensors:
            try model("tied")
            let bytes = Array(try workspace.data("model/model.safetensors").prefix(8))
            let header = bytes.reversed().reduce(0) { $0 << 8 | Int($1) }
            return Subject(
                file: "model/model.safetensors", prefixCount: 8 + header, commands: [score])
        case .safetensorsIndex:
            try model("tied/transformers4")
            return Subject(file: "model/model.safetensors.index.json", commands: [score])
        case .configuration:
            try model("untied-wide-heads")
            return Subject(file: "model/config.json", commands: [score])
        case .tokenizer:
            let name = ["characters", "gpt2", "llama3", "qwen2"][Int(Fuzzing.seed % 4)]
            try files.copyItem(
                atPath: fixture("tokenizer/\(name).json"), toPath: workspace.file("t.json"))
            return Subject(
                file: "t.json",
                commands: [
                    ["tokenizer", "encode", "--tokenizer", "t.json", "--text", "a badge, 1é"],
                    ["tokenizer", "decode", "--tokenizer", "t.json", "--ids", "1 2 3"],
                ])
        case .recipe:
            return Subject(
                file: "recipe.yaml",
                commands: [
                    ["plan", "recipe.yaml", "--device", "cpu"], ["data", "inspect", "recipe.yaml"],
                ])
        case .tokenShard:
            let inspect = ["data", "inspect", "recipe.yaml", "--batches", "2"]
            _ = try run(inspect, in: workspace)
            let shard = try #require(
                try workspace.entries("cache").first { $0.hasSuffix(".shard") })
            return Subject(file: "cache/\(shard)", prefixCount: 256, commands: [inspect])
        case .checkpointState:
            return try resumed("checkpoints/step-12/forja.json", in: workspace)
        case .metrics:
            return try resumed("metrics.jsonl", in: workspace)
        }
    }

    /// A file of the trained run, read when the run is resumed for one more step.
    private static func resumed(_ name: String, in workspace: Workspace) throws -> Subject {
        func restore() throws {
            try? FileManager.default.removeItem(atPath: workspace.file("run"))
            try FileManager.default.copyItem(
                atPath: Workspace.trained.get().file("run"), toPath: workspace.file("run"))
        }
        try restore()
        return Subject(
            file: "run/\(name)",
            commands: [Workspace.training("run", ["training.max_steps=13"], ["--resume"])],
            restore: restore)
    }
}
