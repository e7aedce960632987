import Foundation
import Testing

/// Bad input ends in exit code 1, one error line that names it and one that says what to do; never in a crash.
@Suite("Bad input")
struct BadInputTests {
    private func expectRefusal(
        _ outcome: ForjaProcess.Outcome, _ parts: String...,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(outcome.status == 1, "\(outcome)", sourceLocation: sourceLocation)
        #expect(outcome.output.isEmpty, "\(outcome)", sourceLocation: sourceLocation)
        let lines = outcome.errors.split(separator: "\n")
        for prefix in ["error: ", "  fix: "] {
            let count = lines.count { $0.hasPrefix(prefix) }
            #expect(count == 1, "\(outcome)", sourceLocation: sourceLocation)
        }
        for part in parts {
            #expect(
                outcome.errors.contains(part), "no \"\(part)\" in \(outcome)",
                sourceLocation: sourceLocation)
        }
    }

    @Test("a recipe's wrong keys and values are named")
    func recipes() throws {
        let workspace = try Workspace()
        expectRefusal(
            try workspace.train("run", ["model.widht=16"]), "model.widht", "model.width?")
        expectRefusal(
            try workspace.train("run", ["model.heads=4", "model.key_value_heads=3"]),
            "model.key_value_heads is 3", "model.heads 4", "1, 2, 4")
        expectRefusal(
            try workspace.train("run", ["optimizer.epsilon=0"]), "optimizer.epsilon", "1e-30")
        expectRefusal(
            try workspace.train("run", ["evaluation.max_tokens=\(Int.max)"]),
            "evaluation.max_tokens")
        expectRefusal(
            try workspace.train(
                "run",
                [
                    "training.batch_size_sequences=16777216",
                    "training.sequence_length_tokens=16777216",
                ]), "training.batch_size_sequences", "training.sequence_length_tokens")
        expectRefusal(try workspace.run("train", "none.yaml"), "none.yaml")
        #expect(!workspace.has("run"))
    }

    @Test("missing and empty texts are named, and the run directory can be used again")
    func texts() throws {
        let workspace = try Workspace()
        expectRefusal(
            try workspace.train("run", ["data.train=none.txt"]), workspace.file("none.txt"))
        try workspace.write("empty.txt", "")
        expectRefusal(
            try workspace.train("run", ["data.train=empty.txt"]), workspace.file("empty.txt"))
        let corrected = try workspace.train("run", ["training.max_steps=1"])
        #expect(corrected.status == 0, "\(corrected)")
    }

    @Test("a run directory in use is not overwritten, and its recipe not changed")
    func runDirectories() throws {
        let workspace = try Workspace.withTrainedRun()
        expectRefusal(try workspace.train("run"), "run is not empty", "--resume")
        expectRefusal(
            try workspace.train("run", ["schedule.learning_rate=0.02"], ["--resume"]),
            "schedule.learning_rate")
        try FileManager.default.createDirectory(
            atPath: workspace.file("mine"), withIntermediateDirectories: false)
        try workspace.write("mine/tokenizer.json", "{}")
        expectRefusal(try workspace.train("mine"), "mine is not empty")
        #expect(try workspace.data("mine/tokenizer.json") == Data("{}".utf8))
    }

    @Test("a damaged checkpoint is named with its tensor and the last good step")
    func damagedCheckpoints() throws {
        let workspace = try Workspace.withTrainedRun()
        let name = "run/checkpoints/step-12/model.safetensors"
        let longer = ["training.max_steps=16"]
        let whole = try workspace.data(name)

        var flipped = whole
        flipped[flipped.count - 1] ^= 0x40
        try flipped.write(to: URL(fileURLWithPath: workspace.file(name)))
        expectRefusal(
            try workspace.train("run", longer, ["--resume"]), name, "tensor model.",
            "does not match its checksum", "step-8")

        try whole.dropLast(64).write(to: URL(fileURLWithPath: workspace.file(name)))
        expectRefusal(
            try workspace.train("run", longer, ["--resume"]), name, "tensor model.", "step-8")
        expectRefusal(
            try workspace.run("score", "--model", "run", "--ids", "1 2", "--device", "cpu"), name,
            "tensor model.")
        try Data().write(to: URL(fileURLWithPath: workspace.file(name)))
        expectRefusal(
            try workspace.run("generate", "--model", "run", "--prompt", "fox", "--device", "cpu"),
            name)

        try FileManager.default.removeItem(
            atPath: workspace.file("run/checkpoints/step-12"))
        let resumed = try workspace.train("run", longer, ["--resume"])
        #expect(resumed.status == 0, "\(resumed)")
        #expect(resumed.errors.contains("resumed from step 8\n"))
    }

    @Test("a model of another family and tokens outside the vocabulary are refused")
    func models() throws {
        let workspace = try Workspace.withTrainedRun()
        expectRefusal(
            try workspace.run("score", "--model", "run", "--ids", "1 99999", "--device", "cpu"),
            "99999", "0 ..<")
        expectRefusal(try workspace.run("score", "--model", "none", "--ids", "1"), "none")
        let config = "run/checkpoints/step-12/config.json"
        let text = String(decoding: try workspace.data(config), as: UTF8.self)
        try workspace.write(config, text.replacingOccurrences(of: "llama", with: "gpt2"))
        expectRefusal(
            try workspace.run("score", "--model", "run", "--ids", "1 2", "--device", "cpu"),
            config, "gpt2", "llama")
        for key in ["num_hidden_layers", "intermediate_size"] {
            let huge = text.replacing(
                try Regex("\"\(key)\" *: *[0-9]+"), with: "\"\(key)\": 2147483647")
            try workspace.write(config, huge)
            expectRefusal(
                try workspace.run("score", "--model", "run", "--ids", "1 2", "--device", "cpu"),
                "model.", "2147483647")
        }
    }

    @Test("a device that is not there is answered with those that are")
    func devices() throws {
        let workspace = try Workspace()
        let devices = try workspace.run("devices", "--json").json()["devices"]
        let selectors = try #require(devices as? [[String: Any]]).compactMap {
            $0["selector"] as? String
        }
        let absent = try workspace.train("run", device: "opencl:99")
        expectRefusal(absent, "OpenCL device 99")
        for selector in selectors where selector != "cpu" {
            #expect(absent.errors.contains(selector), "\(absent)")
        }
    }

    @Test(
        "wrong usage exits with 64",
        arguments: [
            ["train", "recipe.yaml", "--device", "gpu"], ["train", "recipe.yaml", "--resume"],
            ["train"], ["score", "--model", "run"], ["generate", "--model", "run", "--top-p", "2"],
            ["bench", "step", "--steps", "1"], ["fly"],
        ])
    func usage(arguments: [String]) throws {
        let outcome = try ForjaProcess(arguments, in: Workspace()).wait()
        #expect(outcome.status == 64, "\(outcome)")
        #expect(outcome.output.isEmpty, "\(outcome)")
        #expect(outcome.errors.hasPrefix("Error: "), "\(outcome)")
    }
}
