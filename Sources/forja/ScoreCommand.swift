import ArgumentParser
import ForjaCore
import ForjaModels
import ForjaRuntime

struct ScoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "score",
        abstract: "Prints the log-probability of each token of a text.",
        discussion: """
            The first token has none. --text applies the tokenizer with its special tokens; --ids reads no tokenizer and
            adds nothing.

              forja score --model runs/first --text "To be, or not to be" --json
            """)

    @OptionGroup var model: ModelOptions

    @Option(help: "Text to score.")
    var text: String?

    @Option(help: "Token ids to score, as \"1 2 3\".")
    var ids: String?

    @Flag(help: "Leaves out the special tokens that the tokenizer adds to --text.")
    var noSpecialTokens = false

    @Flag(help: "Print one JSON document.")
    var json = false

    @OptionGroup var compute: ComputeOptions

    func validate() throws {
        guard (text == nil) != (ids == nil) else {
            throw ValidationError("give one of --text and --ids")
        }
    }

    private struct Result: Encodable {
        let ids: [Int32]
        let logprobs: [Float?]
    }

    func run() throws {
        let directory = try ModelDirectory(model.model)
        let ids =
            try ids.map(parseIDs)
            ?? directory.tokenizer().encode(text!, addSpecialTokens: !noSpecialTokens)
        let logprobs = try model.run(directory, positions: max(ids.count, 2), on: compute) {
            model, queue, _ throws(ForjaError) in
            try LlamaScorer(model: model, queue: queue).logProbabilities(of: ids)
        }
        if json {
            try Console.json(Result(ids: ids, logprobs: logprobs))
            return
        }
        for (id, logprob) in zip(ids, logprobs) {
            Console.result("\(id)\t\(logprob.map { "\($0)" } ?? "-")")
        }
        let known = logprobs.compactMap { $0 }
        if !known.isEmpty {
            Console.note(
                "mean −log p \(-known.reduce(0, +) / Float(known.count)) nats per token over "
                    + "\(known.count) tokens")
        }
    }
}
