import ForjaCore
import ForjaRuntime

extension StepGraph {
    /// Scales each row to unit root mean square, then by a learned weight.
    ///
    ///     y = x · rstd · weight          rstd = 1 / √(mean over C of x² + epsilon)
    ///
    /// Backward: dx += rstd · (w·dy − x · rstd² · mean(w·dy·x)); dWeight += Σ over rows of dy · x · rstd.
    /// Sums run in float32. Reference: Zhang and Sennrich, 2019, arXiv:1910.07467.
    ///
    /// - Parameters:
    ///   - x: Activations, `[N, C]`.
    ///   - weight: Learned scale, `[C]`, same type as `x`.
    ///   - epsilon: Added to the mean square; Llama 3 checkpoints use `1e-5`.
    /// - Returns: `[N, C]`.
    /// - Throws: `.shapeMismatch` when `weight` is not `[C]`.
    public func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float) throws(ForjaError) -> Tensor {
        guard weight.shape == [x.width], weight.dtype == x.dtype else {
            throw ForjaError(
                .shapeMismatch,
                "rmsNorm: x is \(x.shape) \(x.dtype.rawValue), weight is \(weight.shape) "
                    + weight.dtype.rawValue)
        }
        let y = transient("rmsnorm", x.shape, x.dtype)
        let rstd = transient("rmsnorm rstd", [x.rows], .float32)
        recordRMSNormForward(x: x, weight: weight, y: y, rstd: rstd, epsilon: epsilon)
        onBackward { [self] () throws(ForjaError) in
            guard let dy = gradient(of: y) else { return }
            recordRMSNormBackward(
                x: x, weight: weight, rstd: rstd, dy: dy,
                dx: gradientTarget(for: x, dtype: x.dtype),
                weightGradient: gradientTarget(for: weight, dtype: .float32))
        }
        return y
    }
}
