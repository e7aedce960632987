import ForjaCore
import ForjaData
import ForjaFormats
import ForjaParallel
import Foundation

/// Preference optimisation's data: pairs of answers to one chat, the two answers in consecutive sequences, which answers of
/// other pairs may share.
public struct PreferenceData: StageData {
    let data: ChatData
    let train: PackedExamples
    let validation: PackedExamples?

    /// - Parameters: As of `SupervisedData`.
    /// - Throws: As it, also where the answers of a row are equal.
    public init(
        recipe: Recipe, run: RunDirectory?, observer: any TrainingObserver
    ) throws(ForjaError) {
        data = try ChatData(recipe: recipe, observer: observer) {
            (path, encoder) throws(ForjaError) in
            try ExampleSet(
                JSONLines.read(path, as: PreferenceRow.self, badRows: recipe.badRows),
                encoder: encoder, length: recipe.sequenceLength, badRows: recipe.badRows)
        }
        let padding = data.encoder.stopTokens[0]
        train = data.train.packed(recipe, as: recipe.packing, padding: padding)
        validation = data.validation?.packed(recipe, as: recipe.packing, padding: padding)
        observer.note(
            "\(data.train.rowCount) pairs in \(train.rows.count) sequences, "
                + String(format: "%.1f %% filled; ", 100 * train.fill)
                + "\(data.validation?.rowCount ?? 0) held out; "
                + String(
                    format: "%.2f epochs",
                    Double(recipe.maxSteps * recipe.batchSize) / Double(train.rows.count)))
        if let run { try enter(run, recipe: recipe) }
    }

    public var tokenizer: RecipeTokenizer { data.tokenizer }
    public var hashes: [String: String] { data.hashes }
    public var chat: ChatEncoder? { data.encoder }

    public func makeStage(recipe: Recipe, rank: MeshRank) -> any TrainingStage {
        PreferenceStage(recipe: recipe, data: self, rank: rank)
    }
}
