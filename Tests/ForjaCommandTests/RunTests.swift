import ForjaTestSupport
import Foundation
import Testing

/// `forja run recipes/tulu-tiny.yaml`, in miniature: all four stages on a model of a few thousand parameters.
@Suite("Running a pipeline", .serialized)
struct RunTests {
    private static let pipeline = ClusterPlanTests.root + "/recipes/tulu-tiny.yaml"
    /// Fewer rows than the recipe's own.
    private static let rows = ClusterPlanTests.root + "/examples/arithmetic/train"

    /// Enough steps for several checkpoints in every stage.
    private static let settings = [
        "model.width=32", "model.layers=1", "model.heads=2", "model.feed_forward_width=64",
        "evaluation.limit=8", "evaluation.max_tokens=16",
        "pretrain.training.max_steps=12", "pretrain.training.batch_size_sequences=4",
        "pretrain.evaluation.max_tokens=2048",
        "sft.training.max_steps=12", "sft.training.batch_size_sequences=4",
        "dpo.training.max_steps=6", "dpo.training.batch_size_sequences=8",
        "grpo.training.max_steps=6", "grpo.training.batch_size_sequences=16",
        "grpo.grpo.max_answer_tokens=16", "grpo.grpo.validation_rows=4",
        "pretrain.checkpoint.every_steps=3", "sft.checkpoint.every_steps=3",
        "dpo.checkpoint.every_steps=2", "grpo.checkpoint.every_steps=2",
        "sft.data.train=\(rows)-sft.jsonl", "dpo.data.train=\(rows)-preference.jsonl",
        "grpo.data.train=\(rows).jsonl",
    ]
    private static let stages = ["01-pretrain", "02-sft", "03-dpo", "04-grpo"]

    private func start(
        _ run: String, _ more: [String] = [], in workspace: Workspace, device: String
    ) throws -> ForjaProcess {
        try ForjaProcess(
            ["run", Self.pipeline, "--run-dir", run, "--device", device, "--json"]
                + Self.settings.flatMap { ["--set", $0] } + more, in: workspace)
    }

    /// Final weights of every stage.
    private func weights(_ run: String, in workspace: Workspace) throws -> [Data] {
        try zip(Self.stages, [12, 12, 6, 6]).map {
            try workspace.data("\(run)/\($0)/checkpoints/step-\($1)/model.safetensors")
        }
    }

