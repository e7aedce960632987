import ForjaCore
import ForjaRuntime

extension StepGraph {
    /// Softmax over the last dimension, in float32 whatever the storage type.
    ///
    /// Backward: dx = y · (dy − Σ dy·y).
    ///
    /// - Parameter x: `[N, C]`.
    /// - Returns: `[N, C]`.
    public func softmax(_ x: Tensor) -> Tensor {
        let y = transient("softmax", x.shape, x.dtype)
        recordSoftmaxForward(x: x, y: y)
        onBackward { [self] () throws(ForjaError) in
            guard let dy = gradient(of: y) else { return }
            let target = gradientTarget(for: x, dtype: x.dtype)
            precondition(target.accumulation == .overwrite)
            recordSoftmaxBackward(y: y, dy: dy, dx: target.tensor)
        }
        return y
    }
}
