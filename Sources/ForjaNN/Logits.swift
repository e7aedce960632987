import ForjaCore
import ForjaRuntime

extension StepGraph {
    /// Logits of every row into a variable the host reads: z = hidden · weightᵀ, float32.
    ///
    /// - Parameters:
    ///   - hidden: `[N, C]`.
    ///   - weight: Head, `[V, C]`.
    ///   - logits: `[N, V]` float32.
    /// - Throws: `.shapeMismatch` when the three do not fit.
    public func logits(
        hidden: Tensor, weight: Tensor, into logits: Variable
    ) throws(ForjaError) {
        guard hidden.width == weight.width, logits.shape == [hidden.rows, weight.rows],
            logits.dtype == .float32
        else {
            throw ForjaError(
                .shapeMismatch,
                "logits: hidden \(hidden.shape), head \(weight.shape), out \(logits.shape)")
        }
        recordMatmul(.nt, a: hidden, b: weight, c: tensor(logits), name: "head.logits")
    }
}
