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
            try EvaluationTask(named: path, limit: settings.limit > 0 ? settings.limit : nil)
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
        let length = min(settings.lengthTokens, directory.configuration.contextLength)
        let model = LlamaModel(
            directory.configuration, computeType: .float32, positions: length, isTrained: false)
        try model.load(from: directory.safetensors(), on: queue)
        let tokenizer = try directory.tokenizer()
        let encoder = try ChatEncoder(
            directory: directory.path, template: template, tokenizer: tokenizer,
            endOfText: directory.huggingFace.endOfTextIDs.first.flatMap(tokenizer.token(of:)))
        let likelihood = HeldOutLikelihood(model: model, queue: queue)
        var metrics: [String: Double] = [:]
        if let chats {
            let examples = try ExampleSet(
                chats.first(settings.limit), encoder: encoder, length: length, badRows: .refuse
            ).examples
            metrics["held_out_loss"] = try likelihood.loss(of: examples)
        }
        if let pairs {
            let examples = try ExampleSet(
                pairs.first(settings.limit), encoder: encoder, length: length, badRows: .refuse
            ).examples
            metrics["preference_accuracy"] = try likelihood.preferenceAccuracy(of: examples)
        }
        if let questions {
            var greedy = Evaluation.Settings(sampling: try SamplingSettings(temperature: 0))
            greedy.maxTokens = settings.maxTokens
            let evaluation = try Evaluation(
                questions,
                encoder: PromptEncoder(directory, template: settings.chatTemplate),
                contextLength: length, settings: greedy)
            let engine = try BatchEngine(
                model: model, width: min(Self.answersAtOnce, evaluation.answerCount),
                capacity: min(evaluation.capacity, length), queue: queue)
            let score = EvaluationScore(try evaluation.run(on: engine))
            metrics["pass_at_1"] = score.score
            metrics["answer_tokens"] = score.meanAnswerTokens
        }
        return metrics
    }

    private static let answersAtOnce = 32
}
