import ArgumentParser
import ForjaCore
import ForjaFormats
import ForjaModels
import ForjaParallel
import ForjaRuntime
import ForjaTraining

struct GenerateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate",
        abstract: "Continues a prompt.",
        discussion: """
            Text is printed as it is made and ends at the model's end-of-text ids or after --max-tokens. Ctrl-C or SIGTERM
            ends it early: what there is is printed, and the exit status is 130.

              forja generate --model runs/first --prompt "ROMEO:" --max-tokens 200 --temperature 0.8
              forja generate --model runs/sft --chat --prompt "What is 17 + 25?" --temperature 0
            """)

    @OptionGroup var model: ModelOptions

    @Option(help: "Text to continue; empty starts from the beginning-of-text or end-of-text token.")
    var prompt = ""

    @Flag(
        help:
            "Takes the prompt as a user's turn, in the model's chat template, and prints the answer."
    )
    var chat = false

    @Option(help: "Most tokens to add.")
    var maxTokens = 100

    @Option(help: "Divides the logits; 0 always takes the most likely token.")
    var temperature: Float = 1

    @Option(help: "Draws from the k most likely tokens.")
    var topK: Int?

    @Option(help: "Draws from the fewest tokens whose probabilities sum to p.")
    var topP: Float?

    @Option(help: "Seed of the draws: the same seed gives the same text.")
    var seed: UInt64 = 0

    @Option(help: "Continuations to make at once.")
    var samples = 1

    @Flag(help: "Print one JSON document at the end instead of text.")
    var json = false

    @OptionGroup var compute: ComputeOptions

    func validate() throws {
        if chat, prompt.isEmpty { throw ValidationError("--chat needs --prompt") }
        try checkRange("--max-tokens", maxTokens, 0...mostAtOnce)
        try checkRange("--samples", samples, 1...mostAtOnce)
        do throws(ForjaError) {
            _ = try sampling
        } catch {
            throw ValidationError("\(error.message); \(error.fix ?? "")")
        }
    }

    private var sampling: SamplingSettings {
        get throws(ForjaError) {
            try SamplingSettings(temperature: temperature, topK: topK, topP: topP, seed: seed)
        }
    }

    private struct Result: Encodable {
        struct Sample: Encodable {
            let ids: [Int32]
            let text: String
        }
        let promptIDs: [Int32]
        let samples: [Sample]

        enum CodingKeys: String, CodingKey {
            case samples
            case promptIDs = "prompt_ids"
        }
    }

    func run() throws {
        let directory = try ModelDirectory(model.model)
        let tokenizer = try directory.tokenizer()
        let encoder = chat ? try directory.chatEncoder(tokenizer) : nil
        var promptIDs = try encoder?.prompt([.user(prompt)]) ?? tokenizer.encode(prompt)
        let stopIDs = directory.stopIDs.union(encoder?.stopTokens ?? [])
        if promptIDs.isEmpty {
            guard let first = directory.startID else {
                throw ForjaError(
                    .invalidInput, "the prompt has no tokens and the model names no start token",
                    fix: "give --prompt")
            }
            promptIDs = [first]
        }
        let capacity = promptIDs.count + maxTokens
        // One sample is streamed; several would run into each other.
        let isStreaming = !json && samples == 1
        let (prompts, sampling) = (
            Array(repeating: promptIDs, count: samples), try sampling
        )
        let (text, maxTokens) = (chat ? "" : prompt, maxTokens)
        let results = try model.run(
            directory, positions: min(capacity, directory.configuration.contextLength), on: compute
        ) { model, queue, rank throws(ForjaError) in
            let generator = try Generator(
                model: model, sequences: prompts.count, capacity: capacity, queue: queue)
            let prints = isStreaming && rank.isFirst
            var stream = tokenizer.makeStreamDecoder(skipSpecialTokens: true)
            if prints { Console.partialResult(text) }
            Interruption.listen()
            let results = try generator.generate(
                prompts: prompts, maxNewTokens: maxTokens, sampling: sampling,
                stopIDs: stopIDs
            ) { _, id in
                if prints, !stopIDs.contains(id) {
                    Console.partialResult(stream.append(id))
                }
                return Interruption.received == nil
            }
            if prints { Console.result(stream.finish()) }
            return results
        }
        let texts = results.map { tokenizer.decode($0, skipSpecialTokens: true) }
        if json {
            try Console.json(
                Result(
                    promptIDs: promptIDs,
                    samples: zip(results, texts).map { Result.Sample(ids: $0, text: $1) }))
        } else if !isStreaming {
            for (index, text) in texts.enumerated() {
                Console.result("── sample \(index + 1)\n\(chat ? "" : prompt)\(text)")
            }
        }
        if let signal = Interruption.received {
            let longest = results.map(\.count).max() ?? 0
            throw ForjaError(
                .interrupted,
                "\(signal): generation stopped after \(longest) of \(maxTokens) tokens",
                fix: "run the command again for the whole text, or lower --max-tokens")
        }
    }
}
