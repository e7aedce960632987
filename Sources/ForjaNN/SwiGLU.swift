import ForjaCore
import ForjaRuntime

extension StepGraph {
    /// Gated unit: y = silu(gate) · up, where `x` holds gate in its first F columns and up in the others.
    ///
    /// Backward overwrites nothing of `x`: with s = σ(gate), dGate = dy · up · s · (1 + gate·(1 − s)),
    /// dUp = dy · gate · s. Reference: Shazeer, 2020, arXiv:2002.05202.
    ///
    /// - Parameter x: `[N, 2F]`.
    /// - Returns: `[N, F]`.
    /// - Throws: `.shapeMismatch` when the width is odd.
    public func swiGLU(_ x: Tensor) throws(ForjaError) -> Tensor {
        guard x.width % 2 == 0 else {
            throw ForjaError(.shapeMismatch, "swiGLU: x is \(x.shape), its width must be even")
        }
        let y = transient("swiglu", [x.rows, x.width / 2], x.dtype)
        recordSwiGLUForward(x: x, y: y)
        onBackward { [self] () throws(ForjaError) in
            guard let dy = gradient(of: y) else { return }
            let target = gradientTarget(for: x, dtype: x.dtype)
            precondition(target.accumulation == .overwrite)
            recordSwiGLUBackward(x: x, dy: dy, dx: target.tensor)
        }
        return y
    }
}
