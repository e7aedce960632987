import ForjaTestSupport
import Foundation
import Testing

/// Stopping a run in any way and resuming it gives the bits of a run that was not stopped.
@Suite("Stop and resume")
struct ResumeTests {
    /// Enough steps that a signal meets the run in its middle: a step takes about 0.3 ms on the CPU
    /// and 60 ms on an OpenCL CPU device.
    private struct Length {
        let steps: Int
        let interval: Int
        let signalStep: Int

        init(device: String) {
            (steps, interval, signalStep) = device == "cpu" ? (4000, 500, 600) : (12, 4, 6)
        }

        var settings: [String] {
            [
                "training.max_steps=\(steps)", "checkpoint.every_steps=\(interval)",
                "schedule.kind=cosine",
            ]
        }
    }

    @Test(
        "after SIGKILL the run goes on from its newest checkpoint",
        arguments: TestedDevice.selectors)
    func resumesAfterKill(device: String) throws {
        let workspace = try Workspace()
        let length = Length(device: device)
        let straight = try workspace.train("straight", length.settings, device: device)
        #expect(straight.status == 0, "\(straight)")

        let process = try ForjaProcess(
            Workspace.training("stopped", length.settings, device: device), in: workspace)
        try process.send(SIGKILL) { workspace.lastStep("stopped") >= length.signalStep }
        #expect(try process.wait().status == -SIGKILL)
        #expect(workspace.lastStep("stopped") < length.steps)

        let resumed = try workspace.train(
            "stopped", length.settings, ["--resume"], device: device)
        #expect(resumed.status == 0, "\(resumed)")
        #expect(!resumed.errors.contains("resumed from step \(length.steps)"))
        #expect(resumed.errors.contains("resumed from step "))
        try workspace.expectEqualRuns("straight", "stopped", steps: length.steps)
    }

    @Test(
        "SIGINT and SIGTERM save the step, exit with 130 and say how to go on",
        arguments: TestedDevice.selectors)
    func resumesAfterSignals(device: String) throws {
        let workspace = try Workspace()
        let length = Length(device: device)
        let straight = try workspace.train("straight", length.settings, device: device)
        #expect(straight.status == 0, "\(straight)")

        for (signal, name) in [(SIGINT, "SIGINT"), (SIGTERM, "SIGTERM")] {
            let process = try ForjaProcess(
                Workspace.training(name, length.settings, device: device), in: workspace)
            try process.send(signal) { workspace.lastStep(name) >= length.signalStep }
            let stopped = try process.wait()
            #expect(stopped.status == 130, "\(stopped)")
            #expect(stopped.output.isEmpty)
            #expect(stopped.errors.contains("--run-dir \(name) --resume"), "\(stopped)")
            let step = workspace.lastStep(name)
            #expect(stopped.errors.contains("error: \(name): step \(step) is saved in \(name)\n"))
            #expect(workspace.has("\(name)/checkpoints/step-\(step)/forja.json"))

            let resumed = try workspace.train(
                name, length.settings, ["--resume"], device: device)
            #expect(resumed.status == 0, "\(resumed)")
            #expect(resumed.errors.contains("resumed from step \(step)\n"))
            try workspace.expectEqualRuns("straight", name, steps: length.steps)
        }
    }

    @Test("a torn last line and lines past the checkpoint leave metrics.jsonl")
    func dropsTornMetrics() throws {
        let workspace = try Workspace.withTrainedRun()
        // As if the process had died in step 12's line, before checkpoint 12.
        try FileManager.default.removeItem(atPath: workspace.file("run/checkpoints/step-12"))
        let text = String(decoding: try workspace.data("run/metrics.jsonl"), as: UTF8.self)
        let lines = text.split(separator: "\n")
        try workspace.write(
            "run/metrics.jsonl",
            lines[..<11].map { $0 + "\n" }.joined() + lines[11].prefix(lines[11].count / 2))

        let resumed = try workspace.train("run", [], ["--resume"])
        #expect(resumed.status == 0, "\(resumed)")
        #expect(resumed.errors.contains("resumed from step 8\n"))
        #expect(workspace.stepMetrics("run") == (try Workspace.trained.get().stepMetrics("run")))
        #expect(
            String(decoding: try workspace.data("run/metrics.jsonl"), as: UTF8.self)
                .split(separator: "\n").count == lines.count)
    }

    @Test("a finished run has nothing to resume")
    func finishedRunStays() throws {
        let workspace = try Workspace.withTrainedRun()
        let metrics = try workspace.data("run/metrics.jsonl")
        let resumed = try workspace.train("run", [], ["--resume", "--json"])
        #expect(resumed.status == 0, "\(resumed)")
        #expect(resumed.errors == "run has all 12 steps already\n")
        #expect(try workspace.data("run/metrics.jsonl") == metrics)
        let outcome = try resumed.json()
        #expect(outcome["step"] as? Int == 12)
        let last = try #require(workspace.stepMetrics("run").last?.validationLoss)
        #expect(outcome["validation_loss"] as? Double == last)
    }
}
