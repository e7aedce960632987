import ForjaCore
import ForjaFormats
import ForjaTraining
import Foundation

/// Runs a pipeline's stages in order, each in a run directory of its own below the pipeline's:
///
///     01-pretrain/ 02-sft/ ..               run directories as `forja train` makes them
///     01-pretrain.json 02-sft.json ..       what went into each, and what was measured on it
///     pipeline.yaml report.json report.md
///
/// A stage whose inputs are those of its record is not run again; one that was interrupted goes on from its newest
/// checkpoint; one whose inputs changed runs anew, and what it had made is kept under another name.
public struct Pipeline {
    /// Brings a recipe to its last step in a run directory, going on from what is there.
    public typealias Train =
        (_ recipe: Recipe, _ directory: String, _ isResuming: Bool) throws -> Void
    /// Measures a model, by its directory.
    public typealias Evaluate = (_ model: String) throws -> [String: Double]

    private let file: PipelineFile
    private let path: String
    private let lock: FileLock
    private let note: (String) -> Void

    /// - Parameters:
    ///   - isResuming: Continues what is in the directory.
    /// - Throws: `.invalidInput` when it holds a pipeline and `isResuming` is false; `.unavailable` when another process
    ///   uses it.
    public init(
        _ file: PipelineFile, directory path: String, isResuming: Bool,
        note: @escaping (String) -> Void
    ) throws(ForjaError) {
        self.file = file
        self.path = path
        self.note = note
        try makeDirectory(at: path)
        let present = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        guard isResuming || present.allSatisfy({ $0.hasPrefix(".") }) else {
            throw ForjaError(
                .invalidInput, "the run directory \(path) is not empty",
                fix: "add --resume to continue that pipeline, or name another directory")
        }
        lock = try FileLock(directory: path)
        if let text = FileManager.default.contents(atPath: file.file) {
            try AtomicFile.write(
                String(decoding: text, as: UTF8.self), to: self.file("pipeline.yaml"))
        }
    }

    private func file(_ name: String) -> String { (path as NSString).appendingPathComponent(name) }

    /// Runs what is left to run.
    ///
    /// - Parameter evaluation: Names what `evaluate` measures, so that it is measured again when that changes.
    public func run(
        evaluation: String, train: Train, evaluate: Evaluate
    ) throws -> PipelineReport {
        var report = PipelineReport()
        var directories: [String: String] = [:]
        for (index, stage) in file.stages.enumerated() {
            let number = index + 1
            let directory = file("\(number < 10 ? "0" : "")\(number)-\(stage.name)")
            directories[stage.name] = directory
            let title = "stage \(number)/\(file.stages.count) \(stage.name)"
            let recipe = try file.recipe(
                of: stage, startingFrom: stage.start.flatMap { directories[$0] })
            var record = try prepare(recipe, in: directory, title: title)
            if RunDirectory.checkpointSteps(in: directory).last == recipe.maxSteps {
                note("\(title): done before")
            } else {
                note(title)
                do {
                    let isStarted = FileManager.default.fileExists(atPath: directory)
                    try train(recipe, directory, isStarted)
                } catch var error as ForjaError where error.code == .interrupted {
                    error.fix = "continue with the same command and --run-dir \(path) --resume"
                    throw error
                }
            }
            let checkpoint =
                (directory as NSString).appendingPathComponent(
                    "checkpoints/step-\(recipe.maxSteps)")
            if record.metrics == nil || record.evaluation != evaluation {
                note("\(title): measuring")
                record.metrics = try evaluate(checkpoint)
                record.evaluation = evaluation
                try record.write(for: directory)
            }
            report.stages.append(
                PipelineReport.Stage(
                    name: stage.name, checkpoint: checkpoint, metrics: record.metrics ?? [:]))
            try write(report)
        }
        return report
    }

    /// Makes a stage's directory ready: new, or as it was left when its inputs are still the same.
    private func prepare(
        _ recipe: Recipe, in directory: String, title: String
    ) throws -> StageRecord {
        let inputs = try recipe.inputDigest().description
        let known = try StageRecord(of: directory)
        if let known, known.inputs == inputs { return known }
        let record = StageRecord(inputs: inputs)
        if known != nil, FileManager.default.fileExists(atPath: directory) {
            var number = 1
            while FileManager.default.fileExists(atPath: "\(directory).replaced-\(number)") {
                number += 1
            }
            let aside = "\(directory).replaced-\(number)"
            guard rename(directory, aside) == 0 else {
                throw ForjaError(
                    .inputOutput,
                    "cannot move \(directory) to \(aside): \(String(cString: strerror(errno)))",
                    fix: "move it away yourself: the stage's inputs changed")
            }
            note("\(title): its inputs changed, so it runs anew; what it had made is in \(aside)")
        }
        try record.write(for: directory)
        return record
    }

    private func write(_ report: PipelineReport) throws(ForjaError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        guard let json = try? encoder.encode(report) else {
            preconditionFailure("records hold finite numbers")
        }
        try AtomicFile.write(String(decoding: json, as: UTF8.self), to: file("report.json"))
        try AtomicFile.write("# \(file.name)\n\n\(report.table)\n", to: file("report.md"))
    }
}
