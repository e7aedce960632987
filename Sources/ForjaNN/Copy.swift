import ForjaCore
import ForjaRuntime

extension StepGraph {
    /// Copies a tensor into a variable the host reads or a later graph uses, converting its type.
    ///
    /// - Parameter variable: As many elements as `x`, in a floating-point type.
    public func copy(_ x: Tensor, into variable: Variable) {
        precondition(x.elementCount == variable.shape.elementCount)
        recordCast(from: x, to: tensor(variable))
    }
}
