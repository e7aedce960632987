import ArgumentParser
import ForjaCore
import ForjaEvaluation
import ForjaFormats
import ForjaModels
import ForjaTraining
import Foundation

struct EvalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "eval",
        abstract: "Lets a model answer questions and grades the answers by rule.",
        discussion: """
            A task is arithmetic, the held-out questions of forja data generate arithmetic, or a JSONL file with rows as for
            reinforcement learning: messages or prompt, ground_truth, and dataset, which names the verifier. A file's task is
            called as the file, without .jsonl.

            Prompts go through the model's own chat template. The score is the mean reward over questions, 0 to 1 for one check
            a row; its standard error is over questions. Every verifier grades known answers first.

            With --output every answer is kept, and the same command goes on where one was interrupted; Ctrl-C or SIGTERM ends
            with exit status 130.

              forja eval --model runs/sft --task arithmetic --limit 50 --output runs/sft/eval --json
            """)

    @OptionGroup var model: ModelOptions

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("arithmetic, or files that end in .jsonl.", valueName: "task"))
    var task: [String]

    @Option(help: "Takes the first questions of each task; all without it (arithmetic: 100).")
    var limit: Int?

    @Option(help: "Answers to each question.")
    var samples = 1

    @Option(help: "Most tokens of an answer.")
    var maxTokens = 512

    @Option(help: "Divides the logits; 0 always takes the most likely token.")
    var temperature: Float = 0

    @Option(help: "Seed of the draws.")
    var seed: UInt64 = 0

    @Option(help: "Answers in progress at once; changes no answer but by rounding.")
    var batch = 16

    @Option(
        help:
            "tulu, llama3.1 or chatml instead of the model's own template; none for plain text.")
    var chatTemplate: String?

    @Option(help: "Verifier of rows that name none.")
    var verifier: String?

    @Option(
        help: ArgumentHelp("Keeps every answer in this directory.", valueName: "directory"))
    var output: String?

    @Flag(help: "Print one JSON document.")
    var json = false

    @OptionGroup var compute: ComputeOptions

    func validate() throws {
        guard !task.isEmpty else { throw ValidationError("give at least one --task") }
        if let limit { try checkRange("--limit", limit, 1...mostAtOnce) }
        try checkRange("--samples", samples, 1...mostAtOnce)
        try checkRange("--max-tokens", maxTokens, 1...mostAtOnce)
        try checkRange("--batch", batch, 1...65_536)
        if samples > 1, temperature == 0 {
            throw ValidationError(
                "--samples \(samples) at temperature 0 are all the same; raise --temperature")
        }
        do throws(ForjaError) {
            _ = try sampling
        } catch {
            throw ValidationError("\(error.message); \(error.fix ?? "")")
        }
    }

    private var sampling: SamplingSettings {
        get throws(ForjaError) { try SamplingSettings(temperature: temperature, seed: seed) }
    }

    func run() throws {
        let directory = try ModelDirectory(model.model)
        let evaluations = try evaluations(directory)
        var logs: [AnswerLog?] = evaluations.map { _ in nil }
        var lock: FileLock?
        if let output {
            try makeDirectory(at: output)
            lock = try FileLock(directory: output)
            let identity = try directory.identity() + " " + model.dtype.rawValue
            logs = try evaluations.map {
                try AnswerLog(
                    directory: output, task: $0.task.name, key: $0.key(model: identity))
            }
        }
        defer { withExtendedLifetime(lock) {} }
        let capacity = evaluations.map(\.capacity).max() ?? 1
        let positions = min(capacity, directory.configuration.contextLength)
        let width = min(batch, evaluations.map(\.answerCount).max() ?? 1)
        Interruption.listen()
        let answers = try model.run(directory, positions: positions, on: compute) {
            [logs] model, queue, rank throws(ForjaError) in
            let engine = try BatchEngine(
                model: model, width: width, capacity: positions, queue: queue)
            var answers: [[AnswerRecord]] = []
            for (evaluation, log) in zip(evaluations, logs) {
                let kept = log?.kept ?? []
                var progress = EvaluationProgress(evaluation, kept: kept)
                answers.append(
                    try evaluation.run(
                        on: engine, kept: kept,
                        onAnswer: { (record) throws(ForjaError) in
                            guard rank.isFirst else { return }
                            try log?.append(record)
                            progress.add(record)
                        }, isStopped: { Interruption.received != nil }))
            }
            return answers
        }
        if let signal = Interruption.received {
            throw ForjaError(
                .interrupted,
                "\(signal): \(answers.reduce(0) { $0 + $1.count }) of "
                    + "\(evaluations.reduce(0) { $0 + $1.answerCount }) answers are done",
                fix: output == nil
                    ? "run the command again; with --output it goes on where it stopped"
                    : "run the same command again: it goes on from these")
        }
        for (log, records) in zip(logs, answers) { try log?.finish(records) }
        try report(zip(evaluations, answers).map { ($0.task.name, EvaluationScore($1)) })
    }

    private func evaluations(_ directory: ModelDirectory) throws(ForjaError) -> [Evaluation] {
        let encoder = try PromptEncoder(directory, template: chatTemplate)
        var settings = Evaluation.Settings(sampling: try sampling)
        settings.samples = samples
        settings.maxTokens = maxTokens
        settings.verifier = verifier
        var evaluations: [Evaluation] = []
        for name in task {
            let task = try EvaluationTask(named: name, limit: limit)
            guard !evaluations.contains(where: { $0.task.name == task.name }) else {
                throw ForjaError(
                    .invalidInput, "two tasks are called \(task.name)",
                    fix: "rename a file: its name is the task's")
            }
            evaluations.append(
                try Evaluation(
                    task, encoder: encoder,
                    contextLength: directory.configuration.contextLength, settings: settings))
        }
        return evaluations
    }

    private func report(_ scores: [(name: String, score: EvaluationScore)]) throws {
        guard !json else {
            return try Console.json([
                "tasks": Dictionary(uniqueKeysWithValues: scores.map { ($0.name, $0.score) })
            ])
        }
        for (name, score) in scores {
            let error = score.standardError.map { String(format: " ± %.4f", $0) } ?? ""
            Console.result(
                "\(name)  " + String(format: "%.4f", score.score) + error
                    + "  \(score.questionCount) questions, \(score.sampleCount) answers each, "
                    + String(
                        format: "%.1f tokens an answer, %.1f %% cut", score.meanAnswerTokens,
                        score.truncatedShare * 100))
        }
    }
}

/// Lines about an evaluation while it runs: a line every ten seconds, and one at its end.
private struct EvaluationProgress {
    private let name: String
    private let total: Int
    private var count: Int
    private var rewards: Double
    private var tokens = 0
    private let start = ContinuousClock.now
    private var last = ContinuousClock.now

    init(_ evaluation: Evaluation, kept: [AnswerRecord]) {
        name = evaluation.task.name
        total = evaluation.answerCount
        count = kept.count
        rewards = kept.reduce(0) { $0 + $1.reward }
        if !kept.isEmpty {
            Console.note("\(name): \(kept.count) of \(total) answers are kept from before")
        }
    }

    mutating func add(_ record: AnswerRecord) {
        count += 1
        rewards += record.reward
        tokens += record.answerTokens
        let now = ContinuousClock.now
        guard count == total || now - last >= .seconds(10) else { return }
        last = now
        Console.note(
            "\(name): \(count) of \(total) answers, mean reward "
                + String(
                    format: "%.3f, %.0f tokens/s", rewards / Double(count),
                    Double(tokens) / ((now - start) / .seconds(1))))
    }
}
