import ForjaCore
import ForjaRuntime

/// A learned tensor: the float32 master that the optimizer updates, and the copy that kernels read.
///
/// With float32 computation both are the same variable; with bfloat16 the copy is rewritten from the master by every
/// update.
public final class Parameter: Sendable {
    /// Name within the model, `layers.0.attention.qkv`.
    public let name: String
    public let shape: Shape
    /// `[shape]` float32.
    public let master: Variable
    /// `[shape]` of the computation's type.
    public let compute: Variable
    /// Whether weight decay of "matrices" includes it: two dimensions or more.
    public var isMatrix: Bool { shape.dimensionCount >= 2 }

    /// - Parameter isTrained: Without training a bfloat16 parameter has no float32 master.
    public init(name: String, shape: Shape, computeType: DType, isTrained: Bool = true) {
        self.name = name
        self.shape = shape
        compute = Variable(name: name, shape: shape, dtype: computeType)
        master =
            computeType == .float32 || !isTrained
            ? compute : Variable(name: "\(name) (master)", shape: shape, dtype: .float32)
    }
}
