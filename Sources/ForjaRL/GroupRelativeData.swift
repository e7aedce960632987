import ForjaCore
import ForjaData
import ForjaFormats
import ForjaParallel
import ForjaRuntime
import ForjaTraining
import ForjaVerifiers
import Foundation

/// Reinforcement learning's data: prompts whose answers can be verified, with the verifiers, each past its self-test.
public struct GroupRelativeData: StageData {
    public let tokenizer: RecipeTokenizer
    public let hashes: [String: String]
    public let settings: GroupRelativeSettings
    /// Where each rank of this process samples while it trains; read only when pipelined.
    package var samplerDevices: [Device] = []
    /// Has a pipelined sampler take the weights after the update: the results are then those of the synchronous order.
    package var samplesAfterUpdate = false
    let encoder: ChatEncoder
    let train: [RewardTask]
    let validation: [RewardTask]
    let badRows: BadRowPolicy

    /// Reads rows and tests verifiers.
    ///
    /// - Parameter run: Receives the tokenizer.json; `nil` when only looking.
    /// - Throws: `.invalidInput` naming file and line of a row that cannot be used, keys that do not go together, or when
    ///   no row is left to train on; `.unavailable` when a verifier fails its self-test.
    public init(
        recipe: Recipe, run: RunDirectory?, observer: any TrainingObserver
    ) throws(ForjaError) {
        try self.init(recipe: recipe, run: run, observer: observer) {
            (name) throws(ForjaError) in try Grader(named: name)
        }
    }

    /// - Parameter grader: Makes the grader of a verifier's name.
    package init(
        recipe: Recipe, run: RunDirectory?, observer: any TrainingObserver,
        grader: @escaping (String) throws(ForjaError) -> Grader
    ) throws(ForjaError) {
        settings = try GroupRelativeSettings(recipe)
        tokenizer = try RecipeTokenizer(recipe, cache: TokenShardCache(), observer: observer)
        let encoder = try recipe.chatEncoder(tokenizer)
        self.encoder = encoder
        badRows = recipe.badRows
        var reader = RewardTaskReader(
            encoder: encoder,
            // The last token of an answer is drawn and never read.
            maxPromptTokens: recipe.sequenceLength - settings.lengths.longest + 1,
            verifier: settings.verifier, badRows: badRows, verifiers: VerifierSet(grader))
        func tasks(_ files: [String]) throws(ForjaError) -> [RewardTask] {
            var tasks: [RewardTask] = []
            for file in files { tasks += try reader.read(file, note: observer.note) }
            return tasks
        }
        func digest(_ files: [String]) throws(ForjaError) -> String {
            "\(try TextSource.digest(of: TextSource.all(files)))"
        }
        var hashes = [
            "tokenizer": "\(try SHA256Digest(contentsOf: tokenizer.path))",
            "train": try digest(recipe.trainFiles),
            "chat_template": "\(SHA256Digest(of: encoder.template.jinja))",
        ]
        hashes["start"] = try recipe.startDigest()
        let all = try tasks(recipe.trainFiles)
        if let files = recipe.validationFiles {
            train = all
            validation = try tasks(files)
            hashes["validation"] = try digest(files)
        } else {
            let fraction = recipe.validationFraction
            let heldOut = fraction > 0 ? max(1, Int(Double(all.count) * fraction)) : 0
            train = Array(all.dropLast(heldOut))
            validation = Array(all.suffix(heldOut))
        }
        self.hashes = hashes
        guard !train.isEmpty else {
            throw ForjaError(
                .invalidInput, "data.train leaves no prompt to train on",
                fix: "give more rows, name data.validation, or set data.validation_fraction: 0")
        }
        observer.note(
            "\(train.count) prompts, \(validation.count) held out; a batch is "
                + "\(settings.promptsPerBatch) × \(settings.answersPerPrompt) answers for "
                + "\(settings.updatesPerBatch) updates")
        if let run { try enter(run, recipe: recipe) }
    }

    public var chat: ChatEncoder? { encoder }
    /// Prompts that are trained on.
    public var trainCount: Int { train.count }

    public func makeStage(recipe: Recipe, rank: MeshRank) -> any TrainingStage {
        GroupRelativeStage(recipe: recipe, data: self, rank: rank)
    }
}

extension Recipe {
    /// As `readData`, with the stages of this library.
    public func readDataOfAnyStage(
        run: RunDirectory?, threads: Int = 0, observer: any TrainingObserver
    ) throws(ForjaError) -> any StageData {
        guard stage == .grpo else {
            return try readData(run: run, threads: threads, observer: observer)
        }
        return try GroupRelativeData(recipe: self, run: run, observer: observer)
    }
}

extension StageData {
    /// With devices that a pipelined stage samples on, one a rank of this process; itself for any other.
    public func sampling(on devices: [Device]) -> any StageData {
        guard var data = self as? GroupRelativeData else { return self }
        data.samplerDevices = devices
        return data
    }
}
