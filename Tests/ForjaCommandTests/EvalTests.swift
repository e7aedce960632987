import Foundation
import Testing

/// `forja eval` on a model that has learnt little: what counts is what is kept, graded and refused.
@Suite("eval")
struct EvalTests {
    private static let questions = ["fox", "line", "sing", "hill", "rest", "the"]

    /// A trained run, and rows that ask for a text with the letter e.
    private func workspace() throws -> Workspace {
        let workspace = try Workspace.withTrainedRun()
        try workspace.write(
            "letters.jsonl",
            Self.questions.map {
                "{\"prompt\": \"\($0)\", \"ground_truth\": \"e\", \"dataset\": \"regex\"}\n"
            }.joined())
        return workspace
    }

    private func eval(
        _ workspace: Workspace, task: String = "letters.jsonl", _ more: String...,
        template: String = "none"
    ) throws -> ForjaProcess.Outcome {
        try ForjaProcess(
            [
                "eval", "--model", "run", "--task", task, "--max-tokens", "8", "--device", "cpu",
                "--chat-template", template,
            ] + more, in: workspace
        ).wait()
    }

    private func answers(_ workspace: Workspace, _ file: String) throws -> [[String: Any]] {
        try workspace.data(file).split(separator: UInt8(ascii: "\n")).map {
            try #require(try JSONSerialization.jsonObject(with: $0) as? [String: Any])
        }
    }

