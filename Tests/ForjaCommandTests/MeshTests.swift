import ForjaRuntime
import ForjaTestSupport
import Foundation
import Testing

/// `forja train --data-parallel`: what a user sees of several ranks in one process.
@Suite("Training on a mesh of one process")
struct MeshTests {
    /// Losses of a run, by step.
    private func losses(_ run: String, in workspace: Workspace) -> [Double] {
        workspace.stepMetrics(run).compactMap(\.loss)
    }

    private func expectClose(
        _ seen: [Double], _ expected: [Double], sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(seen.count == expected.count, sourceLocation: sourceLocation)
        for (a, b) in zip(seen, expected) {
            // Sums over ranks are taken in another order than on one device.
            #expect(abs(a / b - 1) <= 1e-5, sourceLocation: sourceLocation)
        }
    }

    @Test(
        "data 2 and 4 give the losses of one device, once each", arguments: TestedDevice.selectors)
    func matchesOneDevice(device: String) throws {
        let workspace = try Workspace()
        let one = try workspace.train("one", device: device)
        #expect(one.status == 0, "\(one)")
        for ranks in ["2", "4"] {
            let mesh = try workspace.train(
                "mesh\(ranks)", [], ["--data-parallel", ranks], device: device)
            #expect(mesh.status == 0, "\(mesh)")
            expectClose(losses("mesh\(ranks)", in: workspace), losses("one", in: workspace))
            let validation = { (run: String) in
                workspace.stepMetrics(run).compactMap(\.validationLoss)
            }
            expectClose(validation("mesh\(ranks)"), validation("one"))
            #expect(mesh.errors.components(separatedBy: "step 12/12").count == 2, "\(mesh)")
        }
    }

    private static let hasPoCL =
        Device.openCLDevices().first?.platform == "Portable Computing Language"

    @Test(
        "two devices of PoCL serve as ranks as sub-devices of one do",
        .enabled(if: hasPoCL, "needs PoCL, whose devices can be made by name"))
    func takesDevices() throws {
        let workspace = try Workspace()
        let mesh = ["--data-parallel", "2"]
        let parts = try workspace.train("parts", [], mesh, device: "opencl:0")
        #expect(parts.status == 0, "\(parts)")
        let devices = try workspace.train(
            "devices", [], mesh, device: "opencl:0",
            environment: ["POCL_DEVICES": "pthread pthread"])
        #expect(devices.status == 0, "\(devices)")
        #expect(!devices.errors.contains("share"), "\(devices)")
        #expect(!devices.errors.contains("sub-devices"), "\(devices)")
        expectClose(losses("devices", in: workspace), losses("parts", in: workspace))
    }

