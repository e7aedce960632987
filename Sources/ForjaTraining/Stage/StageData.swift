import ForjaCore
import ForjaData
import ForjaFormats
import ForjaParallel

/// What a run trains on: read once by a process, shared by its ranks, each of which makes a stage of it.
public protocol StageData: Sendable {
    var tokenizer: RecipeTokenizer { get }
    /// SHA-256 of what the data came from, for the manifest: `train`, `validation`, `tokenizer`, `start`
    /// (the model of `model.from`), `chat_template`.
    var hashes: [String: String] { get }
    /// How chats are written, where the stage trains on them: goes with the weights.
    var chat: ChatEncoder? { get }

    func makeStage(recipe: Recipe, rank: MeshRank) throws(ForjaError) -> any TrainingStage
}

extension StageData {
    public var chat: ChatEncoder? { nil }

    /// Ties a run directory to this data: every `StageData` calls it once when it is read for a run.
    ///
    /// - Throws: `.invalidInput` when the run began with other contents, before anything in it is touched.
    public func enter(_ run: RunDirectory, recipe: Recipe) throws(ForjaError) {
        try RunManifest.checkContents(of: self, recipe: recipe, in: run)
        try TokenShardCache.place(tokenizer.path, at: run.file("tokenizer.json"))
    }
}

extension Recipe {
    /// Reads what the recipe's stage trains on.
    ///
    /// - Parameters:
    ///   - run: Receives the tokenizer.json; `nil` when only looking.
    ///   - threads: For tokenising; 0 takes every core.
    public func readData(
        run: RunDirectory?, threads: Int = 0, observer: any TrainingObserver
    ) throws(ForjaError) -> any StageData {
        switch stage {
        case .pretrain:
            try PretrainData(recipe: self, run: run, threads: threads, observer: observer)
        case .sft:
            try SupervisedData(recipe: self, run: run, observer: observer)
        case .dpo:
            try PreferenceData(recipe: self, run: run, observer: observer)
        case .grpo:
            preconditionFailure("read by Recipe.readDataOfAnyStage of ForjaRL")
        }
    }
}
