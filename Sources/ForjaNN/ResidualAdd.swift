import ForjaCore
import ForjaRuntime

extension StepGraph {
    /// y = residual + branch.
    ///
    /// Backward copies nothing: the residual takes over the gradient of y, to which its other use (the norm) adds, and
    /// the branch reads the same memory before that happens.
    ///
    /// - Parameters:
    ///   - residual: `[N, C]`, the stream that goes past the branch.
    ///   - branch: `[N, C]`, used only here.
    /// - Throws: `.shapeMismatch` when shapes or types differ.
    public func residualAdd(
        _ residual: Tensor, branch: Tensor
    ) throws(ForjaError) -> Tensor {
        guard residual.shape == branch.shape, residual.dtype == branch.dtype else {
            throw ForjaError(
                .shapeMismatch, "residualAdd: \(residual.shape) and \(branch.shape) differ")
        }
        let y = transient("residual", residual.shape, residual.dtype)
        recordAdd(a: residual, b: branch, y: y)
        onBackward { [self] () throws(ForjaError) in
            guard let dy = gradient(of: y) else { return }
            adoptGradient(dy, for: branch, isBorrowed: true)
            // The branch's rules come next and read dy; only then does the norm of the residual add to it.
            adoptGradient(dy, for: residual, isBorrowed: false)
        }
        return y
    }
}
