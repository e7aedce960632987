import ForjaCore
import ForjaData
import ForjaFormats
import ForjaModels
import ForjaVerifiers
import Foundation

/// A task made ready for a model: prompts as tokens, and verifiers that have passed their self-tests.
///
/// Everything that can be wrong with a task is found here, before a model is asked anything.
public struct Evaluation: Sendable {
    public struct Settings: Sendable {
        /// Answers to each question.
        public var samples = 1
        /// Most tokens of an answer.
        public var maxTokens = 512
        public var sampling: SamplingSettings
        /// Verifier of rows that name none.
        public var verifier: String?

        public init(sampling: SamplingSettings) { self.sampling = sampling }
    }

    public let task: EvaluationTask
    public let settings: Settings
    /// Of each question.
    public let prompts: [[Int32]]
    private let encoder: PromptEncoder
    private let graders: [String: Grader]

    /// - Parameter contextLength: Positions of the model.
    /// - Throws: `.invalidInput` naming the row whose verifier is absent or unknown, whose ground truth its verifier cannot
    ///   read, or whose prompt leaves no room for an answer; `.unavailable` when a verifier fails its self-test.
    public init(
        _ task: EvaluationTask, encoder: PromptEncoder, contextLength: Int, settings: Settings
    ) throws(ForjaError) {
        precondition(settings.samples >= 1 && settings.maxTokens >= 1)
        self.task = task
        self.encoder = encoder
        self.settings = settings
        graders = try task.graders(verifier: settings.verifier)
        var prompts: [[Int32]] = []
        for item in task.items {
            do throws(ForjaError) {
                let prompt = try encoder.prompt(item.prompt)
                guard (1...contextLength).contains(prompt.count) else {
                    throw ForjaError(
                        .invalidInput,
                        "the prompt has \(prompt.count) tokens, and the model's context "
                            + "\(contextLength)",
                        fix: "remove the row, or use a model with a longer context")
                }
                prompts.append(prompt)
            } catch {
                var error = error
                error.message = "\(item.place): \(error.message)"
                throw error
            }
        }
        self.prompts = prompts
    }

    /// Tokens of the longest prompt and answer together.
    public var capacity: Int { (prompts.map(\.count).max() ?? 1) + settings.maxTokens }

    public var answerCount: Int { task.items.count * settings.samples }

    /// What answers depend on, by name.
    ///
    /// - Parameter model: Identity of the model.
    public func key(model: String) -> [String: String] {
        var questions = SHA256Stream()
        for (item, prompt) in zip(task.items, prompts) {
            questions.update("\(prompt) \(item.checks.map { ($0.verifier, $0.groundTruth) })\n")
        }
        let sampling = settings.sampling
        var key = [
            "model": model, "questions": "\(questions.digest)",
            "question_count": "\(task.items.count)", "samples": "\(settings.samples)",
            "max_tokens": "\(settings.maxTokens)", "temperature": "\(sampling.temperature)",
            "seed": "\(sampling.seed)", "chat_template": encoder.templateName,
        ]
        key["verifier"] = settings.verifier
        key["top_k"] = sampling.topK.map { "\($0)" }
        key["top_p"] = sampling.topP.map { "\($0)" }
        return key
    }

    /// Answers every question that has no answer yet, and grades.
    ///
    /// - Parameters:
    ///   - kept: Answers from before.
    ///   - onAnswer: Called with each new answer as it ends.
    ///   - isStopped: Asked once a token.
    /// - Returns: Every answer there is, in the order of questions; all of them unless it was stopped.
    public func run(
        on engine: BatchEngine, kept: [AnswerRecord] = [],
        onAnswer: (AnswerRecord) throws(ForjaError) -> Void = { _ in },
        isStopped: () -> Bool = { false }
    ) throws(ForjaError) -> [AnswerRecord] {
        var records = [AnswerRecord?](repeating: nil, count: answerCount)
        for record in kept {
            guard task.items.indices.contains(record.item),
                (0..<settings.samples).contains(record.sample)
            else { continue }
            records[number(record.item, record.sample)] = record
        }
        let missing = records.indices.filter { records[$0] == nil }
        // The number of an answer is its place in the random streams, whichever are still missing.
        let requests = missing.map {
            GenerationRequest(prompt: prompts[$0 / settings.samples], sequence: $0)
        }
        try engine.run(
            requests, maxNewTokens: settings.maxTokens, sampling: settings.sampling,
            stopIDs: encoder.stopIDs,
            onCompletion: { (index, completion) throws(ForjaError) in
                let record = try self.record(missing[index], completion)
                records[missing[index]] = record
                try onAnswer(record)
            }, isStopped: isStopped)
        return records.compactMap { $0 }
    }

    private func number(_ item: Int, _ sample: Int) -> Int { item * settings.samples + sample }

    private func record(
        _ number: Int, _ completion: Completion
    ) throws(ForjaError) -> AnswerRecord {
        let (index, sample) = number.quotientAndRemainder(dividingBy: settings.samples)
        let item = task.items[index]
        let answer = encoder.text(completion.ids)
        var reward = 0.0
        for check in item.checks {
            // `EvaluationTask.graders` has found one for every check.
            let grader = graders[(check.verifier ?? settings.verifier)!]!
            do throws(ForjaError) {
                reward += try grader.score(answer, accepted: check.groundTruth.accepted)
            } catch {
                var error = error
                error.message = "\(item.place): \(error.message)"
                throw error
            }
        }
        return AnswerRecord(
            item: index, sample: sample, place: item.place,
            prompt: encoder.tokenizer.decode(prompts[index], skipSpecialTokens: false),
            answer: answer, groundTruth: item.checks.map(\.groundTruth.accepted), reward: reward,
            promptTokens: prompts[index].count, answerTokens: completion.ids.count,
            finish: completion.finish,
            logProbability: completion.modelLogProbabilities.reduce(0) { $0 + Double($1) })
    }
}
