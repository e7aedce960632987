import ForjaTestSupport
import Foundation
import Testing

/// Reinforcement learning by the program: from rows with answers that can be checked to a model and its rollouts.
@Suite("Stage grpo", .serialized)
struct ReinforcementTests {
    static func workspace() throws -> Workspace {
        let workspace = try Workspace()
        // About one in five answers is right by chance.
        let row = { (number: Int) in
            #"{"prompt": "Give \#(number).", "ground_truth": "^[ -O]", "dataset": "regex"}"# + "\n"
        }
        try workspace.write("train.jsonl", (0..<20).map(row).joined())
        try workspace.write("held-out.jsonl", (20..<24).map(row).joined())
        try workspace.write("text.txt", "What is the sum of 1 and 2? 3 + 4 = 7 #### 5 6 8 9 0\n")
        try workspace.write(
            "grpo.yaml",
            """
            stage: grpo
            model: {width: 16, layers: 2, heads: 2, key_value_heads: 2, feed_forward_width: 32}
            tokenizer: {train: {kind: byte_bpe, vocabulary_size: 260, files: text.txt}}
            data:
              train: train.jsonl
              validation: held-out.jsonl
              chat_template: tulu
            training: {max_steps: 6, batch_size_sequences: 8, sequence_length_tokens: 96}
            schedule: {kind: constant, learning_rate: 0.003}
            checkpoint: {every_steps: 3, keep_last: 3}
            evaluation: {every_steps: 3}
            grpo: {max_answer_tokens: 6, answers_per_prompt: 4, updates_per_batch: 2}

            """)
        return workspace
    }

    static func train(
        _ run: String, in workspace: Workspace, device: String = "cpu", _ settings: [String] = [],
        _ more: [String] = []
    ) throws -> ForjaProcess.Outcome {
        try ForjaProcess(
            ["train", "grpo.yaml", "--run-dir", run, "--device", device]
                + settings.flatMap { ["--set", $0] } + more, in: workspace
        ).wait()
    }

    @Test(
        "trains, stops inside a batch and goes on to the same bits",
        arguments: TestedDevice.selectors)
    func trainsAndResumes(device: String) throws {
        let workspace = try Self.workspace()
        let straight = try Self.train("straight", in: workspace, device: device)
        try #require(straight.status == 0, "\(straight)")
        #expect(straight.errors.contains("20 prompts, 4 held out; a batch is 4 × 4 answers"))
        let half = try Self.train("again", in: workspace, device: device, ["training.max_steps=3"])
        #expect(half.status == 0, "\(half)")
        let resumed = try Self.train("again", in: workspace, device: device, [], ["--resume"])
        #expect(resumed.status == 0, "\(resumed)")
        try workspace.expectEqualRuns("straight", "again", steps: 6)
        #expect(
            try workspace.data("straight/rollouts.jsonl")
                == workspace.data("again/rollouts.jsonl"))
        #expect(workspace.metrics("straight").filter { $0["pass_at_1"] != nil }.count == 2)
    }

    @Test(
        "pipelined, and on a mesh of either kind",
        arguments: [
            ["grpo.pipelined=true"], ["parallel.data=2", "grpo.pipelined=true"],
            ["parallel.tensor=2"],
            ["parallel.data=2", "parallel.tensor=2", "grpo.kl_beta=0.01"],
        ])
    func trainsOnMeshes(settings: [String]) throws {
        let workspace = try Self.workspace()
        let outcome = try Self.train("run", in: workspace, settings)
        #expect(outcome.status == 0, "\(outcome)")
        let lines = try workspace.data("run/rollouts.jsonl").split(separator: UInt8(ascii: "\n"))
        #expect(lines.count == 3 * 16)
        #expect(workspace.metrics("run").compactMap { $0["reward"] }.count == 3)
    }

    @Test("a row that cannot be used ends the run by file and line")
    func refusesRows() throws {
        let workspace = try Self.workspace()
        try workspace.write(
            "bad.jsonl", #"{"prompt": "1 + 1?", "ground_truth": "2", "dataset": "oracle"}"# + "\n")
        let outcome = try Self.train("run", in: workspace, ["data.train=bad.jsonl"])
        #expect(outcome.status > 0, "\(outcome)")
        #expect(
            outcome.errors.contains("bad.jsonl:1: there is no verifier \"oracle\""), "\(outcome)")
        #expect(outcome.errors.contains("use one of arithmetic, exact, gsm8k, regex"))
    }

    @Test("bench grpo times every order, on threads that the recipe divides")
    func benchmarks() throws {
        let workspace = try Self.workspace()
        let outcome = try workspace.run(
            "bench", "grpo", "grpo.yaml", "--device", "cpu", "--threads", "3", "--batches", "1",
            "--set", "grpo.sampler_threads=2", "--json")
        try #require(outcome.status == 0, "\(outcome)")
        let report = try outcome.json()
        for name in ["assigned_s", "pipelined_s", "synchronous_s", "sampling_s", "training_s"] {
            #expect(report[name] as? Double ?? 0 > 0, "\(name)")
        }
        #expect(report["sampler_threads"] as? Int == 2)
        #expect(report["trainer_threads"] as? Int == 1)
        let refused = try Self.train(
            "run", in: workspace, ["grpo.pipelined=true", "grpo.sampler_threads=2"],
            ["--threads", "2"])
        #expect(refused.errors.contains("grpo.sampler_threads is 2 of 2 threads in all"))
    }
}
