import ForjaCore
import ForjaObjectives
import ForjaTraining

/// What a recipe of stage grpo asks for: its preset, with the keys it gives in place of the preset's.
public struct GroupRelativeSettings: Sendable {
    /// G, answers of a rollout set.
    package let answersPerPrompt: Int
    /// Optimizer steps that share out a batch.
    package let updatesPerBatch: Int
    /// Rollout sets of a batch.
    let promptsPerBatch: Int
    package let temperature: Float
    let lengths: AnswerLengths
    let objective: GroupRelativeObjective.Settings
    let advantages: AdvantageRule
    /// What `.penalty` needs to know of the limit comes with `overlong(limit:)`.
    private let overlongName: String?
    private let presetOverlong: OverlongRule
    private let overlongBuffer: Int
    let rewardScale: Double
    /// Of rows that name none.
    let verifier: String?
    public let isPipelined: Bool
    public let samplerThreads: Int
    let answersAtOnce: Int
    /// 0: all.
    let validationRows: Int

    /// - Throws: `.invalidInput` naming keys that do not go together.
    public init(_ recipe: Recipe) throws(ForjaError) {
        guard let first = recipe.integer("grpo.max_answer_tokens") else {
            throw ForjaError(
                .invalidInput, "grpo.max_answer_tokens is missing (\(recipe.file))",
                fix: "add it: tokens of the longest answer")
        }
        lengths = try AnswerLengths(first: first, schedule: recipe.string("grpo.lengthening"))
        let preset = Preset(named: recipe.string("grpo.preset")!, length: lengths.longest)
        answersPerPrompt = recipe.integer("grpo.answers_per_prompt") ?? preset.answersPerPrompt
        updatesPerBatch = recipe.integer("grpo.updates_per_batch") ?? preset.updatesPerBatch
        let answers = recipe.batchSize * updatesPerBatch
        guard answers % answersPerPrompt == 0 else {
            throw ForjaError(
                .invalidInput,
                "training.batch_size_sequences \(recipe.batchSize) with grpo.updates_per_batch "
                    + "\(updatesPerBatch) makes a batch of \(answers) answers, no multiple of "
                    + "grpo.answers_per_prompt \(answersPerPrompt)",
                fix: "make the product a multiple of the answers to a prompt")
        }
        promptsPerBatch = answers / answersPerPrompt
        temperature = Float(recipe.number("grpo.temperature") ?? preset.temperature)

        var objective = preset.preset.objective
        if let low = recipe.number("grpo.clip_low") { objective.clipLow = low }
        if let high = recipe.number("grpo.clip_high") { objective.clipHigh = high }
        if let beta = recipe.number("grpo.kl_beta") { objective.klWeight = beta }
        switch recipe.string("grpo.aggregation") {
        case "token_mean": objective.aggregation = .tokenMean
        case "constant": objective.aggregation = .constant(length: lengths.longest)
        case "sequence_mean": objective.aggregation = .sequenceMean
        case "sequence_sum": objective.aggregation = .sequenceSum
        default: break
        }
        let cap = recipe.number("grpo.importance_cap")!
        objective.samplerWeightLimit = cap > 0 ? cap : nil
        self.objective = objective
        advantages =
            switch recipe.string("grpo.advantages") {
            case "standard_sample": .standard(deviation: .sample, delta: 1e-6)
            case "standard_population": .standard(deviation: .population, delta: 1e-8)
            case "centred": .centred
            default: preset.preset.advantages
            }
        overlongName = recipe.string("grpo.overlong")
        presetOverlong = preset.preset.overlong
        overlongBuffer = recipe.integer("grpo.overlong_buffer_tokens")!
        rewardScale = recipe.number("grpo.reward_scale")!
        verifier = recipe.string("grpo.verifier")
        isPipelined = recipe.boolean("grpo.pipelined")!
        samplerThreads = recipe.integer("grpo.sampler_threads")!
        answersAtOnce = recipe.integer("grpo.answers_at_once")!
        validationRows = recipe.integer("grpo.validation_rows")!
        guard !isPipelined || recipe.tensorParallel == 1 else {
            throw ForjaError(
                .invalidInput,
                "grpo.pipelined is true and parallel.tensor is \(recipe.tensorParallel): the "
                    + "sampler holds a whole model",
                fix: "set parallel.tensor: 1, or grpo.pipelined: false")
        }
        guard lengths.longest <= recipe.sequenceLength else {
            throw ForjaError(
                .invalidInput,
                "answers may have \(lengths.longest) tokens and training.sequence_length_tokens "
                    + "is \(recipe.sequenceLength)",
                fix: "leave room for prompt and answer: raise training.sequence_length_tokens or "
                    + "lower grpo.max_answer_tokens")
        }
    }

    /// - Parameter limit: Most tokens of the answers judged.
    package func overlong(limit: Int) -> OverlongRule {
        switch overlongName {
        case "none": .none
        case "ignore_wrong": .ignoreWrong
        case "zero": .zero
        case "penalty": .penalty(limit: limit, buffer: min(overlongBuffer, limit))
        default: presetOverlong
        }
    }
}

/// A preset with what belongs to sampling.
private struct Preset {
    let preset: GroupRelativePreset
    let answersPerPrompt: Int
    let updatesPerBatch: Int
    let temperature: Double

    /// - Parameter length: Tokens of the longest answer possible.
    init(named name: String, length: Int) {
        switch name {
        case "tulu3_1":
            (preset, answersPerPrompt, updatesPerBatch, temperature) = (.tulu31, 16, 2, 1)
        case "dr_grpo":
            (preset, answersPerPrompt, updatesPerBatch, temperature) =
                (.drGRPO(length: length), 8, 1, 1)
        default:
            (preset, answersPerPrompt, updatesPerBatch, temperature) = (.grpoPlus, 8, 2, 0.6)
        }
    }
}
