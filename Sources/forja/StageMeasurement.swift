import ForjaCore
import ForjaData
import ForjaEvaluation
import ForjaFormats
import ForjaModels
import ForjaPipeline
import ForjaRuntime

/// What a pipeline measures on every stage's model: rows are read once, so that a bad one ends the pipeline before training.
struct StageMeasurement {
    private let settings: PipelineEvaluation
    private let compute: ComputeOptions
    private let template: ChatTemplate
    private let chats: Rows<ChatRow>?
    private let pairs: Rows<PreferenceRow>?
    private let questions: EvaluationTask?
    /// Names settings and contents.
    let key: String

    init(_ settings: PipelineEvaluation, compute: ComputeOptions) throws(ForjaError) {
        self.settings = settings
        self.compute = compute
        template = try ChatTemplate(named: settings.chatTemplate)
        chats = try settings.chats.map { path throws(ForjaError) in
            try JSONLines.read(path, as: ChatRow.self)
        }
        pairs = try settings.pairs.map { path throws(ForjaError) in
            try JSONLines.read(path, as: PreferenceRow.self)
        }
        questions = try settings.questions.map { path throws(ForjaError) in
            let task = try EvaluationTask(
                named: path, limit: settings.limit > 0 ? settings.limit : nil)
            _ = try task.graders()
            return task
        }
        var stream = SHA256Stream()
        stream.update(
            "\(settings.chatTemplate) \(settings.limit) \(settings.maxTokens) "
                + "\(settings.lengthTokens)\n")
        for path in [settings.chats, settings.pairs, settings.questions] {
            stream.update(
                try path.map { path throws(ForjaError) in
                    try SHA256Digest(contentsOf: path).description
                } ?? "none\n")
        }
        key = stream.digest.description
    }

    /// - Returns: `held_out_loss`, `preference_accuracy`, `pass_at_1` and `answer_tokens`, as far as there are rows for them.
    func metrics(ofModelAt path: String) throws(ForjaError) -> [String: Double] {
        let directory = try ModelDirectory(path)
        let queue = try compute.open()
        let contextLength = directory.configuration.contextLength
        let length = min(settings.lengthTokens, contextLength)
        var greedy = Evaluation.Settings(sampling: try SamplingSettings(temperature: 0))
        greedy.maxTokens = settings.maxTokens
        let evaluation = try questions.map { task throws(ForjaError) in
            try Evaluation(
                task, encoder: PromptEncoder(directory, template: settings.chatTemplate),
                contextLength: contextLength, settings: greedy)
        }
        let capacity = min(evaluation?.capacity ?? 1, contextLength)
        let model = LlamaModel(
            directory.configuration, computeType: .float32, positions: max(length, capacity),
            isTrained: false)
        try model.load(from: directory.safetensors(), on: queue)
        let tokenizer = try directory.tokenizer()
        let encoder = try ChatEncoder(
            directory: directory.path, template: template, tokenizer: tokenizer,
            endOfText: directory.huggingFace.endOfTextIDs.first.flatMap(tokenizer.token(of:)))
        let likelihood = HeldOutLikelihood(model: model, queue: queue)
        var metrics: [String: Double] = [:]
        if let chats {
            metrics["held_out_loss"] = try likelihood.loss(
                of: Self.examples { () throws(ForjaError) in
                    try ExampleSet(
                        chats.first(settings.limit), encoder: encoder, length: length,
                        badRows: .refuse)
                })
        }
        if let pairs {
            metrics["preference_accuracy"] = try likelihood.preferenceAccuracy(
                of: Self.examples { () throws(ForjaError) in
                    try ExampleSet(
                        pairs.first(settings.limit), encoder: encoder, length: length,
                        badRows: .refuse)
                })
        }
        if let evaluation {
            let engine = try BatchEngine(
                model: model, width: min(Self.answersAtOnce, evaluation.answerCount),
                capacity: capacity, queue: queue)
            let score = EvaluationScore(try evaluation.run(on: engine))
            metrics["pass_at_1"] = score.rightShare
            metrics["answer_tokens"] = score.meanAnswerTokens
        }
        return metrics
    }

    /// Examples of an evaluation's rows, with the remedy that a pipeline has for bad ones.
    private static func examples(
        _ read: () throws(ForjaError) -> ExampleSet
    ) throws(ForjaError) -> [Example] {
        do throws(ForjaError) {
            return try read().examples
        } catch {
            throw ForjaError(
                error.code, error.message,
                fix: "raise evaluation.length_tokens, or correct or remove the row",
                cause: error.cause)
        }
    }

    private static let answersAtOnce = 32
}
