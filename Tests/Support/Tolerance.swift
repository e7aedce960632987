/// Bounds of whole-model tests. Loosening one is a commit of its own that says why.
public enum ModelTolerance {
    /// Float32 logits against PyTorch, absolute: sums over C and F in another order.
    public static let logits: Float = 1e-4
    /// Log-probability of a sampled token against scoring its text, absolute: logits of cached and of whole-text attention,
    /// and a sum over the vocabulary in another order.
    public static let sampledLogProbability: Float = 2e-4
    /// Mean loss against PyTorch, absolute.
    public static let loss: Float = 1e-5
    /// Each parameter's gradient against PyTorch, relative in the 2-norm.
    public static let gradient = 1e-4
    /// Each parameter's gradient on a mesh against one device, relative in the 2-norm: the same products, their sums over
    /// rows and over C, F and V in up to four parts, each 2⁻²⁴ relative.
    public static let meshGradient = 1e-5
    /// Losses of 20 AdamW steps against PyTorch, absolute.
    public static let stepLosses: Float = 1e-4
    /// bfloat16 keeps 8 bits, 2⁻⁹ relative per rounding; over two layers of eight roundings each, with logits
    /// around 4, that makes about 0.1 in a logit.
    public static let bfloat16Logits: Float = 0.15
    public static let bfloat16Loss: Float = 0.02
    /// Relative in the 2-norm: some twenty roundings of 2⁻⁹ that do not line up, and cancellation in small parameters.
    public static let bfloat16Gradient = 0.06
}
