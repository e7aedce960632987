import ForjaCore
import ForjaData
import ForjaFormats
import ForjaParallel
import Foundation

/// Pre-training's data: a recipe's text as token shards, with its splits.
///
/// Tokenizers and shards that a run makes go through the user's cache, keyed by content, so that the second run of a
/// recipe starts at once.
public struct PretrainData: StageData {
    public let tokenizer: RecipeTokenizer
    /// Entropy of the training tokens' frequencies, nats per token: what knowing frequencies alone would give.
    public let unigramEntropy: Double
    private let train: TokenShard
    private let trainRange: Range<Int>
    /// Held-out tokens: a shard of their own, or the end of the training shard.
    private let validation: (shard: TokenShard, range: Range<Int>)?
    private let startDigest: String?

    /// Reads or makes tokenizer and shards.
    ///
    /// - Parameters:
    ///   - run: Receives the tokenizer.json; `nil` when only looking.
    ///   - threads: For tokenising; 0 takes every core.
    /// - Throws: `.invalidInput` when `run` began with other contents, before anything in it is touched.
    public init(
        recipe: Recipe, run: RunDirectory?, threads: Int = 0, observer: any TrainingObserver
    ) throws(ForjaError) {
        let cache = try TokenShardCache()
        tokenizer = try RecipeTokenizer(recipe, cache: cache, observer: observer)
        let threads = threads > 0 ? threads : ProcessInfo.processInfo.activeProcessorCount
        let path = tokenizer.path
        func shard(_ files: [String], _ name: String) throws(ForjaError) -> TokenShard {
            var lastPercent = -10
            return try cache.shard(
                of: TextSource.all(files), tokenizerPath: path, threads: threads
            ) { progress in
                let percent = progress.bytesDone * 100 / max(progress.bytesTotal, 1)
                guard percent >= lastPercent + 10, progress.bytesTotal > 20_000_000 else { return }
                lastPercent = percent
                observer.note("\(name): \(percent) % tokenised")
            }
        }
        train = try shard(recipe.trainFiles, "data.train")
        if let files = recipe.validationFiles {
            let held = try shard(files, "data.validation")
            trainRange = 0..<train.count
            validation = (held, 0..<held.count)
        } else if recipe.validationFraction > 0 {
            let ranges = try train.split(fractions: [1 - recipe.validationFraction])
            trainRange = ranges[0]
            validation = (train, ranges[1])
        } else {
            trainRange = 0..<train.count
            validation = nil
        }
        unigramEntropy = try train.unigramEntropy(in: trainRange)
        startDigest = try recipe.startDigest()
        if let run { try enter(run, recipe: recipe) }
    }

    public func makeStage(recipe: Recipe, rank: MeshRank) throws(ForjaError) -> any TrainingStage {
        try PretrainStage(recipe: recipe, data: self, rank: rank)
    }

    public var trainTokenCount: Int { trainRange.count }
    public var validationTokenCount: Int { validation?.range.count ?? 0 }

    /// Whether attention and labels are kept inside documents: the recipe asks for it and the tokenizer has an
    /// end-of-text token.
    func masksDocuments(_ recipe: Recipe) -> Bool {
        recipe.documentMask && train.endOfText != nil
    }

    public func trainLoader(for recipe: Recipe) throws(ForjaError) -> WindowLoader {
        try WindowLoader(
            shard: train, tokenRange: trainRange, sequenceLength: recipe.sequenceLength,
            seed: recipe.seed, documentMask: recipe.documentMask)
    }

    /// The held-out tokens in windows; `nil` when nothing is held out.
    func validationWindows(for recipe: Recipe) throws(ForjaError) -> ValidationWindows? {
        guard let validation else { return nil }
        let most = recipe.evaluationMaxTokens
        let range =
            most > 0 ? validation.range.prefix(most + 1) : validation.range[...]
        return try ValidationWindows(
            shard: validation.shard, tokenRange: range.startIndex..<range.endIndex,
            sequenceLength: recipe.sequenceLength, documentMask: recipe.documentMask)
    }

    public var hashes: [String: String] {
        var hashes = [
            "tokenizer": train.header.tokenizerDigest.description,
            "train": train.header.sourceDigest.description,
        ]
        hashes["start"] = startDigest
        if let validation {
            hashes["validation"] = validation.shard.header.sourceDigest.description
        }
        return hashes
    }
}
