import ForjaCore
import ForjaData
import ForjaFormats
import ForjaParallel
import ForjaRL
import ForjaRuntime
import ForjaTestSupport
import ForjaTraining
import ForjaVerifiers
import Foundation
import Testing

/// A run of stage grpo small enough that a step takes milliseconds: any answer that begins with a digit or its like is
/// right, as about one in five is by chance.
struct TinyRun {
    /// Tokenizers of every run, and nothing of the user's.
    private static let cache: TemporaryDirectory = {
        guard let directory = try? TemporaryDirectory() else { fatalError("no directory") }
        setenv("FORJA_CACHE_DIR", directory.path, 1)
        return directory
    }()

    let directory: TemporaryDirectory

    init() throws {
        _ = Self.cache
        directory = try TemporaryDirectory()
        var trainer = TokenizerTrainer()
        let text = directory.file("text.txt")
        try Data("Give a digit, such as 7. 0 1 2 3 4 5 6 8 9\n".utf8)
            .write(to: URL(fileURLWithPath: text))
        for source in try TextSource.all([text]) { try trainer.add(source) }
        try trainer.bytePairTokenizer(vocabularySize: 264).write(
            to: directory.file("tokenizer.json"))
        try write(
            "rows.jsonl",
            (0..<10).map { row(prompt: "Give \($0).", truth: "^[ -O]") }.joined())
        try write("held.jsonl", row(prompt: "Give 10.", truth: "^[ -O]"))
    }

    static func grader(_ name: String) throws(ForjaError) -> Grader { try Grader(named: name) }

    func row(prompt: String, truth: String, verifier: String? = "regex") -> String {
        let dataset = verifier.map { #", "dataset": "\#($0)""# } ?? ""
        return #"{"prompt": "\#(prompt)", "ground_truth": "\#(truth)"\#(dataset)}"# + "\n"
    }

    func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: directory.file(name)))
    }

    func recipe(_ settings: [String] = []) throws -> Recipe {
        try Recipe(
            yaml: """
                stage: grpo
                model: {width: 32, layers: 2, heads: 2, key_value_heads: 1, feed_forward_width: 64}
                tokenizer: {from: tokenizer.json}
                data: {train: rows.jsonl, validation: held.jsonl, chat_template: tulu}
                training: {max_steps: 6, batch_size_sequences: 16, sequence_length_tokens: 64}
                optimizer: {weight_decay: 0}
                schedule: {kind: constant, learning_rate: 0.003}
                checkpoint: {every_steps: 3, keep_last: 10}
                evaluation: {every_steps: 3}
                logging: {tensorboard: false}
                grpo: {max_answer_tokens: 4, answers_per_prompt: 8, updates_per_batch: 2, temperature: 1}
                """, file: directory.file("recipe.yaml"), overrides: settings)
    }

    struct Figures: Equatable {
        /// Lines without what clocks decide.
        var metrics: [[String: Double]]
        var rollouts: String
        var weights: Data
    }

    /// Trains on one device, or a data-parallel rank each on several.
    @discardableResult
    func train(
        _ run: String, _ settings: [String] = [], on tested: TestedDevice = .host,
        samplesAfterUpdate: Bool = false, isResuming: Bool = false,
        inspect: (@Sendable (StageContext, StepWork) throws(ForjaError) -> Void)? = nil,
        grader: @escaping (String) throws(ForjaError) -> Grader = TinyRun.grader
    ) throws -> Figures {
        let recipe = try recipe(settings)
        let directory = try RunDirectory(
            path: directory.file(run), isResuming: isResuming)
        var data = try GroupRelativeData(
            recipe: recipe, run: directory, observer: SilentObserver(),
            grader: grader)
        data.samplesAfterUpdate = samplesAfterUpdate
        let ranks = recipe.mesh.rankCount
        var devices: [Device] = []
        for _ in 0..<ranks { devices.append(try tested.queue(threadCount: 1).device) }
        for _ in 0..<ranks { data.samplerDevices.append(try tested.queue(threadCount: 1).device) }
        let (shared, opened) = (Inspected(data: data, inspect: inspect), devices)
        _ = try RankLauncher.run(recipe.mesh, timeoutSeconds: 60) { rank throws(ForjaError) in
            try Trainer(
                recipe: recipe, data: shared, run: directory, isResuming: isResuming,
                queue: try Queue(device: opened[rank.rank]), rank: rank, peakFlopsPerSecond: nil,
                observer: SilentObserver()
            ).train()
        }
        return try figures(run)
    }

    func figures(_ run: String) throws -> Figures {
        let clocks: Set = ["tokens_per_s"]
        let metrics = try lines("\(run)/metrics.jsonl").map { line in
            line.compactMapValues { $0 as? Double }.filter { !clocks.contains($0.key) }
        }
        let newest = RunDirectory.checkpointSteps(in: directory.file(run)).last ?? 0
        let weights = "\(run)/checkpoints/step-\(newest)/model.safetensors"
        return Figures(
            metrics: metrics, rollouts: try text("\(run)/rollouts.jsonl"),
            weights: try #require(FileManager.default.contents(atPath: directory.file(weights))))
    }

    func text(_ name: String) throws -> String {
        String(
            decoding: try #require(FileManager.default.contents(atPath: directory.file(name))),
            as: UTF8.self)
    }

    func lines(_ name: String) throws -> [[String: Any]] {
        try text(name).split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
    }
}

/// The stage's data, with a look at the work of each step before it is done.
private struct Inspected: StageData {
    let data: GroupRelativeData
    let inspect: (@Sendable (StageContext, StepWork) throws(ForjaError) -> Void)?

    var tokenizer: RecipeTokenizer { data.tokenizer }
    var hashes: [String: String] { data.hashes }
    var chat: ChatEncoder? { data.chat }

    func makeStage(recipe: Recipe, rank: MeshRank) -> any TrainingStage {
        let stage = data.makeStage(recipe: recipe, rank: rank)
        guard let inspect else { return stage }
        return InspectedStage(stage, inspect)
    }
}

private final class InspectedStage: TrainingStage {
    private let stage: any TrainingStage
    private let inspect: (StageContext, StepWork) throws(ForjaError) -> Void
    private var context: StageContext?

    init(
        _ stage: any TrainingStage,
        _ inspect: @escaping (StageContext, StepWork) throws(ForjaError) -> Void
    ) {
        self.stage = stage
        self.inspect = inspect
    }

    var shape: StepShape { stage.shape }
    var readsStartingWeights: Bool { stage.readsStartingWeights }
    var state: String? { get throws(ForjaError) { try stage.state } }
    func prepare(_ context: StageContext) throws(ForjaError) {
        self.context = context
        try stage.prepare(context)
    }
    func restore(_ state: String) throws(ForjaError) { try stage.restore(state) }
    func places(of work: StepWork) -> String { stage.places(of: work) }
    func validate() throws(ForjaError) -> [String: Double] { try stage.validate() }
    func work(forStep number: Int) throws(ForjaError) -> StepWork {
        let work = try stage.work(forStep: number)
        try inspect(context!, work)
        return work
    }
}
