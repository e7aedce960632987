import ForjaCore
import ForjaData
import ForjaFormats
import ForjaParallel
import Foundation

/// Supervised fine-tuning's data: chats, of which the assistant's answers are learnt.
public struct SupervisedData: StageData {
    let data: ChatData
    let train: PackedExamples
    let validation: PackedExamples?

    /// - Parameter run: Receives the tokenizer.json; `nil` when only looking.
    /// - Throws: `.invalidInput` naming file and line of a row that cannot be used.
    public init(
        recipe: Recipe, run: RunDirectory?, observer: any TrainingObserver
    ) throws(ForjaError) {
        data = try ChatData(recipe: recipe, observer: observer) {
            (path, encoder) throws(ForjaError) in
            try ExampleSet(
                JSONLines.read(path, as: ChatRow.self, badRows: recipe.badRows), encoder: encoder,
                length: recipe.sequenceLength, badRows: recipe.badRows)
        }
        let padding = data.encoder.stopTokens[0]
        train = data.train.packed(recipe, as: recipe.packing, padding: padding)
        validation = data.validation?.packed(recipe, as: recipe.packing, padding: padding)
        observer.note(
            "\(train.examples.count) chats in \(train.rows.count) sequences, "
                + String(format: "%.1f %% filled; ", 100 * train.fill)
                + "\(validation?.examples.count ?? 0) held out; "
                + String(
                    format: "%.2f epochs",
                    Double(recipe.maxSteps * recipe.batchSize) / Double(train.rows.count)))
        if let run { try enter(run, recipe: recipe) }
    }

    public var tokenizer: RecipeTokenizer { data.tokenizer }
    public var hashes: [String: String] { data.hashes }
    public var chat: ChatEncoder? { data.encoder }

    public func makeStage(recipe: Recipe, rank: MeshRank) -> any TrainingStage {
        SupervisedStage(recipe: recipe, data: self, rank: rank)
    }
}