    @Test(
        "four stages are measured, and SIGKILL at any moment changes no bit",
        arguments: TestedDevice.selectors)
    func survivesKills(device: String) throws {
        let workspace = try Workspace()
        let straight = try start("straight", in: workspace, device: device).wait()
        #expect(straight.status == 0, "\(straight)")
        let report = try #require(
            JSONSerialization.jsonObject(with: Data(straight.output.utf8)) as? [String: Any])
        let stages = try #require(report["stages"] as? [[String: Any]])
        #expect(stages.compactMap { $0["name"] as? String } == ["pretrain", "sft", "dpo", "grpo"])
        for stage in stages {
            let metrics = try #require(stage["metrics"] as? [String: Double])
            #expect(
                Set(metrics.keys) == [
                    "held_out_loss", "preference_accuracy", "pass_at_1", "answer_tokens",
                ])
            #expect(metrics["held_out_loss"]! > 1 && metrics["held_out_loss"]! < 8)
            #expect((0...1).contains(metrics["preference_accuracy"]!))
            #expect((0...1).contains(metrics["pass_at_1"]!))
        }
        #expect(workspace.has("straight/report.md"))

        // Killed where a seed says, some time into each process, until it comes through.
        var generator = SeededGenerator(
            seed: ProcessInfo.processInfo.environment["FORJA_SOAK_SEED"].flatMap(UInt64.init) ?? 1)
        var kills = 0
        var outcome: ForjaProcess.Outcome
        let deadline = Date(timeIntervalSinceNow: 20)
        repeat {
            let process = try start(
                "killed", workspace.has("killed") ? ["--resume"] : [], in: workspace,
                device: device)
            if Date() < deadline {
                process.waitOrEnd(seconds: Double.random(in: 0.1...2, using: &generator))
                process.sendIfRunning(SIGKILL)
            }
            outcome = try process.wait()
            if outcome.status == -SIGKILL { kills += 1 }
        } while outcome.status == -SIGKILL
        #expect(outcome.status == 0, "\(outcome)")
        print("pipeline on \(device): killed \(kills) times")
        #expect(kills > 0)
        try expectEqual("straight", "killed", in: workspace)
        // What is done is not done again.
        let again = try start("killed", ["--resume"], in: workspace, device: device).wait()
        #expect(again.status == 0 && again.output == outcome.output, "\(again)")
        #expect(again.errors.components(separatedBy: "done before").count == 5, "\(again)")
    }

    @Test("SIGKILL while a stage's model is measured changes no figure")
    func survivesKillsWhileMeasuring() throws {
        let workspace = try Workspace()
        let straight = try start("straight", in: workspace, device: "cpu").wait()
        #expect(straight.status == 0, "\(straight)")
        for (index, stage) in Self.stages.enumerated() {
            let process = try start(
                "killed", index > 0 ? ["--resume"] : [], in: workspace, device: "cpu")
            let words = "stage \(index + 1)/4 \(stage.dropFirst(3)): measuring"
            process.waitOrEnd { process.errors.contains(words) }
            process.sendIfRunning(SIGKILL)
            let outcome = try process.wait()
            // The last may be over before.
            #expect(outcome.status == -SIGKILL || index == 3, "\(outcome)")
            let record = String(decoding: try workspace.data("killed/\(stage).json"), as: UTF8.self)
            #expect(!record.contains("metrics") || outcome.status == 0, "\(record)")
        }
        let resumed = try start("killed", ["--resume"], in: workspace, device: "cpu").wait()
        #expect(resumed.status == 0, "\(resumed)")
        #expect(resumed.errors.components(separatedBy: "done before").count == 5, "\(resumed)")
        try expectEqual("straight", "killed", in: workspace)
    }

    /// Expects two runs to have ended with the same weights and figures of every stage.
    private func expectEqual(_ a: String, _ b: String, in workspace: Workspace) throws {
        let (one, other) = (try weights(a, in: workspace), try weights(b, in: workspace))
        for (index, name) in Self.stages.enumerated() {
            #expect(one[index] == other[index], "\(name)")
        }
        #expect(
            try workspace.data("\(a)/report.md") == workspace.data("\(b)/report.md"))
    }

    @Test("a run directory in use, a bad file and an unknown stage are named")
    func refuses() throws {
        let workspace = try Workspace()
        let cases: [(arguments: [String], words: String)] = [
            (["absent.yaml"], "the pipeline absent.yaml cannot be read"),
            ([Self.pipeline, "--set", "rlhf.training.max_steps=1"], "there is no stage \"rlhf\""),
            ([Self.pipeline, "--set", "sft.trainig.max_steps=1"], "stage sft: unknown recipe key"),
            (
                [Self.pipeline, "--set", "evaluation.chats=absent.jsonl"],
                "absent.jsonl"
            ),
            ([Self.pipeline, "--set", "evaluation.chats=bad.jsonl"], "bad.jsonl:1: "),
            (
                [Self.pipeline, "--set", "evaluation.questions=bad.jsonl"],
                "bad.jsonl:1: \"ground_truth\" is missing"
            ),
            (
                [Self.pipeline, "--set", "evaluation.questions=unknown.jsonl"],
                "unknown.jsonl:1: there is no verifier \"sums\""
            ),
            // Of the last stages: found before the first is trained.
            (
                [Self.pipeline, "--set", "grpo.grpo.max_answer_tokens=100"],
                "stage grpo: answers may have 100 tokens"
            ),
            ([Self.pipeline, "--set", "dpo.data.train=absent.jsonl"], "stage dpo: "),
        ]
        try workspace.write(
            "unknown.jsonl", #"{"prompt": "u", "ground_truth": "1", "dataset": "sums"}"# + "\n")
        try workspace.write("bad.jsonl", #"{"prompt": "u"}"# + "\n")
        for (arguments, words) in cases {
            let outcome = try ForjaProcess(
                ["run", "--run-dir", "run"] + arguments, in: workspace
            ).wait()
            #expect(outcome.status == 1, "\(outcome)")
            #expect(outcome.errors.contains(words), "\(outcome)")
            #expect(!workspace.has("run"))
        }
        try FileManager.default.createDirectory(
            atPath: workspace.file("run/01-pretrain"), withIntermediateDirectories: true)
        let occupied = try start("run", in: workspace, device: "cpu").wait()
        #expect(occupied.status == 1)
        #expect(occupied.errors.contains("is not empty"), "\(occupied)")
        #expect(occupied.errors.contains("--resume"), "\(occupied)")
    }
}
