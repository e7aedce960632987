import ForjaTestSupport
import Foundation
import Testing

/// Fine-tuning and preferences by the program: from rows to a model that answers.
@Suite("Stages after pre-training", .serialized)
struct PostTrainingTests {
    /// A workspace with arithmetic rows and a recipe for each stage; the recipe of dpo starts from the run `sft`.
    static func workspace() throws -> Workspace {
        let workspace = try Workspace()
        let made = try workspace.run(
            "data", "generate", "arithmetic", "--output", "rows", "--operations", "add",
            "--digits", "1", "--train", "40", "--held-out", "8", "--answers", "final")
        try #require(made.status == 0, "\(made)")
        try workspace.write("text.txt", "What is the sum of 1 and 2? 3 + 4 = 7 #### 5 6 8 9 0\n")
        try workspace.write(
            "sft.yaml",
            recipe(
                "sft", rows: "sft", sequences: 2,
                source: """
                    model: {width: 16, layers: 2, heads: 2, key_value_heads: 1, feed_forward_width: 32}
                    tokenizer: {train: {kind: byte_bpe, vocabulary_size: 260, files: text.txt}}
                    """))
        try workspace.write(
            "dpo.yaml",
            recipe("dpo", rows: "preference", sequences: 4, source: "model: {from: sft}"))
        return workspace
    }

    static func recipe(_ stage: String, rows: String, sequences: Int, source: String) -> String {
        """
        stage: \(stage)
        \(source)
        data:
          train: rows/train-\(rows).jsonl
          validation: rows/held-out-\(rows).jsonl
          \(stage == "sft" ? "chat_template: tulu" : "bad_rows: refuse")
        training: {max_steps: 6, batch_size_sequences: \(sequences), sequence_length_tokens: 96}
        schedule: {kind: constant, learning_rate: 0.003}
        checkpoint: {every_steps: 3, keep_last: 3}
        evaluation: {every_steps: 3}

        """
    }

    static func train(
        _ stage: String, _ run: String, in workspace: Workspace, device: String = "cpu",
        _ settings: [String] = [], _ more: [String] = []
    ) throws -> ForjaProcess.Outcome {
        try ForjaProcess(
            ["train", "\(stage).yaml", "--run-dir", run, "--device", device]
                + settings.flatMap { ["--set", $0] } + more, in: workspace
        ).wait()
    }

