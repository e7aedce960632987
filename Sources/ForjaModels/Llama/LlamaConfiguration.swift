import ForjaCore
import ForjaNN

/// Sizes and constants of a Llama-3.1-style decoder.
public struct LlamaConfiguration: Hashable, Sendable, Codable {
    /// C, model width.
    public var width: Int
    /// L.
    public var layers: Int
    /// H, query heads.
    public var heads: Int
    /// G, key-value heads; divides `heads`.
    public var keyValueHeads: Int
    /// D, width of one head; C / H unless the checkpoint says otherwise.
    public var headWidth: Int
    /// F, feed-forward width.
    public var feedForwardWidth: Int
    /// V.
    public var vocabularySize: Int
    /// Positions the model was made for.
    public var contextLength: Int
    public var ropeBase: Double
    public var ropeScaling: RoPEScaling?
    public var normEpsilon: Float
    /// Whether the head is the embedding table.
    public var tiesEmbeddings: Bool
    /// Standard deviation of initial weights.
    public var initializerRange: Float

    public init(
        width: Int, layers: Int, heads: Int, keyValueHeads: Int, headWidth: Int? = nil,
        feedForwardWidth: Int, vocabularySize: Int, contextLength: Int,
        ropeBase: Double = 500_000, ropeScaling: RoPEScaling? = nil, normEpsilon: Float = 1e-5,
        tiesEmbeddings: Bool = true, initializerRange: Float = 0.02
    ) {
        self.width = width
        self.layers = layers
        self.heads = heads
        self.keyValueHeads = keyValueHeads
        self.headWidth = headWidth ?? (heads > 0 ? width / heads : 0)
        self.feedForwardWidth = feedForwardWidth
        self.vocabularySize = vocabularySize
        self.contextLength = contextLength
        self.ropeBase = ropeBase
        self.ropeScaling = ropeScaling
        self.normEpsilon = normEpsilon
        self.tiesEmbeddings = tiesEmbeddings
        self.initializerRange = initializerRange
    }

    /// Widest head the attention kernels take.
    public static let maxHeadWidth = 256

    /// Refuses shapes that cannot be.
    ///
    /// - Parameter hasExplicitHeadWidth: Whether `headWidth` was given, and so may differ from width / heads.
    public func validate(hasExplicitHeadWidth: Bool = true) throws(ForjaError) {
        // With the recipe's limits, which a config.json knows nothing of, no product of extents passes 2⁶³.
        for (name, value, limit) in [
            ("width", width, 1_048_576), ("layers", layers, 4096), ("heads", heads, 65_536),
            ("key_value_heads", keyValueHeads, 65_536),
            ("feed_forward_width", feedForwardWidth, 4_194_304),
            ("vocabulary_size", vocabularySize, 4_194_304),
            ("context_length", contextLength, 16_777_216),
        ] where value < 1 || value > limit {
            throw ForjaError(
                .invalidInput, "model.\(name) is \(value)", fix: "give a number from 1 to \(limit)")
        }
        guard hasExplicitHeadWidth || width % heads == 0 else {
            throw ForjaError(
                .invalidInput, "model.width \(width) does not divide by model.heads \(heads)",
                fix: "set model.heads to a divisor of \(width), or give model.head_width")
        }
        guard heads % keyValueHeads == 0 else {
            let valid = (1...heads).filter { heads % $0 == 0 }.map(String.init)
            throw ForjaError(
                .invalidInput,
                "model.key_value_heads is \(keyValueHeads) and does not divide model.heads \(heads)",
                fix: "set model.key_value_heads to \(valid.joined(separator: ", "))")
        }
        guard headWidth >= 2, headWidth % 2 == 0, headWidth <= Self.maxHeadWidth else {
            throw ForjaError(
                .invalidInput, "a head is \(headWidth) wide",
                fix: "choose width / heads, or model.head_width, even and in 2 ... "
                    + "\(Self.maxHeadWidth)")
        }
        guard ropeBase > 1, ropeBase.isFinite else {
            throw ForjaError(
                .invalidInput, "model.rope_base is \(ropeBase)",
                fix: "give a number above 1; Llama 3 uses 500000")
        }
        if let ropeScaling { try validate(ropeScaling) }
    }

    private func validate(_ scaling: RoPEScaling) throws(ForjaError) {
        guard scaling.factor >= 1, scaling.factor.isFinite, scaling.originalContext >= 1 else {
            throw ForjaError(
                .invalidInput,
                "model.rope_scaling.factor is \(scaling.factor) over a context of "
                    + "\(scaling.originalContext)",
                fix: "give a factor of at least 1 and a context of at least 1")
        }
        guard scaling.lowFrequencyFactor > 0,
            scaling.lowFrequencyFactor < scaling.highFrequencyFactor,
            scaling.highFrequencyFactor.isFinite
        else {
            throw ForjaError(
                .invalidInput,
                "model.rope_scaling.low_frequency_factor is \(scaling.lowFrequencyFactor) and "
                    + "model.rope_scaling.high_frequency_factor is "
                    + "\(scaling.highFrequencyFactor)",
                fix: "give a low factor above 0 and below the high one; Llama 3.1 uses 1 and 4")
        }
    }

    /// (H + 2G)·D: columns of the fused query-key-value projection.
    public var fusedWidth: Int { (heads + 2 * keyValueHeads) * headWidth }

    /// Every learned number, the tied head once.
    public var parameterCount: Int {
        let block =
            fusedWidth * width + width * heads * headWidth + 3 * width * feedForwardWidth
            + 2 * width
        let table = vocabularySize * width
        return layers * block + table * (tiesEmbeddings ? 1 : 2) + width
    }

    /// Numbers that take part in a matrix product of the forward pass; the embedding lookup is none.
    public var matmulParameterCount: Int {
        layers
            * (fusedWidth * width + width * heads * headWidth + 3 * width * feedForwardWidth)
            + vocabularySize * width
    }

    /// Floating-point operations of training on one token in sequences of `sequenceLength`:
    /// 6 · (matmul parameters) + 6 · L·H·D·T (causal attention).
    public func trainingFlopsPerToken(sequenceLength: Int) -> Double {
        6 * Double(matmulParameterCount)
            + 6 * Double(layers * heads * headWidth) * Double(sequenceLength)
    }
}
