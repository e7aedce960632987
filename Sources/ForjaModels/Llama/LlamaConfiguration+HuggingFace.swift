import ForjaCore
import ForjaFormats
import ForjaNN

extension LlamaConfiguration {
    public init(_ config: HuggingFaceConfig) {
        var scaling: RoPEScaling?
        if case .llama3(let factor, let low, let high, let original) = config.ropeScaling {
            scaling = RoPEScaling(
                factor: factor, lowFrequencyFactor: low, highFrequencyFactor: high,
                originalContext: original)
        }
        self.init(
            width: config.hiddenSize, layers: config.layerCount, heads: config.headCount,
            keyValueHeads: config.keyValueHeadCount, headWidth: config.headDimension,
            feedForwardWidth: config.intermediateSize, vocabularySize: config.vocabularySize,
            contextLength: config.maximumPositions, ropeBase: config.ropeTheta,
            ropeScaling: scaling, normEpsilon: Float(config.rmsNormEpsilon),
            tiesEmbeddings: config.tiesWordEmbeddings,
            initializerRange: Float(config.initializerRange))
    }

    /// As config.json of a checkpoint whose weights are float32.
    public func huggingFace(
        beginOfTextID: Int32?, endOfTextIDs: [Int32]
    ) -> HuggingFaceConfig {
        HuggingFaceConfig(
            vocabularySize: vocabularySize, hiddenSize: width,
            intermediateSize: feedForwardWidth, layerCount: layers, headCount: heads,
            keyValueHeadCount: keyValueHeads, headDimension: headWidth,
            maximumPositions: contextLength,
            rmsNormEpsilon: shortestDecimal(normEpsilon), ropeTheta: ropeBase,
            ropeScaling: ropeScaling.map {
                .llama3(
                    factor: $0.factor, lowFrequencyFactor: $0.lowFrequencyFactor,
                    highFrequencyFactor: $0.highFrequencyFactor,
                    originalMaximumPositions: $0.originalContext)
            }, tiesWordEmbeddings: tiesEmbeddings, beginOfTextID: beginOfTextID,
            endOfTextIDs: endOfTextIDs, dtype: .float32,
            initializerRange: shortestDecimal(initializerRange))
    }
}

/// The float64 whose text is the float32's shortest: 1e-05, not 9.999999747378752e-06.
private func shortestDecimal(_ value: Float) -> Double { Double("\(value)") ?? Double(value) }