    @Test(
        "both train, stop and go on to the same bits, and the model answers",
        arguments: TestedDevice.selectors)
    func trainsAndResumes(device: String) throws {
        let workspace = try Self.workspace()
        for stage in ["sft", "dpo"] {
            let straight = try Self.train(stage, stage, in: workspace, device: device)
            try #require(straight.status == 0, "\(straight)")
            let half = try Self.train(
                stage, "\(stage)-again", in: workspace, device: device, ["training.max_steps=3"])
            #expect(half.status == 0, "\(half)")
            let resumed = try Self.train(
                stage, "\(stage)-again", in: workspace, device: device, [], ["--resume"])
            #expect(resumed.status == 0, "\(resumed)")
            #expect(resumed.errors.contains("resumed from step 3"))
            try workspace.expectEqualRuns(stage, "\(stage)-again", steps: 6)
            #expect(
                straight.errors.contains(
                    "rows/train-\(stage == "sft" ? "sft" : "preference").jsonl: 40 rows used, 0 examples cut, 0 rows left out"
                ),
                "\(straight)")
            let lines = workspace.metrics(stage)
            #expect(lines.filter { $0["validation_loss"] != nil }.count == 2)
            #expect(lines.allSatisfy { ($0["validation_loss"] != nil) != ($0["loss"] != nil) })
            #expect(lines.last { $0["epoch"] != nil }?["epoch"] as? Double ?? 0 > 0)
        }
        // The first step of dpo is at its reference.
        let first = try #require(workspace.metrics("dpo").first)
        #expect(abs((first["loss"] as? Double ?? 0) - log(2)) <= 1e-6)
        #expect(first["reward_margin"] as? Double == 0)
        let names = Set(workspace.metrics("dpo").flatMap(\.keys))
        #expect(
            names.isSuperset(of: [
                "preference_accuracy", "reward_chosen", "reward_rejected", "length_chosen",
                "length_rejected", "validation_loss",
            ]))

        let answer = try workspace.run(
            "generate", "--model", "dpo", "--chat", "--prompt", "What is 3 + 4?", "--max-tokens",
            "4", "--temperature", "0", "--device", device, "--json")
        #expect(answer.status == 0, "\(answer)")
        let ids = try #require(try answer.json()["prompt_ids"] as? [Int])
        let prompt = try workspace.run(
            "tokenizer", "encode", "--tokenizer", "dpo/tokenizer.json", "--no-special-tokens",
            "--json", "--text", "<|user|>\nWhat is 3 + 4?\n<|assistant|>\n")
        #expect(try prompt.json()["ids"] as? [Int] == ids)
    }

    @Test("the loss of fine-tuning is the mean that forja score gives")
    func matchesScore() throws {
        let workspace = try Self.workspace()
        try workspace.write(
            "one.jsonl", #"{"prompt": "3 + 4", "completion": "It is 7."}"# + "\n")
        let outcome = try Self.train(
            "sft", "sft", in: workspace,
            [
                "training.max_steps=1", "data.train=one.jsonl", "data.validation=one.jsonl",
                "schedule.learning_rate=0",
            ])
        try #require(outcome.status == 0, "\(outcome)")
        let loss = try #require(workspace.metrics("sft").first?["loss"] as? Double)
        func encode(_ text: String) throws -> [Int] {
            let outcome = try workspace.run(
                "tokenizer", "encode", "--tokenizer", "sft/tokenizer.json", "--no-special-tokens",
                "--json", "--text", text)
            return try #require(try outcome.json()["ids"] as? [Int])
        }
        let prompt = try encode("<|user|>\n3 + 4\n<|assistant|>\n")
        let answer = try encode("It is 7.<|end_of_text|>")
        let scored = try workspace.run(
            "score", "--model", "sft", "--ids",
            (prompt + answer).map(String.init).joined(separator: " "), "--device", "cpu", "--json")
        let values = try #require(try scored.json()["logprobs"] as? [Any])
        let labels = values.suffix(answer.count).compactMap { $0 as? Double }
        #expect(labels.count == answer.count)
        #expect(abs(loss + labels.reduce(0, +) / Double(labels.count)) <= 1e-5)
    }

    @Test("two data-parallel ranks do what one does", arguments: ["sft", "dpo"])
    func sharesOutData(stage: String) throws {
        let workspace = try Self.workspace()
        _ = try Self.train("sft", "sft", in: workspace, ["training.max_steps=1"])
        for (run, more) in [("one", []), ("two", ["--data-parallel", "2"])] {
            let outcome = try Self.train(stage, run, in: workspace, [], more)
            try #require(outcome.status == 0, "\(outcome)")
        }
        let (one, two) = (workspace.metrics("one"), workspace.metrics("two"))
        #expect(one.count == two.count)
        for (one, two) in zip(one, two) {
            #expect(one.keys.sorted() == two.keys.sorted())
            for name in ["loss", "validation_loss", "gradient_norm", "reward_margin"] {
                guard let a = one[name] as? Double, let b = two[name] as? Double else { continue }
                // Sums in another order over six steps.
                #expect(abs(a - b) <= 1e-4 * max(1, abs(a)), "\(name)")
            }
        }
    }

    @Test("reference log-probabilities are kept, and a damaged file is made again")
    func keepsReference() throws {
        let workspace = try Self.workspace()
        _ = try Self.train("sft", "sft", in: workspace, ["training.max_steps=2"])
        let environment = ["FORJA_CACHE_DIR": workspace.file("cache")]
        func run(_ name: String) throws -> ForjaProcess.Outcome {
            try workspace.run(
                "train", "dpo.yaml", "--run-dir", name, "--device", "cpu", "--set",
                "training.max_steps=1", environment: environment)
        }
        #expect(try run("a").errors.contains("data.train: 80 answers in"))
        #expect(try !run("b").errors.contains("answers in"))
        for name in try workspace.entries("cache") where name.hasPrefix("reference-") {
            let text = String(decoding: try workspace.data("cache/\(name)"), as: UTF8.self)
            let lines = text.split(separator: "\n")
            try #require(lines.count > 2)
            let damaged =
                lines.dropFirst(2) + [lines[0].replacing("\"sums\":[-", with: "\"sums\":[-1")]
            try workspace.write("cache/\(name)", damaged.joined(separator: "\n"))
        }
        let again = try run("c")
        // A line is gone, another changed: two parts of four answers.
        #expect(again.errors.contains("damaged in 1 line, whose log-probabilities are made again"))
        #expect(again.errors.contains("data.train: 8 answers in"), "\(again)")
        #expect(again.errors.contains("72 were there"), "\(again)")
        for name in ["b", "c"] {
            #expect(
                try workspace.data("a/checkpoints/step-1/model.safetensors")
                    == workspace.data("\(name)/checkpoints/step-1/model.safetensors"))
        }
        let simpo = try Self.train(
            "dpo", "simpo", in: workspace, ["objective.loss=simpo", "training.max_steps=1"])
        #expect(simpo.status == 0 && !simpo.errors.contains("answers in"), "\(simpo)")
    }

    @Test("reference log-probabilities that a killed run has made are not made again")
    func resumesReference() throws {
        let workspace = try Self.workspace()
        _ = try Self.train("sft", "sft", in: workspace, ["training.max_steps=0"])
        let made = try workspace.run(
            "data", "generate", "arithmetic", "--output", "many", "--digits", "2", "--train",
            "2000", "--held-out", "8", "--answers", "final")
        try #require(made.status == 0, "\(made)")
        func start(_ run: String, cache: String, _ more: [String] = []) throws -> ForjaProcess {
            try ForjaProcess(
                [
                    "train", "dpo.yaml", "--run-dir", run, "--device", "cpu", "--set",
                    "training.max_steps=2", "--set", "data.train=many/train-preference.jsonl",
                ] + more, in: workspace, environment: ["FORJA_CACHE_DIR": workspace.file(cache)])
        }
        func partCount() -> Int {
            let names = (try? workspace.entries("cache")) ?? []
            let data = names.first { $0.hasPrefix("reference-") }
                .flatMap { FileManager.default.contents(atPath: workspace.file("cache/\($0)")) }
            return data?.count { $0 == UInt8(ascii: "{") } ?? 0
        }
        let straight = try start("straight", cache: "other").wait()
        #expect(straight.errors.contains("data.train: 4000 answers in"), "\(straight)")
        var kills = 0
        while kills < 2 {
            let before = partCount()
            let process = try start("killed", cache: "cache", kills > 0 ? ["--resume"] : [])
            try process.send(SIGKILL) { partCount() > before + 10 }
            let outcome = try process.wait()
            try #require(outcome.status == -SIGKILL, "\(outcome)")
            kills += 1
        }
        #expect(workspace.metrics("killed").isEmpty)
        let resumed = try start("killed", cache: "cache", ["--resume"]).wait()
        #expect(resumed.status == 0, "\(resumed)")
        let kept = resumed.errors.firstMatch(
            of: /data\.train: (\d+) answers in .*; (\d+) were there/)
        let counts = try #require(
            kept.flatMap { match in
                Int(match.1).flatMap { made in Int(match.2).map { (made, $0) } }
            })
        #expect(counts.0 + counts.1 == 4000 && counts.1 >= 20 * 40, "\(resumed)")
        try workspace.expectEqualRuns("straight", "killed", steps: 2)
    }

    struct BadRow: Sendable {
        let stage: String
        let row: String
        let reason: String
        var settings: [String] = []
    }

    @Test(
        "a row that cannot be used is named by file and line, or left out and counted",
        arguments: [
            BadRow(
                stage: "sft", row: #"{"messages": [{"content": "a"}]}"#,
                reason: "\"messages[0].role\" is missing"),
            BadRow(
                stage: "sft", row: #"{"messages": []}"#,
                reason: "\"messages\" holds no messages"),
            BadRow(
                stage: "sft",
                row: #"{"prompt": "\#(String(repeating: "z", count: 200))", "completion": "a"}"#,
                reason: "no label is left"),
            BadRow(
                stage: "sft",
                row:
                    #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]}"#,
                reason: "\"messages[1].content\" is empty"),
            BadRow(
                stage: "dpo",
                row: #"{"chosen": [{"content": "a"}], "rejected": [{"content": "b"}]}"#,
                reason: "\"chosen[0].role\" is missing"),
            BadRow(
                stage: "dpo", row: #"{"prompt": "a", "chosen": [], "rejected": "b"}"#,
                reason: "\"chosen\" holds no messages"),
            BadRow(
                stage: "dpo",
                row:
                    #"{"prompt": "\#(String(repeating: "z", count: 200))", "chosen": "a", "rejected": "b"}"#,
                reason: "no label is left"),
            BadRow(
                stage: "dpo", row: #"{"prompt": "a", "chosen": "b", "rejected": "b"}"#,
                reason: "\"chosen\" and \"rejected\" are equal"),
            BadRow(
                stage: "dpo",
                row:
                    #"{"prompt": "a", "chosen": "\#(String(repeating: "b", count: 200))c", "rejected": "\#(String(repeating: "b", count: 200))d"}"#,
                reason: "both answers are equal in the first 96 positions"),
        ])
    func namesBadRows(_ bad: BadRow) throws {
        let workspace = try Self.workspace()
        if bad.stage == "dpo" {
            _ = try Self.train("sft", "sft", in: workspace, ["training.max_steps=0"])
        }
        let kind = bad.stage == "sft" ? "sft" : "preference"
        let good = String(decoding: try workspace.data("rows/train-\(kind).jsonl"), as: UTF8.self)
        try workspace.write("bad.jsonl", "\n" + bad.row + "\n" + good)
        let refused = try Self.train(
            bad.stage, "run", in: workspace, ["data.train=bad.jsonl"] + bad.settings)
        #expect(refused.status == 1)
        #expect(refused.errors.contains("bad.jsonl:2: \(bad.reason)"), "\(refused)")
        let skipped = try Self.train(
            bad.stage, "run", in: workspace,
            ["data.train=bad.jsonl", "data.bad_rows=skip", "training.max_steps=1"])
        #expect(skipped.status == 0, "\(skipped)")
        #expect(skipped.errors.contains("1 rows left out (the first, line 2: "), "\(skipped)")
    }
}
