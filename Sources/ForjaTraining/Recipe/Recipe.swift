import ForjaCore
import ForjaFormats
import ForjaModels
import ForjaNN
import ForjaParallel
import ForjaRuntime
import Foundation
import Yams

/// A checked recipe: what to train, on what, how.
///
/// Values come from the file, then `--set`, then the schema's defaults. `resolvedYAML` writes them all, so that a run can
/// be repeated from its directory.
public struct Recipe: Sendable {
    /// What is trained for: the values of `stage`.
    public enum Stage: String, Sendable, CaseIterable {
        case pretrain, sft, dpo, grpo

        /// Those whose data are chats.
        public static let ofChats: [Stage] = [.sft, .dpo, .grpo]
    }

    /// File as the user named it.
    public let file: String
    /// Every key that has a value, defaults included.
    public let values: [String: RecipeValue]
    private let lines: [String: Int]

    /// Reads and checks a recipe file.
    ///
    /// - Parameters:
    ///   - overrides: `key=value`, applied in order.
    ///   - isSimulated: Allows meshes that this build cannot train on: the cluster simulator can.
    /// - Throws: `.invalidInput` naming key, file, line and remedy; `.inputOutput` when the file cannot be read.
    public init(
        contentsOf file: String, overrides: [String] = [], isSimulated: Bool = false
    ) throws(ForjaError) {
        guard let data = FileManager.default.contents(atPath: file) else {
            throw ForjaError(
                .inputOutput, "the recipe \(file) cannot be read",
                fix: "check the path; recipes/ holds ready ones")
        }
        guard let yaml = String(data: data, encoding: .utf8) else {
            throw ForjaError(.invalidInput, "\(file) is not UTF-8", fix: "save it as UTF-8")
        }
        try self.init(yaml: yaml, file: file, overrides: overrides, isSimulated: isSimulated)
    }

    /// Checks a recipe given as text; relative paths start from the directory of `file`.
    public init(
        yaml: String, file: String, overrides: [String] = [], isSimulated: Bool = false
    ) throws(ForjaError) {
        try self.init(
            RecipeReader(file: file, yaml: yaml), overrides: overrides, isSimulated: isSimulated)
    }

    /// Checks a recipe that stands inside another file, such as a pipeline.
    package init(
        mapping: Node.Mapping, file: String, overrides: [String]
    ) throws(ForjaError) {
        try self.init(
            RecipeReader(file: file, mapping: mapping), overrides: overrides, isSimulated: false)
    }

    private init(
        _ reader: RecipeReader, overrides: [String], isSimulated: Bool
    ) throws(ForjaError) {
        var reader = reader
        for override in overrides { try reader.set(override) }
        file = reader.file
        lines = reader.lines
        var values = reader.values
        let stage = Self.stage(in: values)
        for key in RecipeSchema.keys
        where values[key.path] == nil && key.stagesWithDefault.contains(stage) {
            values[key.path] = key.defaultValue
        }
        self.values = values
        try check()
        if !isSimulated { try checkMesh() }
    }

    // MARK: Values

    // Values by path, for the keys of a stage.

    package func integer(_ path: String) -> Int? {
        if case .integer(let value) = values[path] { value } else { nil }
    }
    package func number(_ path: String) -> Double? {
        if case .number(let value) = values[path] { value } else { nil }
    }
    package func boolean(_ path: String) -> Bool? {
        if case .boolean(let value) = values[path] { value } else { nil }
    }
    package func string(_ path: String) -> String? {
        if case .string(let value) = values[path] { value } else { nil }
    }
    package func strings(_ path: String) -> [String]? {
        if case .strings(let value) = values[path] { value } else { nil }
    }

