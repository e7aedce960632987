import ForjaCore
import ForjaData
import ForjaFormats
import ForjaModels
import Foundation

/// A recipe's tokenizer.json: given, the model's own, or trained and kept in the user's cache.
public struct RecipeTokenizer: Sendable {
    public let tokenizer: Tokenizer
    public let path: String

    public init(
        _ recipe: Recipe, cache: TokenShardCache, observer: any TrainingObserver
    ) throws(ForjaError) {
        path = try Self.path(for: recipe, cache: cache, observer)
        tokenizer = try Tokenizer(contentsOf: path)
    }

    /// Bytes of the file, of which every checkpoint holds a copy.
    var byteCount: Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : 0
    }

    /// Where the recipe's tokenizer.json is: given, the model's, or trained now and kept in the cache.
    static func path(
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
        let sources = try TextSource.all(recipe.tokenizerFiles)
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
