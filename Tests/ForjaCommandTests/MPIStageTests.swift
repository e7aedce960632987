import ForjaTestSupport
import Foundation
import Testing

/// `mpirun -n 2 forja train` of the stages after pre-training: the bits of two threads.
@Suite(
    "Stages under MPI", .serialized,
    .enabled(if: !MPILauncher.installed.isEmpty, MPILauncher.isMissing))
struct MPIStageTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let stage: String
        var settings: [String] = []
        var mesh = ["--data-parallel", "2"]

        var testDescription: String { ([stage] + settings + mesh).joined(separator: " ") }
    }

    private static let cases = [
        Case(stage: "sft"), Case(stage: "dpo"),
        Case(stage: "dpo", settings: ["data.packing=best_fit"]),
        Case(stage: "dpo", mesh: ["--tensor-parallel", "2"]),
        Case(stage: "grpo"), Case(stage: "grpo", settings: ["grpo.kl_beta=0.01"]),
        Case(stage: "grpo", settings: ["grpo.pipelined=true"]),
        Case(stage: "grpo", mesh: ["--tensor-parallel", "2"]),
    ]

    @Test(
        "two processes give the bits of two threads, also stopped and resumed",
        arguments: MPILauncher.installed, cases)
    func sameBits(launcher: MPILauncher, it: Case) throws {
        let workspace =
            it.stage == "grpo"
            ? try ReinforcementTests.workspace() : try PostTrainingTests.workspace()
        if it.stage == "dpo" {
            _ = try PostTrainingTests.train(
                "sft", "sft", in: workspace,
                ["training.max_steps=1", "model.key_value_heads=2"])
        }
        func start(
            _ run: String, _ more: [String] = [], launcher: MPILauncher? = nil
        ) throws -> ForjaProcess.Outcome {
            // A cache each, so that each makes its own reference log-probabilities.
            var environment = launcher == nil ? [:] : MPILauncher.environment
            environment["FORJA_CACHE_DIR"] = workspace.file("cache-\(run)")
            return try ForjaProcess(
                ["train", "\(it.stage).yaml", "--run-dir", run, "--device", "cpu"]
                    + it.settings.flatMap { ["--set", $0] } + it.mesh + more, in: workspace,
                environment: environment, launcher: launcher?.command(2) ?? []
            ).wait()
        }
        let threads = try start("threads")
        try #require(threads.status == 0, "\(threads)")
        let names = Set(workspace.metrics("threads").flatMap(\.keys)).subtracting(["tokens_per_s"])
        func figures(_ run: String) -> [[Double?]] {
            workspace.metrics(run).map { line in names.sorted().map { line[$0] as? Double } }
        }
        #expect(names.contains("loss") && figures("threads").count >= 6)
        for isResuming in [false, true] {
            if isResuming {
                // As a run that was killed after step 5, within a batch of grpo.
                try FileManager.default.removeItem(
                    atPath: workspace.file("processes/checkpoints/step-6"))
            }
            let processes = try start(
                "processes", isResuming ? ["--resume"] : [], launcher: launcher)
            try #require(processes.status == 0, "\(processes)")
            #expect(!isResuming || processes.errors.contains("resumed from step 3"))
            for name in ["model", "optimizer-00001-of-00002", "optimizer-00002-of-00002"] {
                let file = "checkpoints/step-6/\(name).safetensors"
                #expect(
                    try workspace.data("threads/\(file)") == workspace.data("processes/\(file)"),
                    "\(name)")
            }
            #expect(figures("threads") == figures("processes"))
            if it.stage == "grpo" {
                #expect(
                    try workspace.data("threads/rollouts.jsonl")
                        == workspace.data("processes/rollouts.jsonl"))
            }
        }
    }

    @Test("rows that cannot be used are named once", arguments: MPILauncher.installed)
    func badRows(launcher: MPILauncher) throws {
        let workspace = try ReinforcementTests.workspace()
        try workspace.write(
            "bad.jsonl", #"{"prompt": "1 + 1?", "ground_truth": "2", "dataset": "oracle"}"# + "\n")
        let outcome = try ForjaProcess(
            [
                "train", "grpo.yaml", "--run-dir", "run", "--device", "cpu", "--set",
                "data.train=bad.jsonl",
            ], in: workspace, environment: MPILauncher.environment, launcher: launcher.command(2)
        ).wait()
        #expect(outcome.status != 0)
        let message = "bad.jsonl:1: there is no verifier \"oracle\""
        #expect(outcome.errors.components(separatedBy: message).count == 2, "\(outcome)")
    }
}
