import ForjaTestSupport
import Foundation
import Testing

/// A temporary directory with a text and a recipe small enough that a step takes less than a millisecond on the CPU.
final class Workspace: Sendable {
    /// Tokenizers, token shards and compiled kernels of every workspace.
    static let cache: TemporaryDirectory = {
        // A static value is never released, so its directory goes when the process ends.
        atexit { try? FileManager.default.removeItem(atPath: Workspace.cache.path) }
        do { return try TemporaryDirectory() } catch { fatalError("\(error)") }
    }()

    /// A run of 12 steps on the CPU with checkpoints at 8 and 12, in "run"; copy it before changing anything.
    static let trained: Result<Workspace, any Error> = Result {
        atexit {
            guard let path = try? Workspace.trained.get().path else { return }
            try? FileManager.default.removeItem(atPath: path)
        }
        let workspace = try Workspace()
        let outcome = try workspace.train("run")
        try #require(outcome.status == 0, "\(outcome)")
        return workspace
    }

    private let directory: TemporaryDirectory

    var path: String { directory.path }

    init() throws {
        directory = try TemporaryDirectory()
        try write("recipe.yaml", Self.recipe(text: Self.text.get()))
    }

    /// A workspace that holds a copy of the trained run.
    static func withTrainedRun() throws -> Workspace {
        let workspace = try Workspace()
        try FileManager.default.copyItem(
            atPath: trained.get().file("run"), toPath: workspace.file("run"))
        return workspace
    }

    func file(_ name: String) -> String { directory.file(name) }

    func has(_ name: String) -> Bool { FileManager.default.fileExists(atPath: file(name)) }

    func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: file(name)))
    }

    func data(_ name: String) throws -> Data {
        try #require(FileManager.default.contents(atPath: file(name)), "no \(name)")
    }

    func entries(_ name: String) throws -> Set<String> {
        Set(try FileManager.default.contentsOfDirectory(atPath: file(name)))
    }

    /// Runs `forja` to its end.
    func run(
        _ arguments: String..., environment: [String: String] = [:], launcher: [String] = []
    ) throws -> ForjaProcess.Outcome {
        try ForjaProcess(
            arguments, in: self, environment: environment, launcher: launcher
        ).wait()
    }

    /// Arguments of `forja train` on the recipe, with `settings` as `--set`.
    static func training(
        _ run: String, _ settings: [String] = [], _ more: [String] = [], device: String = "cpu"
    ) -> [String] {
        ["train", "recipe.yaml", "--run-dir", run, "--device", device]
            + settings.flatMap { ["--set", $0] } + more
    }

    /// Trains to the end.
    func train(
        _ run: String, _ settings: [String] = [], _ more: [String] = [], device: String = "cpu",
        environment: [String: String] = [:], launcher: [String] = []
    ) throws -> ForjaProcess.Outcome {
        try ForjaProcess(
            Self.training(run, settings, more, device: device), in: self,
            environment: environment, launcher: launcher
        ).wait()
    }

    /// Whole lines of a run's metrics.jsonl.
    func metrics(_ run: String) -> [[String: Any]] {
        let data = FileManager.default.contents(atPath: file("\(run)/metrics.jsonl")) ?? Data()
        return data.split(separator: UInt8(ascii: "\n")).compactMap {
            try? JSONSerialization.jsonObject(with: $0) as? [String: Any]
        }
    }

    /// What a step left in metrics.jsonl; equal runs have equal lists.
    struct StepMetrics: Hashable {
        let step: Int
        let loss: Double?
        let gradientNorm: Double?
        let validationLoss: Double?
    }

    func stepMetrics(_ run: String) -> [StepMetrics] {
        metrics(run).map {
            StepMetrics(
                step: $0["step"] as? Int ?? -1, loss: $0["loss"] as? Double,
                gradientNorm: $0["gradient_norm"] as? Double,
                validationLoss: $0["validation_loss"] as? Double)
        }
    }

    /// Step of the last whole line of a run's metrics.jsonl.
    func lastStep(_ run: String) -> Int {
        let newline = UInt8(ascii: "\n")
        let data = FileManager.default.contents(atPath: file("\(run)/metrics.jsonl")) ?? Data()
        guard let end = data.lastIndex(of: newline) else { return 0 }
        // Only this line is parsed: a signal's moment passes while thousands are.
        let start = data[..<end].lastIndex(of: newline).map { $0 + 1 } ?? 0
        let object = try? JSONSerialization.jsonObject(with: data[start..<end]) as? [String: Any]
        return object?["step"] as? Int ?? 0
    }

    /// The text of every workspace, at one path: a resumed run asks for the same `data.train`.
    private static let text = Result { () throws -> String in
        let lines = (0..<200).map { number in
            "line \(number * 7919 % 1000): fox \(number) runs over the hill, then sings and rests.\n"
        }
        let path = cache.file("text.txt")
        try Data(lines.joined().utf8).write(to: URL(fileURLWithPath: path))
        return path
    }

    private static func recipe(text: String) -> String {
        """
        name: tiny
        model:
          width: 16
          layers: 2
          heads: 2
          key_value_heads: 1
          feed_forward_width: 32
        tokenizer:
          train:
            kind: characters
        data:
          train: \(text)
        training:
          max_steps: 12
          batch_size_sequences: 4
          sequence_length_tokens: 16
        schedule:
          kind: constant
          learning_rate: 0.01
        checkpoint:
          every_steps: 4

        """
    }
}
