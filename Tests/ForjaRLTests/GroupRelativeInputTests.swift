import ForjaCore
import ForjaObjectives
import ForjaRL
import ForjaTestSupport
import ForjaTraining
import ForjaVerifiers
import Foundation
import Testing

/// Rows, keys and verifiers that cannot be used.
@Suite("Bad input of grpo")
struct GroupRelativeInputTests {
    /// Reads a file of rows for a run.
    @discardableResult
    static func read(
        _ rows: String, _ settings: [String] = [], in run: TinyRun,
        grader: @escaping (String) throws(ForjaError) -> Grader = TinyRun.grader
    ) throws -> (data: GroupRelativeData, notes: [String]) {
        try run.write("bad.jsonl", rows)
        let recipe = try run.recipe(
            ["data.train=\(run.directory.file("bad.jsonl"))"] + settings)
        let observer = NoteObserver()
        let data = try GroupRelativeData(
            recipe: recipe, run: nil, observer: observer, grader: grader)
        return (data, observer.notes)
    }

    /// Keeps what a user would be told.
    final class NoteObserver: TrainingObserver {
        var notes: [String] = []
        func note(_ text: String) { notes.append(text) }
        func progress(_ progress: TrainingProgress) {}
        func sample(_ text: String, step: Int) {}
    }

    @Test("a row is refused by file, line and reason, or left out by policy")
    func refusesRows() throws {
        let run = try TinyRun()
        let good = run.row(prompt: "Give 1.", truth: "^1")
        for (row, reason) in [
            (run.row(prompt: "Give 2.", truth: "2", verifier: "judge"), "no verifier \"judge\""),
            (run.row(prompt: "Give 2.", truth: "2", verifier: nil), "names no verifier"),
            (run.row(prompt: "Give 2.", truth: "("), "regular expression"),
            (run.row(prompt: String(repeating: "long ", count: 40), truth: "2"), "prompt has"),
            (#"{"prompt": "Give 2."}"# + "\n", "ground_truth"),
            (
                #"{"messages": [], "ground_truth": "2", "dataset": "exact"}"# + "\n",
                "\"messages\" holds no messages"
            ),
            (
                #"{"messages": [{"content": "a"}], "ground_truth": "2", "dataset": "exact"}"#
                    + "\n",
                "\"messages[0].role\" is missing"
            ),
            (
                #"{"messages": [{"role": "user", "content": ""}], "ground_truth": "2"}"# + "\n",
                "\"messages[0].content\" is empty"
            ),
        ] {
            let error = #expect(throws: ForjaError.self) { try Self.read(good + row, in: run) }
            #expect(error?.message.contains("bad.jsonl:2: ") == true, "\(error as Any)")
            #expect(error?.message.contains(reason) == true, "\(error as Any)")
            let (data, notes) = try Self.read(
                good + row + good, ["data.bad_rows=skip"], in: run)
            #expect(data.trainCount == 2)
            let note = notes.first { $0.contains("bad.jsonl: 2 prompts, 1 rows left out") }
            #expect(note?.contains("the first in line 2: ") == true, "\(notes)")
            #expect(note?.contains(reason) == true, "\(notes)")
        }
        let (data, _) = try Self.read(
            run.row(prompt: "Give 2.", truth: "2", verifier: nil), ["grpo.verifier=exact"], in: run)
        #expect(data.trainCount == 1)
        #expect(throws: ForjaError.self) {
            try Self.read("{}\n", ["data.bad_rows=skip"], in: run)
        }
    }

