import ForjaRuntime
import Foundation
import Testing

/// Too little memory, too little room for files, and numbers that leave the finite.
@Suite("Scarcity")
struct ScarcityTests {
    @Test("a step that cannot fit is refused before anything is trained")
    func memory() throws {
        let workspace = try Workspace()
        let outcome = try workspace.train(
            "run", ["model.width=512", "model.feed_forward_width=4096"],
            environment: ["FORJA_MEMORY_LIMIT": "20M"])
        #expect(outcome.status == 1, "\(outcome)")
        #expect(outcome.output.isEmpty)
        #expect(outcome.errors.contains("error: the plan needs "), "\(outcome)")
        #expect(outcome.errors.contains("has 21.0 MB"), "\(outcome)")
        #expect(outcome.errors.contains("fix: lower training.batch_size_sequences"), "\(outcome)")
        #expect(workspace.metrics("run").isEmpty)
        #expect(try workspace.entries("run/checkpoints").isEmpty)
    }

    @Test(
        "a step that passes an OpenCL runtime's own limit is refused the same way",
        .enabled(
            if: Device.openCLDevices().first?.platform == "Portable Computing Language",
            "opencl:0 is not PoCL, whose POCL_MEMORY_LIMIT sets the limit"))
    func memoryOfPoCL() throws {
        let workspace = try Workspace()
        let outcome = try workspace.train(
            "run", ["training.batch_size_sequences=60000"], device: "opencl:0",
            environment: ["POCL_MEMORY_LIMIT": "1"])
        #expect(outcome.status == 1, "\(outcome)")
        #expect(outcome.errors.contains("error: the plan needs "), "\(outcome)")
        #expect(outcome.errors.contains("has 1073.7 MB"), "\(outcome)")
        #expect(workspace.metrics("run").isEmpty)
    }

    @Test("a checkpoint that cannot be written leaves the one before it whole")
    func fileSize() throws {
        let workspace = try Workspace()
        let first = try workspace.train("run", ["training.max_steps=4"])
        #expect(first.status == 0, "\(first)")
        let optimizer = "run/checkpoints/step-4/optimizer.safetensors"
        let byteCount = try workspace.data(optimizer).count
        // Weights are a third of a checkpoint: they still fit, the moments do not.
        let failed = try workspace.train(
            "run", ["training.max_steps=8"], ["--resume"],
            launcher: ForjaProcess.limitingFiles(toBlocks: byteCount * 3 / 4 / 1024))
        #expect(failed.status == 1, "\(failed)")
        #expect(failed.output.isEmpty)
        #expect(failed.errors.contains("error: cannot write run/checkpoints/"), "\(failed)")
        #expect(failed.errors.contains("optimizer.safetensors: \(byteCount) bytes needed"))
        #expect(failed.errors.contains("  fix: "), "\(failed)")
        #expect(try workspace.entries("run/checkpoints") == ["step-4"])

        let score = try workspace.run(
            "score", "--model", "run", "--ids", "1 2 3", "--device", "cpu", "--json")
        #expect(score.status == 0, "\(score)")
        let resumed = try workspace.train("run", ["training.max_steps=8"], ["--resume"])
        #expect(resumed.status == 0, "\(resumed)")
        #expect(resumed.errors.contains("resumed from step 4\n"))
    }

    @Test(
        "a disk too small for the run's checkpoints is refused before the first step",
        .enabled(if: SmallDisk.isPossible, "a tmpfs takes root or user namespaces"))
    func smallDisk() throws {
        let workspace = try Workspace()
        let disk = try SmallDisk(in: workspace, byteCount: 2 << 20)
        let refused = try workspace.train("disk/run", launcher: disk.launcher)
        #expect(refused.status == 1, "\(refused)")
        #expect(refused.output.isEmpty)
        // Three of a little more than 1 MiB each: two are kept while the next is written.
        #expect(
            refused.errors.contains(
                /error: disk\/run has no room for checkpoints: 3[0-9]{6} bytes needed for 3, [0-9]+ bytes free/
            ), "\(refused)")
        #expect(refused.errors.contains("  fix: free space there, "), "\(refused)")
        #expect(!(try disk.entries("run").contains("metrics.jsonl")))

