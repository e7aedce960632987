import ForjaCore
import ForjaData
import ForjaFormats
import ForjaModels

/// What a plan needs to know without reading the recipe's data.
extension Recipe {
    /// The model the recipe describes, without reading its text where the vocabulary is known beforehand.
    public func plannedModel(
        observer: any TrainingObserver
    ) throws(ForjaError) -> LlamaConfiguration {
        if let source = modelSource { return try ModelDirectory(source).configuration }
        if tokenizerSource == nil, trainedTokenizerKind == "byte_bpe" {
            return try modelConfiguration(vocabularySize: trainedVocabularySize!)
        }
        let path = try RecipeTokenizer.path(
            for: self, cache: TokenShardCache(), observer)
        return try modelConfiguration(
            vocabularySize: Tokenizer(contentsOf: path).vocabularySize)
    }

    /// The step that `train` records, without reading text: attention stays inside documents only where the tokenizer has
    /// an end-of-text token.
    public func plannedShape(observer: any TrainingObserver) throws(ForjaError) -> StepShape {
        var shape = stepShape
        guard stage == .pretrain, shape.documentMask else { return shape }
        if tokenizerSource == nil, modelSource == nil {
            // Trained byte-pair tokenizers have the token, character tokenizers have not.
            shape.documentMask = trainedTokenizerKind == "byte_bpe"
        } else {
            let tokenizer = try Tokenizer(
                contentsOf: RecipeTokenizer.path(for: self, cache: TokenShardCache(), observer))
            shape.documentMask = Tokenization.endOfTextNames.contains {
                tokenizer.id(of: $0) != nil
            }
        }
        return shape
    }
}
