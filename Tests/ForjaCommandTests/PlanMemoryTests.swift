import ForjaRuntime
import ForjaTestSupport
import Foundation
import Testing

/// What `forja plan` says before a run against what the run then says it used.
@Suite("Planned memory", .serialized)
struct PlanMemoryTests {
    /// The promise: a plan is right within a tenth.
    static let tolerance = 0.1

    /// A model of about 100 MB, so that engine and process both count.
    static let settings = [
        "model.width=128", "model.feed_forward_width=512", "training.sequence_length_tokens=128",
        "training.batch_size_sequences=48", "training.max_steps=1",
    ]

    static let devices = TestedDevice.all.filter {
        (try? $0.queue().device.description.sharesHostMemory) == true
    }

    @Test("peak memory is planned within a tenth, kernels compiled or cached", arguments: devices)
    func planHoldsForTheRun(device: TestedDevice) throws {
        let workspace = try Workspace()
        // Kernel caches of this test alone: the first run compiles.
        let environment = [
            "FORJA_CACHE_DIR": workspace.file("cache"), "POCL_CACHE_DIR": workspace.file("pocl"),
        ]
        let name = device.description
        let plan = try ForjaProcess(
            ["plan", "recipe.yaml", "--device", name, "--json"]
                + Self.settings.flatMap { ["--set", $0] },
            in: workspace, environment: environment
        ).wait().json()
        func planned(_ key: String) throws -> Double {
            try #require(plan[key] as? Double, "\(key)")
        }
        #expect(
            try planned("peak_bytes") == planned("engine_bytes") + planned("process_bytes"))
        #expect(
            try planned("compiling_peak_bytes")
                == planned("peak_bytes") + planned("compiler_bytes"))
        #expect(try planned("process_bytes") > 0)
        for (run, key) in [("compiling", "compiling_peak_bytes"), ("cached", "peak_bytes")] {
            let outcome = try workspace.train(
                run, Self.settings, ["--json"], device: name, environment: environment)
            #expect(outcome.status == 0, "\(outcome)")
            let used = try #require(outcome.json()["peak_bytes"] as? Double)
            let expected = try planned(key)
            #expect(
                abs(expected / used - 1) < Self.tolerance,
                "\(name), \(run): planned \(expected), used \(used)")
        }
    }
}