    public var name: String {
        string("name")
            ?? URL(fileURLWithPath: file).deletingPathExtension().lastPathComponent
    }
    public var stage: Stage { Self.stage(in: values) }
    private static func stage(in values: [String: RecipeValue]) -> Stage {
        guard case .string(let name) = values["stage"] else { return .pretrain }
        return Stage(rawValue: name)!
    }
    public var modelSource: String? { string("model.from") }
    public var tokenizerSource: String? { string("tokenizer.from") }
    /// What kind of tokenizer to train, when none is given.
    public var trainedTokenizerKind: String? { string("tokenizer.train.kind") }
    public var trainedVocabularySize: Int? { integer("tokenizer.train.vocabulary_size") }
    public var tokenizerFiles: [String] { strings("tokenizer.train.files") ?? trainFiles }
    /// The key that decides the tokenizer.
    var tokenizerKey: String {
        if tokenizerSource != nil { return "tokenizer.from" }
        if modelSource != nil { return "model.from" }
        return values["tokenizer.train.files"] == nil ? "tokenizer.train" : "tokenizer.train.files"
    }
    public var trainFiles: [String] { strings("data.train") ?? [] }
    public var validationFiles: [String]? { strings("data.validation") }
    public var validationFraction: Double { number("data.validation_fraction")! }
    /// Whether a sequence holds several documents or chats that do not see each other.
    public var documentMask: Bool {
        boolean("data.document_mask") ?? (string("data.packing") == "best_fit")
    }
    public var maxSteps: Int { integer("training.max_steps")! }
    public var batchSize: Int { integer("training.batch_size_sequences")! }
    public var sequenceLength: Int { integer("training.sequence_length_tokens")! }
    public var accumulation: Int { integer("training.gradient_accumulation_steps")! }
    public var dataParallel: Int { integer("parallel.data")! }
    public var tensorParallel: Int { integer("parallel.tensor")! }
    public var mesh: Mesh { Mesh(data: dataParallel, tensor: tensorParallel) }
    /// ZeRO-1.
    public var shardsOptimizerState: Bool { integer("parallel.zero")! == 1 }
    public var rankTimeoutSeconds: Double { number("parallel.timeout_seconds")! }
    public var seed: UInt64 { UInt64(integer("training.seed")!) }
    /// Type of activations and of the weights that kernels read.
    public var computeType: DType { DType(rawValue: string("training.dtype")!)! }
    public var maxGradientNorm: Float { Float(number("optimizer.max_gradient_norm")!) }
    public var checkpointEverySteps: Int { integer("checkpoint.every_steps")! }
    public var keptCheckpoints: Int { integer("checkpoint.keep_last")! }
    /// Checkpoints that the steps after `step` make; the last step always makes one.
    func checkpointCount(after step: Int) -> Int {
        guard checkpointEverySteps > 0 else { return 1 }
        return maxSteps / checkpointEverySteps - step / checkpointEverySteps
            + (maxSteps.isMultiple(of: checkpointEverySteps) ? 0 : 1)
    }
    public var evaluationEverySteps: Int { integer("evaluation.every_steps")! }
    public var evaluationMaxTokens: Int { integer("evaluation.max_tokens")! }
    public var samplePrompt: String? { string("evaluation.sample_prompt") }
    public var sampleTokens: Int { integer("evaluation.sample_tokens")! }
    public var loggingEverySteps: Int { integer("logging.every_steps")! }
    public var writesTensorBoard: Bool { boolean("logging.tensorboard")! }

    /// The part of a step that one data-parallel rank makes.
    public var stepShape: StepShape {
        StepShape(
            sequences: batchSize / (accumulation * dataParallel), sequenceLength: sequenceLength,
            accumulation: accumulation, documentMask: documentMask,
            recompute: StepGraph.RecomputePolicy(rawValue: string("training.recompute")!)!,
            lossForm: [.dpo, .grpo].contains(stage) ? .twoPass : .onePass)
    }

    public var optimizer: AdamWSettings {
        AdamWSettings(
            beta1: Float(number("optimizer.beta1")!), beta2: Float(number("optimizer.beta2")!),
            epsilon: Float(number("optimizer.epsilon")!),
            weightDecay: Float(number("optimizer.weight_decay")!),
            decaysOnlyMatrices: string("optimizer.weight_decay_on") == "matrices")
    }

    public var schedule: LearningRateSchedule {
        LearningRateSchedule(
            kind: LearningRateSchedule.Kind(rawValue: string("schedule.kind")!)!,
            peak: number("schedule.learning_rate")!,
            warmupSteps: integer("schedule.warmup_steps")!,
            decaySteps: integer("schedule.decay_steps")!,
            minimumRatio: number("schedule.minimum_ratio")!, maxSteps: maxSteps)
    }

