import Foundation
import Testing

/// What a run trains on is known by its contents: files may move between a run's parts, not change.
@Suite("Resume with data elsewhere")
struct ResumeDataTests {
    private static let lines = (0..<120).map { "\($0 * 37 % 100) birds over \($0) hills.\n" }

    /// A run of 4 steps on files of its own, with a tokenizer given where `tokenizer` names a file.
    private func begin(_ settings: String...) throws -> Workspace {
        let workspace = try Workspace()
        try workspace.write("train.txt", Self.lines.joined())
        try workspace.write("held.txt", Self.lines.reversed().joined())
        let outcome = try workspace.train(
            "run", ["data.train=train.txt", "training.max_steps=4"] + settings)
        try #require(outcome.status == 0, "\(outcome)")
        return workspace
    }

    private func move(_ name: String, to other: String, in workspace: Workspace) throws {
        let directory = (workspace.file(other) as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        try FileManager.default.moveItem(
            atPath: workspace.file(name), toPath: workspace.file(other))
    }

    @Test("moved files and a moved recipe give the run that did not move")
    func movedFiles() throws {
        let held = "data.validation=held.txt"
        let straight = try begin(held, "training.max_steps=8")
        let workspace = try begin(held)
        try move("train.txt", to: "there/text.txt", in: workspace)
        try move("held.txt", to: "there/held.txt", in: workspace)
        try move("recipe.yaml", to: "there/renamed.yaml", in: workspace)
        let resumed = try workspace.run(
            "train", "there/renamed.yaml", "--run-dir", "run", "--device", "cpu", "--resume",
            "--set", "data.train=there/text.txt", "--set", "data.validation=there/held.txt",
            "--set", "training.max_steps=8")
        #expect(resumed.status == 0, "\(resumed)")
        #expect(resumed.errors.contains("resumed from step 4\n"))
        let weights = "run/checkpoints/step-8/model.safetensors"
        let expected = try straight.data(weights)
        #expect(try workspace.data(weights) == expected)
        // The run now knows where its data are.
        let recipe = String(decoding: try workspace.data("run/recipe.yaml"), as: UTF8.self)
        #expect(recipe.contains("there/text.txt"))
    }

    @Test(
        "changed text is refused by key and both hashes, and the run stays as it was",
        arguments: [("train.txt", "data.train"), ("held.txt", "data.validation")])
    func changedText(file: String, key: String) throws {
        let workspace = try begin("data.validation=held.txt")
        let before = try workspace.data("run/tokenizer.json")
        try workspace.write(file, Self.lines.dropLast().joined() + "one line with a Q.\n")
        let resumed = try workspace.train(
            "run", ["data.train=train.txt", "data.validation=held.txt", "training.max_steps=8"],
            ["--resume"])
        #expect(resumed.status == 1, "\(resumed)")
        let refusal = try Regex(
            "error: \(key) has other contents than the run began with: SHA-256 [0-9a-f]{12}…, "
                + "run/manifest.json has [0-9a-f]{12}…")
        #expect(resumed.errors.contains(refusal), "\(resumed)")
        #expect(try workspace.data("run/tokenizer.json") == before)
        #expect(try workspace.entries("run/checkpoints") == ["step-4"])
    }

    @Test("a tokenizer may be given from a copy, the run's own among them, and not changed")
    func tokenizer() throws {
        let trained = try begin()
        let workspace = try Workspace()
        try workspace.write("train.txt", Self.lines.joined())
        let json = String(decoding: try trained.data("run/tokenizer.json"), as: UTF8.self)
        try workspace.write("tokenizer.json", json)
        func train(_ tokenizer: String, steps: Int, _ more: String...) throws
            -> ForjaProcess.Outcome
        {
            try workspace.train(
                "run",
                [
                    "data.train=train.txt", "tokenizer.from=\(tokenizer)",
                    "training.max_steps=\(steps)",
                ], more)
        }
        let begun = try train("tokenizer.json", steps: 4)
        try #require(begun.status == 0, "\(begun)")
        let resumed = try train("run/tokenizer.json", steps: 5, "--resume")
        #expect(resumed.status == 0, "\(resumed)")
        #expect(try workspace.data("run/tokenizer.json") == Data(json.utf8))

        try workspace.write("tokenizer.json", json + "\n")
        let refused = try train("tokenizer.json", steps: 6, "--resume")
        #expect(refused.status == 1, "\(refused)")
        #expect(refused.errors.contains("tokenizer.from has other contents"), "\(refused)")
    }

    @Test("starting weights may lie elsewhere, and not be others")
    func startingWeights() throws {
        let workspace = try begin()
        let checkpoint = "run/checkpoints/step-4"
        for name in ["start", "elsewhere"] {
            try FileManager.default.copyItem(
                atPath: workspace.file(checkpoint), toPath: workspace.file(name))
        }
        func train(_ start: String, steps: Int, _ more: String...) throws -> ForjaProcess.Outcome {
            try ForjaProcess(
                [
                    "train", "next.yaml", "--run-dir", "next", "--device", "cpu",
                    "--set", "model.from=\(start)", "--set", "training.max_steps=\(steps)",
                ] + more, in: workspace
            ).wait()
        }
        try workspace.write("next.yaml", Self.next)
        let begun = try train("start", steps: 2)
        try #require(begun.status == 0, "\(begun)")
        let moved = try train("elsewhere", steps: 3, "--resume")
        #expect(moved.status == 0, "\(moved)")
        var weights = try workspace.data("elsewhere/model.safetensors")
        weights[weights.count - 1] ^= 1
        try weights.write(
            to: URL(fileURLWithPath: workspace.file("elsewhere/model.safetensors")))
        let other = try train("elsewhere", steps: 4, "--resume")
        #expect(other.status == 1, "\(other)")
        #expect(other.errors.contains("model.from has other contents"), "\(other)")
    }

    /// A recipe that starts from a model.
    private static let next = """
        data: {train: train.txt, validation_fraction: 0}
        training: {batch_size_sequences: 2, sequence_length_tokens: 8}
        schedule: {learning_rate: 0.01}
        """

    @Test("a run with checkpoints and no manifest is not resumed blindly")
    func missingManifest() throws {
        let workspace = try begin()
        try FileManager.default.removeItem(atPath: workspace.file("run/manifest.json"))
        let resumed = try workspace.train(
            "run", ["data.train=train.txt", "training.max_steps=8"], ["--resume"])
        #expect(resumed.status == 1, "\(resumed)")
        #expect(resumed.errors.contains("manifest.json cannot be read"), "\(resumed)")
    }
}
