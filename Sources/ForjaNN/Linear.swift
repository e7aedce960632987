import ForjaCore
import ForjaRuntime

extension StepGraph {
    /// A linear layer without bias: y = x · weightᵀ.
    ///
    /// Backward: dx = dy · weight, dWeight += dyᵀ · x (float32). Sums are float32 whatever the storage type.
    ///
    /// - Parameters:
    ///   - x: Activations, `[N, K]`.
    ///   - weight: `[M, K]`, same type as `x`.
    /// - Returns: `[N, M]`.
    /// - Throws: `.shapeMismatch` when the inner extents or the types differ.
    public func linear(
        _ x: Tensor, weight: Tensor, name: String = "linear"
    ) throws(ForjaError) -> Tensor {
        guard weight.shape.dimensionCount == 2, weight.width == x.width, weight.dtype == x.dtype
        else {
            throw ForjaError(
                .shapeMismatch,
                "\(name): x is \(x.shape) \(x.dtype.rawValue), weight is \(weight.shape) "
                    + weight.dtype.rawValue)
        }
        let y = transient(name, [x.rows, weight.rows], x.dtype)
        recordMatmul(.nt, a: x, b: weight, c: y, name: "\(name).forward")
        onBackward { [self] () throws(ForjaError) in
            guard let dy = gradient(of: y) else { return }
            let dWeight = gradientTarget(for: weight, dtype: .float32)
            recordMatmul(
                .tn, a: dy, b: x, c: dWeight.tensor, accumulation: dWeight.accumulation,
                name: "\(name).backward_weight")
            let dx = gradientTarget(for: x, dtype: x.dtype)
            recordMatmul(
                .nn, a: dy, b: weight, c: dx.tensor, accumulation: dx.accumulation,
                name: "\(name).backward_x")
        }
        return y
    }
}
