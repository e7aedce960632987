import ForjaCore

/// A Llama model's `config.json`, with the names and defaults of transformers made plain.
///
/// Reads what transformers 4 and 5 write; what the engine cannot compute (another model type or
/// activation, biases, other RoPE scalings, quantised weights) is refused by name, never
/// approximated. Numbers are float64, as JSON has them.
public struct HuggingFaceConfig: Sendable, Equatable {
    /// How rotary frequencies are stretched past the pre-training length.
    public enum RopeScaling: Sendable, Equatable {
        /// Llama 3.1: wave lengths above `originalMaximumPositions / lowFrequencyFactor` positions
        /// grow by `factor`, those below `originalMaximumPositions / highFrequencyFactor` stay,
        /// those between are interpolated.
        case llama3(
            factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double,
            originalMaximumPositions: Int)
    }

    /// V, rows of the embedding.
    public var vocabularySize: Int
    /// C.
    public var hiddenSize: Int
    /// F.
    public var intermediateSize: Int
    /// L.
    public var layerCount: Int
    /// H.
    public var headCount: Int
    /// G; divides `headCount`.
    public var keyValueHeadCount: Int
    /// D; C / H where the file does not say.
    public var headDimension: Int
    /// Longest sequence the model was made for, in tokens.
    public var maximumPositions: Int
    public var rmsNormEpsilon: Double
    /// Base of the rotary frequencies.
    public var ropeTheta: Double
    /// `nil`: frequencies as they are.
    public var ropeScaling: RopeScaling?
    /// Whether the LM head is the embedding.
    public var tiesWordEmbeddings: Bool
    public var beginOfTextID: Int32?
    /// Tokens that end a text or a turn; empty where the model has none.
    public var endOfTextIDs: [Int32]
    public var paddingID: Int32?
    /// Type of the stored weights; `nil` where the file does not say.
    public var dtype: DType?
    /// Standard deviation that transformers initialises new weights with.
    public var initializerRange: Double

    public init(
        vocabularySize: Int, hiddenSize: Int, intermediateSize: Int, layerCount: Int,
        headCount: Int, keyValueHeadCount: Int, headDimension: Int? = nil,
        maximumPositions: Int = 2048, rmsNormEpsilon: Double = 1e-5, ropeTheta: Double = 10000,
        ropeScaling: RopeScaling? = nil, tiesWordEmbeddings: Bool = false,
        beginOfTextID: Int32? = nil, endOfTextIDs: [Int32] = [], paddingID: Int32? = nil,
        dtype: DType? = .float32, initializerRange: Double = 0.02
    ) {
        self.vocabularySize = vocabularySize
        self.hiddenSize = hiddenSize
        self.intermediateSize = intermediateSize
        self.layerCount = layerCount
        self.headCount = headCount
        self.keyValueHeadCount = keyValueHeadCount
        self.headDimension = headDimension ?? hiddenSize / max(headCount, 1)
        self.maximumPositions = maximumPositions
        self.rmsNormEpsilon = rmsNormEpsilon
        self.ropeTheta = ropeTheta
        self.ropeScaling = ropeScaling
        self.tiesWordEmbeddings = tiesWordEmbeddings
        self.beginOfTextID = beginOfTextID
        self.endOfTextIDs = endOfTextIDs
        self.paddingID = paddingID
        self.dtype = dtype
        self.initializerRange = initializerRange
    }
}
