import ForjaCore
import ForjaModels
import ForjaRuntime

/// Which answers to sample: some of a batch's prompts.
struct RolloutPlan: Sendable {
    /// Number of the batch, from 0.
    var batch: Int
    /// Places in the batch of the prompts to answer.
    var prompts: Range<Int>
    /// Most tokens of an answer.
    var limit: Int
    var seed: UInt64
}

/// Samples and grades answers with one model on one queue.
///
/// An answer's random numbers are those of (seed, batch, prompt, answer), whichever rank samples it, beside whatever else.
/// It is graded as soon as it ends.
final class RolloutSampler {
    private let engine: BatchEngine
    private let data: GroupRelativeData

    /// - Parameters:
    ///   - model: Allocated before the first use.
    ///   - mostAnswers: Of one call, for the size of the caches.
    init(
        model: LlamaModel, queue: Queue, data: GroupRelativeData, mostAnswers: Int
    ) throws(ForjaError) {
        self.data = data
        engine = try BatchEngine(
            model: model, width: max(1, min(data.settings.answersAtOnce, mostAnswers)),
            capacity: model.positions, queue: queue)
    }

    /// Allocates what sampling needs.
    func prepare() throws(ForjaError) { try engine.prepare() }

    /// Rollout sets of a plan, in its order. Every rank of a tensor group calls it.
    ///
    /// - Throws: `.notFinite` naming the row whose verifier gave no number, unless such rows are skipped.
    func sets(of plan: RolloutPlan) throws(ForjaError) -> [RolloutSet] {
        let settings = data.settings
        let count = settings.answersPerPrompt
        let tasks = plan.prompts.map {
            data.task(ofPrompt: plan.batch * settings.promptsPerBatch + $0, seed: plan.seed)
        }
        var requests: [GenerationRequest] = []
        for (task, prompt) in zip(tasks, plan.prompts) {
            for answer in 0..<count {
                requests.append(
                    GenerationRequest(
                        prompt: data.train[task].prompt, sequence: prompt * count + answer))
            }
        }
        let words = CounterRandom(seed: plan.seed, purpose: .rollouts).words(at: UInt64(plan.batch))
        let sampling = try SamplingSettings(
            temperature: settings.temperature, seed: UInt64(words.x) << 32 | UInt64(words.y))
        var problems: [Int: String] = [:]
        let answers = try answers(to: requests, limit: plan.limit, sampling) {
            (number, response) throws(ForjaError) in
            let task = data.train[tasks[number / count]]
            do throws(ForjaError) {
                return try task.grade(response)
            } catch {
                guard error.code == .notFinite, data.badRows == .skip else {
                    throw ForjaError(
                        error.code, "\(task.place): \(error.message)", fix: error.fix)
                }
                problems[number / count] = "\(task.place): \(error.message)"
                return RewardTask.Grade(score: 0, isRight: false)
            }
        }
        return tasks.indices.map {
            RolloutSet(
                task: tasks[$0], answers: Array(answers[$0 * count..<($0 + 1) * count]),
                problem: problems[$0])
        }
    }

    /// Grades of the most likely answers to held-out tasks. Every rank of a tensor group calls it.
    func greedyAnswers(
        to tasks: [RewardTask], limit: Int
    ) throws(ForjaError) -> [RolloutAnswer] {
        let requests = tasks.enumerated().map {
            GenerationRequest(prompt: $0.element.prompt, sequence: $0.offset)
        }
        return try answers(to: requests, limit: limit, SamplingSettings(temperature: 0)) {
            (number, response) throws(ForjaError) in
            do throws(ForjaError) {
                return try tasks[number].grade(response)
            } catch {
                throw ForjaError(
                    error.code, "\(tasks[number].place): \(error.message)", fix: error.fix)
            }
        }
    }

    private func answers(
        to requests: [GenerationRequest], limit: Int, _ sampling: SamplingSettings,
        grade: (Int, String) throws(ForjaError) -> RewardTask.Grade
    ) throws(ForjaError) -> [RolloutAnswer] {
        var answers = [RolloutAnswer?](repeating: nil, count: requests.count)
        try engine.run(
            requests, maxNewTokens: limit, sampling: sampling,
            stopIDs: Set(data.encoder.stopTokens),
            onCompletion: { (number, completion) throws(ForjaError) in
                let isTruncated = completion.finish == .length
                let grade = try grade(number, data.text(of: completion.ids, isTruncated))
                answers[number] = RolloutAnswer(
                    ids: completion.ids, logProbabilities: completion.logProbabilities,
                    isTruncated: isTruncated, score: grade.score, isRight: grade.isRight)
            })
        return answers.map { $0! }
    }
}

extension GroupRelativeData {
    /// The task of a prompt, counted over all batches: each epoch goes through all of them in an order of its own.
    func task(ofPrompt number: Int, seed: UInt64) -> Int {
        let epoch = UInt32(truncatingIfNeeded: number / train.count)
        return Permutation(count: train.count, seed: seed, stream: epoch)[number % train.count]
    }

    /// What verifiers read: an answer without its end token.
    func text(of ids: [Int32], _ isTruncated: Bool) -> String {
        tokenizer.tokenizer.decode(
            isTruncated ? ids : Array(ids.dropLast()), skipSpecialTokens: true)
    }
}
