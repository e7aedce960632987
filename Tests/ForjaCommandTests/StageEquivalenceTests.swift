import ForjaTestSupport
import Foundation
import Testing

/// Steps of sft and dpo on the same rows: whole or in microsteps, packed or a sequence each, on one rank or two.
@Suite("Stages however their steps are cut", .serialized)
struct StageEquivalenceTests {
    /// Relative, of losses, norms and rewards over three updates: sums in another order.
    private static let bound = 5e-6

    /// Rows, of which any two fit a sequence and no three do; every step trains on all of them.
    private static func workspace() throws -> Workspace {
        let workspace = try Workspace()
        func text(_ count: Int, from first: Int) -> String {
            String((0..<count).map { Character(UnicodeScalar(UInt8(97 + (first + $0 * 7) % 26))) })
        }
        let rows = (0..<16).map { row in
            (
                prompt: text(4 + row % 3, from: row), one: text(6 + row * 5 % 8, from: row * 3),
                other: text(13 - row * 3 % 7, from: row * 5 + 1)
            )
        }
        try workspace.write(
            "sft.jsonl",
            rows.map { #"{"prompt": "\#($0.prompt)", "completion": "\#($0.one)"}"# + "\n" }
                .joined())
        try workspace.write(
            "dpo.jsonl",
            rows.map {
                #"{"prompt": "\#($0.prompt)", "chosen": "\#($0.one)", "rejected": "\#($0.other)"}"#
                    + "\n"
            }.joined())
        try workspace.write("text.txt", "any text\n")
        for stage in ["sft", "dpo"] {
            try workspace.write(
                "\(stage).yaml",
                """
                stage: \(stage)
                model: {width: 16, layers: 2, heads: 2, key_value_heads: 1, feed_forward_width: 32}
                tokenizer: {train: {kind: byte_bpe, vocabulary_size: 257, files: text.txt}}
                data: {train: \(stage).jsonl, validation: \(stage).jsonl, chat_template: tulu}
                training: {max_steps: 3, batch_size_sequences: 16, sequence_length_tokens: 96}
                schedule: {kind: constant, learning_rate: 0.003}
                evaluation: {every_steps: 1}

                """)
        }
        return workspace
    }

    @Test(
        "microsteps, packing and data-parallel ranks change rounding alone",
        arguments: ["sft", "dpo"], TestedDevice.selectors)
    func areTheSame(stage: String, device: String) throws {
        let workspace = try Self.workspace()
        // Two answers of a pair are in a sequence each.
        let packed = stage == "sft" ? 8 : 16
        func run(_ name: String, _ settings: [String]) throws -> [[String: Any]] {
            let outcome = try PostTrainingTests.train(
                stage, name, in: workspace, device: device, settings)
            try #require(outcome.status == 0, "\(outcome)")
            #expect(
                outcome.errors.contains(
                    "in \(name.hasPrefix("packed") ? packed : 2 * packed) sequences"),
                "\(outcome)")
            return workspace.metrics(name)
        }
        let whole = ["data.packing=best_fit", "training.batch_size_sequences=\(packed)"]
        let single = ["data.packing=none", "training.batch_size_sequences=\(2 * packed)"]
        let (halves, ranks) = ("training.gradient_accumulation_steps=2", "parallel.data=2")
        let expected = try run("single", single)
        #expect(expected.compactMap { $0["loss"] }.count == 3)
        var cuts = [
            ("packed", whole), ("packed-both", whole + [halves, ranks]),
            ("single-ranks", single + [ranks]),
        ]
        if device == "cpu" {
            cuts += [
                ("packed-halves", whole + [halves]),
                ("packed-quarters", whole + ["training.gradient_accumulation_steps=4"]),
                ("packed-ranks", whole + [ranks]), ("single-halves", single + [halves]),
            ]
        }
        for (name, settings) in cuts {
            let seen = try run(name, settings)
            #expect(seen.count == expected.count)
            for (seen, expected) in zip(seen, expected) {
                #expect(seen.keys.sorted() == expected.keys.sorted())
                for (key, value) in expected where key != "tokens_per_s" {
                    let (a, b) = (value as? Double ?? .nan, seen[key] as? Double ?? .nan)
                    #expect(abs(a - b) <= Self.bound * max(1, abs(a)), "\(name): \(key)")
                }
            }
        }
    }
}
