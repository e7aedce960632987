import ArgumentParser
import ForjaCore
import ForjaData
import ForjaTraining

struct DataCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data", abstract: "Looks at training data and makes some.",
        subcommands: [DataInspectCommand.self, DataGenerateCommand.self])
}

struct DataInspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract:
            "Shows what a recipe trains on: sizes, splits and the batches of its first steps.",
        discussion: """
            The data of a step is a function of recipe and step, so these are exactly the tokens that train reads.

              forja data inspect recipes/quickstart.yaml
              forja data inspect recipes/shakespeare-chars.yaml --batches 200 --json
            """)

    @Argument(help: "The recipe, a YAML file.")
    var recipe: String

    @Option(help: ArgumentHelp("Overrides a recipe key.", valueName: "key=value"))
    var set: [String] = []

    @Option(help: "Prints the token ids and labels of the first so many steps.")
    var batches = 0

    @Option(help: "First of these steps.")
    var firstStep = 1

    @Flag(help: "Print one JSON document.")
    var json = false

    func validate() throws {
        try checkRange("--batches", batches, 0...1_000_000_000)
        try checkRange("--first-step", firstStep, 1...1_000_000_000)
    }

    private struct Report: Encodable {
        struct Step: Encodable {
            let step: Int
            let tokens: [[Int32]]
            let labels: [[Int32]]
        }
        let vocabularySize: Int
        let trainTokens: Int
        let validationTokens: Int
        let unigramEntropy: Double
        let batches: [Step]

        enum CodingKeys: String, CodingKey {
            case batches
            case vocabularySize = "vocabulary_size"
            case trainTokens = "train_tokens"
            case validationTokens = "validation_tokens"
            case unigramEntropy = "unigram_entropy"
        }
    }

    func run() throws {
        let recipe = try Recipe(contentsOf: recipe, overrides: set)
        guard recipe.stage == .pretrain else {
            throw ForjaError(
                .invalidInput,
                "data inspect shows text, and the recipe's stage is "
                    + recipe.stage.rawValue,
                fix: "give a recipe of stage pretrain")
        }
        let data = try PretrainData(recipe: recipe, run: nil, observer: ConsoleObserver())
        let loader = try data.trainLoader(for: recipe)
        let length = recipe.sequenceLength
        func rows(_ values: [Int32]) -> [[Int32]] {
            stride(from: 0, to: values.count, by: length).map { Array(values[$0..<($0 + length)]) }
        }
        let steps = try (firstStep..<(firstStep + batches)).map { step in
            let batch = try loader.batch(
                step: step - 1, sequences: recipe.batchSize, rows: 0..<recipe.batchSize)
            return Report.Step(step: step, tokens: rows(batch.tokens), labels: rows(batch.labels))
        }
        let report = Report(
            vocabularySize: data.tokenizer.tokenizer.vocabularySize,
            trainTokens: data.trainTokenCount,
            validationTokens: data.validationTokenCount, unigramEntropy: data.unigramEntropy,
            batches: steps)
        if json {
            try Console.json(report)
            return
        }
        Console.result("vocabulary         \(report.vocabularySize) tokens")
        Console.result("train              \(report.trainTokens) tokens")
        Console.result("validation         \(report.validationTokens) tokens")
        Console.result("unigram entropy    \(report.unigramEntropy) nats per token")
        for step in steps {
            Console.result("step \(step.step)")
            for row in step.tokens {
                Console.result("  " + row.map(String.init).joined(separator: " "))
                Console.result("    \(data.tokenizer.tokenizer.decode(row).debugDescription)")
            }
        }
    }
}