    /// The model's shape for a vocabulary; only without `model.from`.
    public func modelConfiguration(vocabularySize: Int) throws(ForjaError) -> LlamaConfiguration {
        let heads = integer("model.heads")!
        let configuration = LlamaConfiguration(
            width: integer("model.width")!, layers: integer("model.layers")!, heads: heads,
            keyValueHeads: integer("model.key_value_heads") ?? heads,
            headWidth: integer("model.head_width"),
            feedForwardWidth: integer("model.feed_forward_width")!,
            vocabularySize: vocabularySize,
            contextLength: integer("model.context_length") ?? sequenceLength,
            ropeBase: number("model.rope_base")!, ropeScaling: ropeScaling,
            normEpsilon: Float(number("model.norm_epsilon")!),
            tiesEmbeddings: boolean("model.tie_embeddings")!,
            initializerRange: Float(number("model.initializer_range")!))
        do throws(ForjaError) {
            try configuration.validate(hasExplicitHeadWidth: integer("model.head_width") != nil)
        } catch {
            throw located(error)
        }
        return configuration
    }

    private var ropeScaling: RoPEScaling? {
        number("model.rope_scaling.factor").map {
            RoPEScaling(
                factor: $0,
                lowFrequencyFactor: number("model.rope_scaling.low_frequency_factor")!,
                highFrequencyFactor: number("model.rope_scaling.high_frequency_factor")!,
                originalContext: integer("model.rope_scaling.original_context_length")!)
        }
    }

    // MARK: Checks across keys

    private func check() throws(ForjaError) {
        if let key = RecipeSchema.keys.first(where: {
            values[$0.path] != nil && !$0.stages.contains(stage)
        }) {
            throw ForjaError(
                .invalidInput,
                "\(key.path) is given, and stage \(stage.rawValue) does not read it\(place(key.path))",
                fix: "remove it, or set stage: "
                    + key.stages.map(\.rawValue).joined(separator: " or "))
        }
        for path in [
            "data.train", "training.max_steps", "training.batch_size_sequences",
            "training.sequence_length_tokens", "schedule.learning_rate",
        ] where values[path] == nil { throw missing(path) }
        let shapeKeys = ["model.width", "model.layers", "model.heads", "model.feed_forward_width"]
        if modelSource == nil {
            for path in shapeKeys where values[path] == nil {
                throw missing(path, or: "set model.from to start from a checkpoint")
            }
            _ = try modelConfiguration(vocabularySize: trainedVocabularySize ?? 1)
        } else if let path = shapeKeys.first(where: { values[$0] != nil }) {
            throw ForjaError(
                .invalidInput,
                "model.from and \(path) are both given\(place(path))",
                fix: "remove one: a checkpoint brings its own shape")
        }
        if tokenizerSource == nil, modelSource == nil {
            guard let kind = trainedTokenizerKind else {
                throw missing("tokenizer.train.kind", or: "set tokenizer.from")
            }
            if kind == "byte_bpe", trainedVocabularySize == nil {
                throw missing("tokenizer.train.vocabulary_size")
            }
            if Stage.ofChats.contains(stage), values["tokenizer.train.files"] == nil {
                throw missing("tokenizer.train.files", or: "set tokenizer.from: chats are no text")
            }
        }
        if stage == .dpo, !(batchSize / accumulation).isMultiple(of: 2) {
            throw ForjaError(
                .invalidInput,
                "a microstep has \(batchSize / accumulation) sequences, and the two answers of a "
                    + "pair are in a sequence each" + place("training.batch_size_sequences"),
                fix: "make training.batch_size_sequences over "
                    + "training.gradient_accumulation_steps an even number")
        }
        guard batchSize % accumulation == 0 else {
            let valid = (1...batchSize).filter { batchSize % $0 == 0 }.map(String.init)
            throw ForjaError(
                .invalidInput,
                "training.gradient_accumulation_steps is \(accumulation) and does not divide "
                    + "training.batch_size_sequences \(batchSize)"
                    + place("training.gradient_accumulation_steps"),
                fix: "use one of \(valid.joined(separator: ", "))")
        }
        // Rows of a step are counted in 32 bits.
        guard batchSize / accumulation <= Int(Int32.max) / sequenceLength else {
            throw ForjaError(
                .invalidInput,
                "training.batch_size_sequences \(batchSize) and training.sequence_length_tokens "
                    + "\(sequenceLength) make more than \(Int32.max) tokens in one microstep"
                    + place("training.batch_size_sequences"),
                fix: "lower one, or raise training.gradient_accumulation_steps")
        }
    }