    @Test("keys that do not go together are refused by name")
    func refusesKeys() throws {
        let run = try TinyRun()
        for (setting, name) in [
            ("grpo.answers_per_prompt=5", "grpo.answers_per_prompt 5"),
            ("grpo.lengthening=\"3:8, 2:9\"", "grpo.lengthening"),
            ("grpo.lengthening=soon", "grpo.lengthening"),
            ("grpo.max_answer_tokens=65", "training.sequence_length_tokens"),
        ] {
            let recipe = try run.recipe([setting])
            let error = #expect(throws: ForjaError.self) {
                try GroupRelativeSettings(recipe)
            }
            #expect(error?.message.contains(name) == true, "\(error as Any)")
        }
        let parallel = try run.recipe(["parallel.tensor=2", "grpo.pipelined=true"])
        #expect(throws: ForjaError.self) { try GroupRelativeSettings(parallel) }
    }

    /// Answers to a prompt, updates a batch and temperature as the published recipes have them (DeepCoder, Tülu 3.1).
    @Test(
        "presets give what keys leave out",
        arguments: [
            ("grpo_plus", 8, 2, 0.6, OverlongRule.ignoreWrong), ("tulu3_1", 16, 2, 1, .zero),
            ("dr_grpo", 8, 1, 1, .none),
        ])
    func presetsFillIn(
        name: String, answers: Int, updates: Int, temperature: Float, overlong: OverlongRule
    ) throws {
        let recipe = try Recipe(
            yaml: """
                stage: grpo
                model: {width: 32, layers: 2, heads: 2, key_value_heads: 1, feed_forward_width: 64}
                tokenizer: {from: tokenizer.json}
                data: {train: rows.jsonl, chat_template: tulu}
                training: {max_steps: 6, batch_size_sequences: 16, sequence_length_tokens: 64}
                schedule: {learning_rate: 0.003}
                grpo: {preset: \(name), max_answer_tokens: 4}
                """, file: "recipe.yaml")
        let settings = try GroupRelativeSettings(recipe)
        #expect(settings.answersPerPrompt == answers && settings.updatesPerBatch == updates)
        #expect(settings.temperature == temperature)
        #expect(settings.overlong(limit: 4) == overlong)
    }

    /// Calls everything right.
    struct Credulous: Verifier {
        static let name = "credulous"
        static let selfTest = [
            VerifierCase.right("1", truth: "1"), .wrong("2", truth: "1"),
        ]
        func score(_ response: String, truth: String) -> Double { 1 }
    }

    /// Gives no number for anything but what its self-test asks and an empty text.
    struct Broken: Verifier {
        static let name = "broken"
        static let selfTest = [
            VerifierCase.right("1", truth: "1"), .wrong("", truth: "1"),
        ]
        func score(_ response: String, truth: String) -> Double {
            response == "1" ? 1 : response.isEmpty ? 0 : .nan
        }
    }

    @Test("a verifier that fails its self-test ends the run, whatever the policy")
    func refusesFailingVerifiers() throws {
        let run = try TinyRun()
        let error = #expect(throws: ForjaError.self) {
            try Self.read(
                run.row(prompt: "Give 1.", truth: "1", verifier: "credulous"),
                ["data.bad_rows=skip"], in: run
            ) { (_) throws(ForjaError) in try Grader(Credulous()) }
        }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("credulous") == true)
    }

    @Test("a reward that is no number ends the run by its row, or its set is counted and left out")
    func refusesRewardsThatAreNoNumbers() throws {
        let run = try TinyRun()
        let rows = (0..<4).map {
            run.row(prompt: "Give \($0).", truth: "1", verifier: $0 == 2 ? "broken" : "exact")
        }.joined()
        func grader(_ name: String) throws(ForjaError) -> Grader {
            if name == Broken.name { return try Grader(Broken()) }
            return try Grader(named: name)
        }
        try run.write("bad.jsonl", rows)
        let path = "data.train=\(run.directory.file("bad.jsonl"))"
        let error = #expect(throws: ForjaError.self) {
            try run.train("refused", [path], grader: grader)
        }
        #expect(error?.code == .notFinite)
        #expect(error?.message.contains("bad.jsonl:3: the verifier broken gives nan") == true)

        let figures = try run.train(
            "skipped", [path, "data.bad_rows=skip"], grader: grader)
        #expect(figures.metrics.compactMap { $0["skipped_sets"] }.reduce(0, +) > 0)
        let problems = try run.lines("skipped/rollouts.jsonl").filter { $0["problem"] != nil }
        #expect(!problems.isEmpty)
        #expect(problems.allSatisfy { $0["reward"] == nil && $0["advantage"] as? Double == 0 })
    }
}
