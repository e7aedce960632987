import ForjaCore
import ForjaData
import ForjaFormats
import ForjaModels
import Foundation

/// A recipe's text, ready to train on: its tokenizer, token shards and splits.
///
/// Tokenizers and shards that a run makes go through the user's cache, keyed by content, so that the second run of a
/// recipe starts at once.
public struct TrainingData: Sendable {
    public let tokenizer: Tokenizer
    /// Entropy of the training tokens' frequencies, nats per token: what knowing frequencies alone would give.
    public let unigramEntropy: Double
    private let tokenizerPath: String
    private let train: TokenShard
    private let trainRange: Range<Int>
    /// Held-out tokens: a shard of their own, or the end of the training shard.
    private let validation: (shard: TokenShard, range: Range<Int>)?

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
        tokenizerPath = try Self.tokenizerPath(for: recipe, cache: cache, observer)
        tokenizer = try Tokenizer(contentsOf: tokenizerPath)
        let threads = threads > 0 ? threads : ProcessInfo.processInfo.activeProcessorCount
        let path = tokenizerPath
        func shard(_ files: [String], _ name: String) throws(ForjaError) -> TokenShard {
            var lastPercent = -10
            return try cache.shard(
                of: Self.sources(files), tokenizerPath: path, threads: threads
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
        guard let run else { return }
        try RunManifest.checkContents(of: self, recipe: recipe, in: run)
        try TokenShardCache.place(tokenizerPath, at: run.file("tokenizer.json"))
    }

    /// Bytes of the tokenizer.json that every checkpoint holds a copy of.
    var tokenizerByteCount: Int {
        var status = stat()
        return stat(tokenizerPath, &status) == 0 ? Int(status.st_size) : 0
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

    /// SHA-256 of what the tokens came from, for the manifest.
    var hashes: [String: String] {
        var hashes = [
            "tokenizer": train.header.tokenizerDigest.description,
            "train": train.header.sourceDigest.description,
        ]
        if let validation {
            hashes["validation"] = validation.shard.header.sourceDigest.description
        }
        return hashes
    }

    /// The model a recipe describes, without reading its text where the vocabulary is known beforehand.
    public static func modelConfiguration(
        for recipe: Recipe, observer: any TrainingObserver
    ) throws(ForjaError) -> LlamaConfiguration {
        if let source = recipe.modelSource { return try ModelDirectory(source).configuration }
        if recipe.tokenizerSource == nil, recipe.trainedTokenizerKind == "byte_bpe" {
            return try recipe.modelConfiguration(vocabularySize: recipe.trainedVocabularySize!)
        }
        let path = try tokenizerPath(for: recipe, cache: TokenShardCache(), observer)
        return try recipe.modelConfiguration(
            vocabularySize: Tokenizer(contentsOf: path).vocabularySize)
    }

    /// The step that `train` records, without reading text: attention stays inside documents only where the tokenizer has
    /// an end-of-text token.
    public static func stepShape(
        for recipe: Recipe, observer: any TrainingObserver
    ) throws(ForjaError) -> StepShape {
        var shape = recipe.stepShape
        guard shape.documentMask else { return shape }
        if recipe.tokenizerSource == nil, recipe.modelSource == nil {
            // Trained byte-pair tokenizers have the token, character tokenizers have not.
            shape.documentMask = recipe.trainedTokenizerKind == "byte_bpe"
        } else {
            let tokenizer = try Tokenizer(
                contentsOf: tokenizerPath(for: recipe, cache: TokenShardCache(), observer))
            shape.documentMask = Tokenization.endOfTextNames.contains {
                tokenizer.id(of: $0) != nil
            }
        }
        return shape
    }

    private static func sources(_ files: [String]) throws(ForjaError) -> [TextSource] {
        var sources: [TextSource] = []
        for file in files { sources.append(try TextSource(path: file)) }
        return sources
    }

    /// Where the recipe's tokenizer.json is: given, the model's, or trained now and kept in the cache.
    private static func tokenizerPath(
        for recipe: Recipe, cache: TokenShardCache, _ observer: any TrainingObserver
    ) throws(ForjaError) -> String {
        if let source = recipe.tokenizerSource {
            var isDirectory: ObjCBool = false
            _ = FileManager.default.fileExists(atPath: source, isDirectory: &isDirectory)
            return isDirectory.boolValue
                ? (source as NSString).appendingPathComponent("tokenizer.json") : source
        }
        if let source = recipe.modelSource {
            return (try ModelDirectory(source).path as NSString)
                .appendingPathComponent("tokenizer.json")
        }
        let kind = recipe.trainedTokenizerKind!
        let sources = try sources(recipe.tokenizerFiles)
        let path = cache.path(
            of: "tokenizer", suffix: "json",
            key: [
                "1", kind, "\(recipe.trainedVocabularySize ?? 0)",
                "\(try TextSource.digest(of: sources))",
            ])
        if FileManager.default.fileExists(atPath: path) {
            do throws(ForjaError) {
                _ = try Tokenizer(contentsOf: path)
                return path
            } catch {
                guard error.code == .damagedFile || error.code == .invalidInput else { throw error }
                observer.note("\(path) is damaged: training the tokenizer again")
            }
        }
        let start = Date()
        var trainer = TokenizerTrainer()
        for source in sources { try trainer.add(source) }
        let trained =
            kind == "characters"
            ? try trainer.characterTokenizer()
            : try trainer.bytePairTokenizer(vocabularySize: recipe.trainedVocabularySize!)
        try trained.write(to: path)
        observer.note(
            "tokenizer: \(trained.vocabularySize) tokens trained in "
                + String(format: "%.1f s", Date().timeIntervalSince(start)))
        return path
    }
}
