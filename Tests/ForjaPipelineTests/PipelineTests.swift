import ForjaCore
import ForjaPipeline
import ForjaTestSupport
import ForjaTraining
import Foundation
import Testing

/// The order of stages, what is run again and what is not; stages here write a checkpoint's files without training.
@Suite("Pipelines")
struct PipelineTests {
    /// A directory with a pipeline, and what happened in it.
    final class Bench {
        let directory: TemporaryDirectory
        var events: [String] = []
        /// The stage that fails instead of ending.
        var failing: String?
        var path: String { directory.file("run") }

        init() throws { directory = try PipelineFileTests.directory() }

        func run(
            _ overrides: [String] = [], isResuming: Bool = false, evaluation: String = "a"
        ) throws -> PipelineReport {
            let file = try PipelineFile(
                contentsOf: directory.file("pipeline.yaml"), overrides: overrides)
            return try Pipeline(file, directory: path, isResuming: isResuming, note: { _ in }).run(
                evaluation: evaluation,
                train: { recipe, directory, isResuming in
                    events.append("train \(recipe.name)\(isResuming ? " on" : "")")
                    let step = recipe.name == failing ? 1 : recipe.maxSteps
                    let checkpoint = "\(directory)/checkpoints/step-\(step)"
                    try FileManager.default.createDirectory(
                        atPath: checkpoint, withIntermediateDirectories: true)
                    try Data("\(recipe.name) \(recipe.seed)".utf8).write(
                        to: URL(fileURLWithPath: "\(checkpoint)/config.json"))
                    if recipe.name == failing {
                        throw ForjaError(.interrupted, "SIGTERM", fix: "something of the stage's")
                    }
                },
                evaluate: { model in
                    events.append("measure \(URL(fileURLWithPath: model).lastPathComponent)")
                    return ["held_out_loss": 1.5, "pass_at_1": 0.25]
                })
        }

        func takeEvents() -> [String] {
            defer { events = [] }
            return events
        }
    }

    @Test("stages run in order, are measured, and are not run again")
    func runs() throws {
        let bench = try Bench()
        let report = try bench.run()
        #expect(
            bench.takeEvents() == [
                "train first", "measure step-3", "train second", "measure step-2",
            ])
        #expect(report.stages.map(\.name) == ["first", "second"])
        #expect(report.stages[1].checkpoint == "\(bench.path)/02-second/checkpoints/step-2")
        #expect(report.table.contains("| first  | 1.5           | 0.25      |"), "\(report.table)")
        #expect(throws: ForjaError.self) { try bench.run() }
        _ = try bench.run(isResuming: true)
        #expect(bench.takeEvents() == [])
        // Another measure is taken of what is there.
        _ = try bench.run(isResuming: true, evaluation: "b")
        #expect(bench.takeEvents() == ["measure step-3", "measure step-2"])
    }

    @Test("an interrupted stage goes on, and the message says how")
    func resumes() throws {
        let bench = try Bench()
        bench.failing = "second"
        let error = #expect(throws: ForjaError.self) { try bench.run() }
        #expect(error?.code == .interrupted)
        #expect(error?.fix?.contains("--run-dir \(bench.path) --resume") == true)
        bench.failing = nil
        _ = bench.takeEvents()
        _ = try bench.run(isResuming: true)
        #expect(bench.takeEvents() == ["train second on", "measure step-2"])
    }

    @Test("changed inputs run a stage and those after it anew, and what it had made is kept")
    func repeats() throws {
        let bench = try Bench()
        _ = try bench.run()
        _ = bench.takeEvents()
        _ = try bench.run(["second.schedule.learning_rate=0.02"], isResuming: true)
        #expect(bench.takeEvents() == ["train second", "measure step-2"])
        #expect(FileManager.default.fileExists(atPath: "\(bench.path)/02-second.replaced-1"))
        // Another seed makes another first model, from which the second starts.
        _ = try bench.run(
            ["second.schedule.learning_rate=0.02", "seed=8"], isResuming: true)
        #expect(
            bench.takeEvents() == [
                "train first", "measure step-3", "train second", "measure step-2",
            ])
        // Where checkpoints are made changes nothing.
        _ = try bench.run(
            ["second.schedule.learning_rate=0.02", "seed=8", "first.checkpoint.every_steps=1"],
            isResuming: true)
        #expect(bench.takeEvents() == [])
    }

    @Test("changed text runs every stage that reads it anew")
    func noticesData() throws {
        let bench = try Bench()
        _ = try bench.run()
        _ = bench.takeEvents()
        try Data("another text, another text, another text".utf8).write(
            to: URL(fileURLWithPath: bench.directory.file("text.txt")))
        _ = try bench.run(isResuming: true)
        #expect(
            bench.takeEvents().filter { $0.hasPrefix("train") } == ["train first", "train second"])
    }
}
