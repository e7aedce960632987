import ForjaTestSupport
import Foundation
import Testing

/// `forja tune`, and what a tuning does to a run: nothing but speed.
@Suite("Tuning")
struct TuneTests {
    private static let openCL: [String] = TestedDevice.all.map(\.description).filter {
        $0 == "opencl:0"
    }

    /// The tuning file's choices.
    private func choices(_ path: String) throws -> [[String: Any]] {
        let data = try #require(FileManager.default.contents(atPath: path), "no \(path)")
        let file = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
        let tuning = try #require(file["tuning"] as? [String: Any])
        return try #require(tuning["choices"] as? [[String: Any]])
    }

    private func tune(
        _ workspace: Workspace, device: String, _ more: [String] = [],
        environment: [String: String] = [:]
    ) throws -> ForjaProcess.Outcome {
        let variables = ["FORJA_CACHE_DIR": workspace.file("cache")].merging(environment) { $1 }
        return try ForjaProcess(
            ["tune", "recipe.yaml", "--device", device, "--dtype", "f32", "--json"] + more,
            in: workspace, environment: variables
        ).wait()
    }

    @Test("the host CPU has nothing to tune")
    func hostHasNothing() throws {
        let workspace = try Workspace()
        let outcome = try tune(workspace, device: "cpu")
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.errors.contains("nothing to tune"))
        #expect(try (outcome.json()["measured"] as? [Any])?.isEmpty == true)
    }

    @Test("measures each class of shapes once and keeps it", arguments: openCL)
    func measuresOnce(device: String) throws {
        let workspace = try Workspace()
        let first = try tune(workspace, device: device)
        #expect(first.status == 0, "\(first)")
        let measured = try #require(first.json()["measured"] as? [[String: Any]])
        #expect(Set(measured.compactMap { $0["op"] as? String }).count == 3)
        for row in measured {
            let variants = try #require(row["variants"] as? [[String: Any]])
            #expect(variants.count { $0["default"] as? Bool == true } == 1)
            #expect(variants.allSatisfy { $0["rejected"] == nil }, "\(row)")
            #expect(variants.allSatisfy { $0["ms"] is Double })
        }
        let path = try #require(first.json()["file"] as? String)
        #expect(path.hasPrefix(workspace.file("cache") + "/tuning/"))
        #expect(try choices(path).count == measured.count)

        let second = try tune(workspace, device: device)
        #expect(second.status == 0, "\(second)")
        #expect(try second.json()["known"] as? Int == measured.count)
        #expect(try (second.json()["measured"] as? [Any])?.isEmpty == true)
    }

    @Test("a wrong variant planted among the kernels never wins", arguments: openCL)
    func wrongVariantNeverWins(device: String) throws {
        let workspace = try Workspace()
        let kernels = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("kernels").path
        try FileManager.default.copyItem(atPath: kernels, toPath: workspace.file("kernels"))
        // Panels of four and of eight rows lose a term of each sum.
        let name = "kernels/matmul_cpu.cl"
        let text = String(decoding: try workspace.data(name), as: UTF8.self)
        let loop = "for (int t = 0; t < step; t++, a_k += TILE_M, b_k += TILE_N) {"
        #expect(text.contains(loop))
        try workspace.write(
            name,
            text.replacingOccurrences(
                of: loop, with: loop + " if (t == 3 && (TILE_M == 4 || TILE_M == 8)) continue;"))

        let outcome = try tune(
            workspace, device: device, environment: ["FORJA_KERNELS": workspace.file("kernels")])
        #expect(outcome.status == 0, "\(outcome)")
        let measured = try #require(outcome.json()["measured"] as? [[String: Any]])
        let planted: Set<String> = ["cpu:8x32", "cpu:4x16"]
        var rejected: Set<String> = []
        for row in measured where row["op"] as? String == "matmul" {
            #expect(!planted.contains(row["chosen"] as? String ?? ""))
            for variant in try #require(row["variants"] as? [[String: Any]]) {
                let identifier = try #require(variant["variant"] as? String)
                guard planted.contains(identifier) else { continue }
                #expect(variant["rejected"] is String, "\(row)")
                #expect(variant["ms"] == nil)
                rejected.insert(identifier)
            }
        }
        #expect(rejected == planted)
        #expect(outcome.errors.contains("rejected cpu:8x32: result "))
    }

    @Test("a tuning changed between stop and resume changes no bit", arguments: openCL)
    func tuningChangesNoBit(device: String) throws {
        let workspace = try Workspace()
        let cache = ["FORJA_CACHE_DIR": workspace.file("cache")]
        let straight = try workspace.train("straight", [], device: device, environment: cache)
        #expect(straight.status == 0, "\(straight)")
        let stopped = try workspace.train(
            "stopped", ["training.max_steps=4"], device: device, environment: cache)
        #expect(stopped.status == 0, "\(stopped)")

        // Every class gets a variant that is not the default.
        let tuned = try tune(workspace, device: device)
        #expect(tuned.status == 0, "\(tuned)")
        let path = try #require(tuned.json()["file"] as? String)
        var exchanged: [[String: Any]] = []
        for row in try #require(tuned.json()["measured"] as? [[String: Any]]) {
            let other = try #require(row["variants"] as? [[String: Any]]).last {
                $0["default"] as? Bool == false && $0["other_order"] as? Bool == false
            }
            guard let variant = other?["variant"] else { continue }
            exchanged.append([
                "operation": row["op"]!, "shape_class": row["shape_class"]!, "variant": variant,
            ])
        }
        #expect(!exchanged.isEmpty)
        let data = try #require(FileManager.default.contents(atPath: path))
        var file = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
        file["tuning"] = ["choices": exchanged]
        try JSONSerialization.data(withJSONObject: file).write(to: URL(fileURLWithPath: path))

        let resumed = try workspace.train(
            "stopped", [], ["--resume"], device: device, environment: cache)
        #expect(resumed.status == 0, "\(resumed)")
        let fresh = try workspace.train("fresh", [], device: device, environment: cache)
        #expect(fresh.status == 0, "\(fresh)")
        for run in ["stopped", "fresh"] {
            try expectSameBits(workspace, run, "straight")
        }
        // The resumed run went on with what it began with; the fresh one took the tuning.
        #expect(try recordedChoices(workspace, "stopped").isEmpty)
        #expect(try recordedChoices(workspace, "fresh").count == exchanged.count)
    }

    /// Losses and gradient norms of 12 steps, and the weights after them. Validation is left out: a run
    /// stopped at step 4 has one there.
    private func expectSameBits(
        _ workspace: Workspace, _ a: String, _ b: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let lines = [a, b].map { run in
            workspace.stepMetrics(run).filter { $0.loss != nil }.map {
                [$0.step, $0.loss ?? 0, $0.gradientNorm ?? 0] as [AnyHashable]
            }
        }
        #expect(lines[0].count == 12, sourceLocation: sourceLocation)
        #expect(lines[0] == lines[1], sourceLocation: sourceLocation)
        let weights = try [a, b].map {
            try workspace.data("\($0)/checkpoints/step-12/model.safetensors")
        }
        #expect(weights[0] == weights[1], sourceLocation: sourceLocation)
    }

    private func recordedChoices(_ workspace: Workspace, _ run: String) throws -> [Any] {
        let kernels = try kernels(workspace, run)
        return try #require((kernels["tuning"] as? [String: Any])?["choices"] as? [Any])
    }

    private func kernels(_ workspace: Workspace, _ run: String) throws -> [String: Any] {
        let state = try JSONSerialization.jsonObject(
            with: workspace.data("\(run)/checkpoints/step-12/forja.json"))
        return try #require((state as? [String: Any])?["kernels"] as? [String: Any])
    }

    @Test("what was forced stays forced after a resume", arguments: openCL)
    func keepsForcedVariants(device: String) throws {
        let workspace = try Workspace()
        let reference = ["FORJA_MATMUL_VARIANT": "ref"]
        let straight = try workspace.train("straight", [], device: device, environment: reference)
        #expect(straight.status == 0, "\(straight)")
        let stopped = try workspace.train(
            "stopped", ["training.max_steps=4"], device: device, environment: reference)
        #expect(stopped.status == 0, "\(stopped)")
        let resumed = try workspace.train("stopped", [], ["--resume"], device: device)
        #expect(resumed.status == 0, "\(resumed)")
        #expect(!resumed.errors.contains("last bits"), "\(resumed)")
        try expectSameBits(workspace, "stopped", "straight")
        #expect(
            try kernels(workspace, "stopped")["forced"] as? [String: String] == ["matmul": "ref"])

        let other = try workspace.train(
            "stopped", ["training.max_steps=13"], ["--resume"], device: device,
            environment: ["FORJA_MATMUL_VARIANT": "gpu"])
        #expect(other.status == 0, "\(other)")
        #expect(other.errors.contains("the environment forces other kernels"), "\(other)")
    }
}