    @Test("grades every answer, and keeps it as generate gives it")
    func grades() throws {
        let workspace = try workspace()
        let outcome = try eval(workspace, "--output", "out", "--json")
        #expect(outcome.status == 0, "\(outcome)")
        let tasks = try #require(try outcome.json()["tasks"] as? [String: Any])
        let score = try #require(tasks["letters"] as? [String: Any])
        let answers = try answers(workspace, "out/letters.jsonl")
        #expect(answers.map { $0["item"] as? Int } == [0, 1, 2, 3, 4, 5])
        var right = 0
        for (question, answer) in zip(Self.questions, answers) {
            let text = try #require(answer["answer"] as? String)
            let reward = text.contains("e") ? 1 : 0
            right += reward
            #expect(answer["reward"] as? Int == reward)
            #expect(answer["prompt"] as? String == question)
            #expect(answer["ground_truth"] as? [[String]] == [["e"]])
            #expect(answer["prompt_tokens"] as? Int == question.count)
            let generated = try workspace.run(
                "generate", "--model", "run", "--prompt", question, "--max-tokens", "8",
                "--temperature", "0", "--device", "cpu", "--json")
            let samples = try #require(try generated.json()["samples"] as? [[String: Any]])
            #expect(samples[0]["text"] as? String == text)
            #expect(answer["answer_tokens"] as? Int == (samples[0]["ids"] as? [Int])?.count)
        }
        #expect(score["score"] as? Double == Double(right) / 6)
        #expect(score["n"] as? Int == 6)
        // The width of the batch changes nothing.
        let narrow = try eval(workspace, "--batch", "1", "--output", "narrow", "--json")
        #expect(narrow.output == outcome.output)
        #expect(
            try self.answers(workspace, "narrow/letters.jsonl").map { $0["answer"] as? String }
                == answers.map { $0["answer"] as? String })
    }

    @Test("goes on from kept answers to the same file, and refuses those of something else")
    func resumes() throws {
        let workspace = try workspace()
        let more = ["--temperature", "1", "--samples", "2", "--seed", "4", "--output", "out"]
        func run(_ changed: [String: String] = [:]) throws -> ForjaProcess.Outcome {
            var more = more
            for (option, value) in changed {
                more[try #require(more.firstIndex(of: option)) + 1] = value
            }
            return try ForjaProcess(
                [
                    "eval", "--model", "run", "--task", "letters.jsonl", "--max-tokens", "8",
                    "--device", "cpu", "--chat-template", "none", "--json",
                ] + more, in: workspace
            ).wait()
        }
        let whole = try run()
        #expect(whole.status == 0, "\(whole)")
        let file = try workspace.data("out/letters.jsonl")
        #expect(try answers(workspace, "out/letters.jsonl").count == 12)
        let lines = file.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        // Five whole lines and part of the sixth, as a killed process leaves them.
        let kept = lines[..<5].joined(separator: [UInt8(ascii: "\n")])
        try (Data(kept) + Data("\n{\"item".utf8))
            .write(to: URL(fileURLWithPath: workspace.file("out/letters.jsonl")))
        let resumed = try run()
        #expect(resumed.status == 0, "\(resumed)")
        #expect(resumed.errors.contains("5 of 12 answers are kept"), "\(resumed)")
        #expect(resumed.output == whole.output)
        let resumedAnswers = try answers(workspace, "out/letters.jsonl")
        let first = try file.split(separator: UInt8(ascii: "\n")).map {
            try #require(try JSONSerialization.jsonObject(with: $0) as? [String: Any])
        }
        #expect(
            resumedAnswers.map { $0["answer"] as? String } == first.map { $0["answer"] as? String })
        for (option, value, name) in [("--seed", "5", "seed"), ("--samples", "3", "samples")] {
            let other = try run([option: value])
            #expect(other.status == 1, "\(other)")
            #expect(other.errors.contains("\(name) ("), "\(other)")
        }
    }

    @Test("the built-in task runs on a model with a chat template of another's name")
    func arithmetic() throws {
        let workspace = try workspace()
        // 16 positions and a tokenizer of letters: no question fits, which is said by number.
        let outcome = try eval(workspace, task: "arithmetic")
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("arithmetic question"), "\(outcome)")
        #expect(outcome.errors.contains("fix:"), "\(outcome)")
    }

    @Test("bad tasks are errors that name file and line, and bad options are wrong usage")
    func badInput() throws {
        let workspace = try workspace()
        try workspace.write("empty.jsonl", "\n")
        try workspace.write(
            "bad.jsonl", "{\"prompt\": \"a\", \"ground_truth\": 1}\n{\"prompt\": 7}\n")
        try workspace.write("unnamed.jsonl", "{\"prompt\": \"a\", \"ground_truth\": 1}\n")
        try workspace.write(
            "verifier.jsonl",
            "{\"prompt\": \"a\", \"ground_truth\": 1, \"dataset\": \"gsm9k\"}\n")
        try workspace.write(
            "truth.jsonl",
            """
            {"prompt": "a", "ground_truth": 1, "dataset": "gsm8k"}
            {"prompt": "a", "ground_truth": "seven", "dataset": "gsm8k"}

            """)
        for (task, words) in [
            ("absent.jsonl", "absent.jsonl"), ("empty.jsonl", "no rows"),
            ("bad.jsonl", "bad.jsonl:2"), ("unnamed.jsonl", "unnamed.jsonl:1"),
            ("verifier.jsonl", "verifier.jsonl:1"), ("truth.jsonl", "truth.jsonl:2"),
            ("gsm8k", "arithmetic"),
        ] {
            let outcome = try eval(workspace, task: task, "--json")
            #expect(outcome.status == 1, "\(outcome)")
            #expect(outcome.output.isEmpty)
            #expect(outcome.errors.contains(words), "\(outcome)")
            #expect(outcome.errors.contains("fix:"), "\(outcome)")
        }
        let named = try eval(workspace, task: "unnamed.jsonl", "--verifier", "gsm8k", "--json")
        #expect(named.status == 0, "\(named)")
        let template = try eval(workspace, template: "llama4")
        #expect(template.status == 1)
        #expect(template.errors.contains("tulu"), "\(template)")
        for options in [["--samples", "2"], ["--limit", "0"], ["--temperature", "-1"]] {
            let outcome = try ForjaProcess(
                ["eval", "--model", "run", "--task", "letters.jsonl"] + options, in: workspace
            ).wait()
            #expect(outcome.status == 64, "\(outcome)")
        }
    }
}