        let one = ["checkpoint.every_steps=0"]
        let fitting = try workspace.train("disk/run", one, launcher: disk.launcher)
        #expect(fitting.status == 0, "\(fitting)")
        #expect(try disk.entries("run/checkpoints") == ["step-12"])
    }

    /// Far more steps than pass before the disk is full.
    private static let endless = ["training.max_steps=1000000", "checkpoint.every_steps=100"]

    @Test(
        "a disk that fills between saves ends the run with its checkpoints whole",
        .enabled(if: SmallDisk.isPossible, "a tmpfs takes root or user namespaces"),
        arguments: [
            // Steps are still logged and a checkpoint no longer fits; then not even a step's line.
            (
                800 << 10,
                ["cannot write disk/run/checkpoints/step-", " bytes needed, ", " bytes free"]
            ),
            (0, ["disk/run/"]),
        ])
    func fullDisk(leaving byteCount: Int, parts: [String]) throws {
        let workspace = try Workspace()
        let disk = try SmallDisk(in: workspace, byteCount: 8 << 20)
        let process = try ForjaProcess(
            Workspace.training("disk/run", Self.endless), in: workspace, launcher: disk.launcher)
        func steps() throws -> Set<String> { try disk.entries("run/checkpoints") }
        try process.wait {
            ((try? steps()) ?? []).contains { $0.hasPrefix("step-") }
        }
        try disk.fill(leaving: byteCount)
        let full = try process.wait()
        #expect(full.status == 1, "\(full)")
        #expect(full.output.isEmpty)
        let line = full.errors.split(separator: "\n").first { $0.hasPrefix("error: ") } ?? ""
        #expect(!line.isEmpty && parts.allSatisfy { line.contains($0) }, "\(full)")
        #expect(full.errors.contains("  fix: free space"), "\(full)")

        let kept = try steps()
        #expect(!kept.isEmpty && kept.allSatisfy { $0.hasPrefix("step-") }, "\(kept)")
        for step in kept {
            let score = try workspace.run(
                "score", "--model", "disk/run/checkpoints/\(step)", "--ids", "1 2 3", "--device",
                "cpu", launcher: disk.launcher)
            #expect(score.status == 0, "\(score)")
        }
        disk.empty()
        let newest = try #require(kept.compactMap { Int($0.dropFirst(5)) }.max())
        let resumed = try workspace.train(
            "disk/run", ["training.max_steps=\(newest + 5)", "checkpoint.every_steps=100"],
            ["--resume"], launcher: disk.launcher)
        #expect(resumed.status == 0, "\(resumed)")
        #expect(resumed.errors.contains("resumed from step \(newest)\n"), "\(resumed)")
    }

    @Test("a step that is not finite is named with its tokens, and the last checkpoint stays")
    func notFinite() throws {
        let workspace = try Workspace()
        // Rate times decay is 10⁴: every update multiplies the weights by it.
        let outcome = try workspace.train(
            "run",
            [
                "schedule.learning_rate=1000", "optimizer.weight_decay=10",
                "optimizer.max_gradient_norm=0", "checkpoint.every_steps=1",
            ])
        #expect(outcome.status == 1, "\(outcome)")
        #expect(outcome.output.isEmpty)
        let newest = workspace.lastStep("run")
        #expect(newest >= 1)
        #expect(outcome.errors.contains("error: step \(newest + 1) gave loss "), "\(outcome)")
        #expect(outcome.errors.contains(/on tokens [0-9]+ \.\.< [0-9]+/), "\(outcome)")
        #expect(outcome.errors.contains("step-\(newest) is whole"), "\(outcome)")
        let score = try workspace.run(
            "score", "--model", "run/checkpoints/step-\(newest)", "--ids", "1 2", "--device", "cpu")
        #expect(score.status == 0, "\(score)")
    }
}