    @Test("the same mesh twice, and stopped and resumed, gives the same bits")
    func resumesOnTheSameMesh() throws {
        let workspace = try Workspace()
        for run in ["first", "second"] {
            let outcome = try workspace.train(run, [], ["--data-parallel", "2"])
            #expect(outcome.status == 0, "\(outcome)")
        }
        let stopped = try workspace.train(
            "stopped", [], ["--data-parallel", "2"],
            environment: ["FORJA_TEST_FAULT": "fail:1:7"])
        #expect(stopped.status == 1)
        #expect(stopped.errors.contains("failed on purpose"), "\(stopped)")
        #expect(workspace.has("stopped/checkpoints/step-4/forja.json"))
        let resumed = try workspace.train("stopped", [], ["--data-parallel", "2", "--resume"])
        #expect(resumed.status == 0, "\(resumed)")
        #expect(resumed.errors.contains("resumed from step 4\n"))
        for run in ["second", "stopped"] {
            #expect(workspace.stepMetrics(run) == workspace.stepMetrics("first"))
            for name in [
                "model.safetensors", "optimizer-00001-of-00002.safetensors",
                "optimizer-00002-of-00002.safetensors",
            ] {
                let file = "checkpoints/step-12/\(name)"
                #expect(
                    try workspace.data("\(run)/\(file)") == workspace.data("first/\(file)"),
                    "\(run): \(name)")
            }
        }
    }

    /// FORJA_MESH_FAULTS faults; FORJA_SOAK_SEED draws other ranks and steps.
    @Test("a random rank of data 2 × tensor 2 lost at a random step changes no bit")
    func losesRanks() throws {
        let environment = ProcessInfo.processInfo.environment
        let faults = environment["FORJA_MESH_FAULTS"].flatMap(Int.init) ?? 3
        var generator = SeededGenerator(
            seed: environment["FORJA_SOAK_SEED"].flatMap(UInt64.init) ?? 1)
        let workspace = try Workspace()
        let mesh = ["--data-parallel", "2", "--tensor-parallel", "2"]
        let straight = try workspace.train("straight", TensorMeshTests.model, mesh)
        #expect(straight.status == 0, "\(straight)")
        for number in 1...faults {
            let run = "run-\(number)"
            // A thread cannot be killed: it throws, or takes the process with it.
            let kind = Bool.random(using: &generator) ? "fail" : "kill"
            let rank = Int.random(in: 0..<4, using: &generator)
            let step = Int.random(in: 1...12, using: &generator)
            let lost = try workspace.train(
                run, TensorMeshTests.model, mesh,
                environment: ["FORJA_TEST_FAULT": "\(kind):\(rank):\(step)"])
            #expect(lost.status != 0, "\(kind) of rank \(rank) at step \(step): \(lost)")
            let resumed = try workspace.train(run, TensorMeshTests.model, mesh + ["--resume"])
            #expect(resumed.status == 0, "\(kind) of rank \(rank) at step \(step): \(resumed)")
            #expect(workspace.stepMetrics(run) == workspace.stepMetrics("straight"))
            let files = try workspace.entries("straight/checkpoints/step-12")
            for name in files where name.hasSuffix(".safetensors") {
                let file = "checkpoints/step-12/\(name)"
                #expect(
                    try workspace.data("\(run)/\(file)") == workspace.data("straight/\(file)"),
                    "\(kind) of rank \(rank) at step \(step): \(name)")
            }
        }
    }

    @Test("a checkpoint of one mesh goes on on another", arguments: TestedDevice.selectors)
    func resumesOnAnotherMesh(device: String) throws {
        let workspace = try Workspace()
        let straight = try workspace.train("straight", device: device)
        #expect(straight.status == 0, "\(straight)")
        // Checkpoints at 4 and 8 by two ranks, then one, then four.
        for (steps, ranks, zero) in [
            ("4", "2", "1"), ("8", "1", "1"), ("10", "4", "1"), ("12", "2", "0"),
        ] {
            let part = try workspace.train(
                "moved", ["training.max_steps=\(steps)", "parallel.zero=\(zero)"],
                ["--data-parallel", ranks] + (steps == "4" ? [] : ["--resume"]), device: device)
            #expect(part.status == 0, "\(part)")
            if steps != "4" {
                #expect(
                    part.errors.contains("mesh") && part.errors.contains("changed since"), "\(part)"
                )
            }
        }
        expectClose(losses("moved", in: workspace), losses("straight", in: workspace))
    }

    @Test("a rank that hangs is named with its step, and the command ends")
    func namesTheHangingRank() throws {
        let workspace = try Workspace()
        let outcome = try workspace.train(
            "run", ["parallel.timeout_seconds=2"], ["--data-parallel", "2"],
            environment: ["FORJA_TEST_FAULT": "hang:1:6"])
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("rank 1 on "), "\(outcome)")
        #expect(outcome.errors.contains("step 6"), "\(outcome)")
        #expect(outcome.errors.contains("--resume"), "\(outcome)")
    }

    @Test("no checkpoint is made of ranks whose weights differ")
    func refusesDivergedRanks() throws {
        let workspace = try Workspace()
        let outcome = try workspace.train(
            "run", ["parallel.zero=0"], ["--data-parallel", "2"],
            environment: ["FORJA_TEST_FAULT": "diverge:1:6"])
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("the ranks' weights differ"), "\(outcome)")
        #expect(workspace.has("run/checkpoints/step-4/forja.json"))
        #expect(!workspace.has("run/checkpoints/step-8"))
    }

    @Test("SIGTERM saves the step on every rank")
    func stopsOnSignal() throws {
        let workspace = try Workspace()
        let settings = ["training.max_steps=4000", "checkpoint.every_steps=4000"]
        let process = try ForjaProcess(
            Workspace.training("run", settings, ["--data-parallel", "2"]), in: workspace)
        try process.send(SIGTERM) { workspace.lastStep("run") >= 20 }
        let stopped = try process.wait()
        #expect(stopped.status == 130, "\(stopped)")
        let step = workspace.lastStep("run")
        #expect(workspace.has("run/checkpoints/step-\(step)/optimizer-00002-of-00002.safetensors"))
    }

    @Test("a degree that does not divide the batch is refused with those that do")
    func refusesBadDegree() throws {
        let workspace = try Workspace()
        let outcome = try workspace.train("run", [], ["--data-parallel", "3"])
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("parallel.data is 3"), "\(outcome)")
        #expect(outcome.errors.contains("use one of 1, 2, 4"), "\(outcome)")
        #expect(!workspace.has("run"))
    }

    @Test("a trace shows operations and collectives of every rank")
    func writesTrace() throws {
        let workspace = try Workspace()
        let outcome = try workspace.train(
            "run", ["training.max_steps=2"], ["--data-parallel", "2", "--trace", "trace.json"])
        #expect(outcome.status == 0, "\(outcome)")
        let events = try #require(
            JSONSerialization.jsonObject(with: workspace.data("trace.json")) as? [[String: Any]])
        let complete = events.filter { $0["ph"] as? String == "X" }
        for rank in 0..<2 {
            let own = complete.filter { $0["pid"] as? Int == rank }
            let names = Set(own.compactMap { $0["name"] as? String })
            #expect(names.contains("adamw"))
            #expect(names.contains { $0.hasPrefix("reduce-scatter gradient bucket") })
            #expect(names.contains { $0.hasPrefix("all-gather weight bucket") })
            #expect(own.allSatisfy { ($0["dur"] as? Double ?? -1) >= 0 })
        }
    }
}
