import ForjaCore
import ForjaPipeline
import ForjaTestSupport
import ForjaTraining
import Foundation
import Testing

@Suite("Pipeline files")
struct PipelineFileTests {
    static let recipe = """
        data: {train: text.txt, validation_fraction: 0}
              tokenizer: {train: {kind: characters}}
              training: {max_steps: 3, batch_size_sequences: 2, sequence_length_tokens: 8}
              schedule: {learning_rate: 0.01}
        """
    /// The first stage trains a tokenizer, the second starts from the first's model.
    static let text = """
        seed: 7
        model: {width: 16, layers: 1, heads: 2, feed_forward_width: 32}
        stages:
          - name: first
            recipe:
              \(recipe)
          - name: second
            recipe: second.yaml
        """
    static let second = """
        data: {train: text.txt, validation_fraction: 0}
        training: {max_steps: 2, batch_size_sequences: 2, sequence_length_tokens: 8}
        schedule: {learning_rate: 0.01}
        """

    /// A directory with the pipeline, its second recipe and the text of both.
    static func directory(_ text: String = text) throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        let files = [
            "pipeline.yaml": text, "second.yaml": second,
            "text.txt": String(repeating: "to be or not to be ", count: 40),
        ]
        for (name, text) in files {
            try Data(text.utf8).write(to: URL(fileURLWithPath: directory.file(name)))
        }
        return directory
    }

    @Test("stages start one from another, with the pipeline's seed and model")
    func recipes() throws {
        let directory = try Self.directory()
        let file = try PipelineFile(contentsOf: directory.file("pipeline.yaml"))
        #expect(file.stages.map(\.name) == ["first", "second"])
        #expect(file.stages.map(\.start) == [nil, "first"])
        let first = try file.recipe(of: file.stages[0], startingFrom: nil)
        #expect(first.values["model.width"] == .integer(16))
        #expect(first.seed == 7)
        #expect(first.trainFiles == [directory.file("text.txt")])
        let second = try file.recipe(of: file.stages[1], startingFrom: "/runs/01-first")
        #expect(second.modelSource == "/runs/01-first")
        #expect(second.seed == 7 && second.maxSteps == 2)
    }

    @Test(
        "every shipped pipeline decodes, and its data are there",
        arguments: ShippedRecipes.pipelines)
    func shippedPipelinesDecode(path: String) throws {
        let file = try PipelineFile(contentsOf: path)
        for stage in file.stages {
            let recipe = try file.recipe(of: stage, startingFrom: stage.start.map { "/" + $0 })
            for data in recipe.trainFiles + (recipe.validationFiles ?? []) {
                #expect(FileManager.default.fileExists(atPath: data), "\(data)")
            }
        }
        for data in [file.evaluation.chats, file.evaluation.pairs, file.evaluation.questions] {
            #expect(data.map(FileManager.default.fileExists) != false)
        }
    }

    @Test("there are pipelines to ship")
    func pipelinesAreShipped() { #expect(!ShippedRecipes.pipelines.isEmpty) }

    @Test("--set reaches stages, model and seed")
    func overrides() throws {
        let directory = try Self.directory()
        let file = try PipelineFile(
            contentsOf: directory.file("pipeline.yaml"),
            overrides: ["seed=9", "model.width=32", "second.training.max_steps=5"])
        #expect(
            try file.recipe(of: file.stages[0], startingFrom: nil).values["model.width"]
                == .integer(32))
        let second = try file.recipe(of: file.stages[1], startingFrom: "/runs/01-first")
        #expect(second.seed == 9 && second.maxSteps == 5)
    }

    /// Each: what is changed in the file, and what the message has to name.
    static let faults: [(from: String, to: String, words: [String])] = [
        ("seed: 7", "sed: 7", ["unknown pipeline key sed", "pipeline.yaml:1"]),
        ("seed: 7", "seed: much", ["seed", "pipeline.yaml:1"]),
        ("name: second", "name: first", ["cannot be named \"first\""]),
        ("name: second", "name: a/b", ["cannot be named \"a/b\""]),
        ("recipe: second.yaml", "recipe: third.yaml", ["stage second", "third.yaml"]),
        (
            "recipe: second.yaml", "recipe: second.yaml\n    from: zeroth",
            ["starts from zeroth", "use one of first"]
        ),
        (
            "max_steps: 3", "max_stps: 3",
            ["stage first", "unknown recipe key training.max_stps", "pipeline.yaml:8"]
        ),
        ("width: 16", "widht: 16", ["model.widht", "did you mean"]),
        ("  - name: second\n    recipe: second.yaml", "  - name: second", ["lacks a recipe"]),
    ]

    @Test("what is wrong is named with file and line", arguments: faults.indices)
    func refuses(index: Int) throws {
        let fault = Self.faults[index]
        let text = Self.text.replacingOccurrences(of: fault.from, with: fault.to)
        #expect(text != Self.text)
        let directory = try Self.directory(text)
        let error = #expect(throws: ForjaError.self) {
            _ = try PipelineFile(contentsOf: directory.file("pipeline.yaml"))
        }
        for words in fault.words { #expect("\(error!)".contains(words), "\(error!)") }
    }

    @Test("a --set that assigns nothing is refused", arguments: ["", "=", "=3", "second.name"])
    func refusesAssignment(text: String) throws {
        let directory = try Self.directory()
        let error = #expect(throws: ForjaError.self) {
            _ = try PipelineFile(contentsOf: directory.file("pipeline.yaml"), overrides: [text])
        }
        #expect("\(error!)".contains("--set \"\(text)\""), "\(error!)")
    }

    @Test("a --set for no stage names those there are")
    func refusesOverride() throws {
        let directory = try Self.directory()
        let error = #expect(throws: ForjaError.self) {
            _ = try PipelineFile(
                contentsOf: directory.file("pipeline.yaml"), overrides: ["third.name=x"])
        }
        #expect("\(error!)".contains("first, second"))
    }
}