    private func checkMesh() throws(ForjaError) {
        // Pairs stay together.
        let unit = stage == .dpo ? 2 : 1
        let rows = batchSize / accumulation
        guard rows % (unit * dataParallel) == 0 else {
            let valid = (1...rows).filter { rows % (unit * $0) == 0 }.map(String.init)
            throw ForjaError(
                .invalidInput,
                "parallel.data is \(dataParallel) and does not divide the \(rows) sequences of a "
                    + "microstep (training.batch_size_sequences \(batchSize) over "
                    + "training.gradient_accumulation_steps \(accumulation))"
                    + place("parallel.data"),
                fix: "use one of \(valid.joined(separator: ", ")), or another batch")
        }
    }

    private func missing(_ path: String, or alternative: String? = nil) -> ForjaError {
        ForjaError(
            .invalidInput, "\(path) is missing (\(file))",
            fix: "add it: \(RecipeSchema.byPath[path]!.summary)"
                + (alternative.map { " Or \($0)." } ?? ""))
    }

    /// " (recipes/x.yaml:14)", or nothing for a value that no line gave.
    private func place(_ path: String) -> String {
        lines[path].map { " (\(file):\($0))" } ?? ""
    }

    /// The error with the line of the first key that its message names and the file gives.
    private func located(_ error: ForjaError) -> ForjaError {
        let named = RecipeSchema.keys.compactMap { key in
            error.message.range(of: key.path).map { (position: $0.lowerBound, path: key.path) }
        }.sorted { $0.position < $1.position }
        var error = error
        error.message += named.lazy.map { place($0.path) }.first { !$0.isEmpty } ?? ""
        return error
    }

    // MARK: Writing and comparing

    /// The whole recipe with every default and absolute paths, in schema order.
    public var resolvedYAML: String {
        var text = ""
        var open: [Substring] = []
        for key in RecipeSchema.keys {
            guard let value = values[key.path] else { continue }
            let parts = key.path.split(separator: ".")
            let sections = parts.dropLast()
            for (depth, section) in sections.enumerated()
            where depth >= open.count || open[depth] != section {
                open = Array(open.prefix(depth)) + [section]
                text += String(repeating: "  ", count: depth) + "\(section):\n"
            }
            open = Array(open.prefix(sections.count))
            text += String(repeating: "  ", count: sections.count)
            text += "\(parts.last!): \(value.yaml)\n"
        }
        return text
    }

    /// What every rank of a mesh must agree on: all keys but paths that are compared by content.
    var sharedYAML: String {
        RecipeSchema.keys.filter { !$0.isComparedByContent }
            .compactMap { key in values[key.path].map { "\(key.path): \($0.yaml)\n" } }.joined()
    }

    /// Keys whose values differ from those of `other`, but those that may change on resume. Of paths that are compared
    /// by content, only whether they are given counts here.
    public func keysChanged(since other: Recipe) -> [String] {
        RecipeSchema.keys
            .filter { !$0.mayChangeOnResume && $0.path != "name" }
            .filter {
                let (value, before) = (values[$0.path], other.values[$0.path])
                return $0.isComparedByContent
                    ? (value == nil) != (before == nil) : value != before
            }
            .map(\.path)
    }
}

extension RecipeValue {
    /// As a YAML flow value; strings as JSON strings that YAML reads.
    var yaml: String {
        switch self {
        case .integer(let value): "\(value)"
        case .number(let value): "\(value)"
        case .boolean(let value): "\(value)"
        case .string(let value): jsonQuoted(value, escaping: .unprintable)
        case .strings(let values):
            "["
                + values.map { jsonQuoted($0, escaping: .unprintable) }.joined(separator: ", ")
                + "]"
        }
    }
}
