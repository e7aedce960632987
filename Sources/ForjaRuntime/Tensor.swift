import ForjaCore

/// A tensor of a `StepGraph`: a shape over a place in a storage. It holds no memory; the memory plan gives
/// storages their place before the graph runs.
public struct Tensor: Hashable, Sendable {
    public let shape: Shape
    public let dtype: DType
    /// Index of the storage in the graph.
    package let storage: Int
    /// First element within the storage.
    package let offset: Int

    public var elementCount: Int { shape.elementCount }
    public var byteCount: Int { shape.elementCount * dtype.byteCount }
    public var rows: Int { shape.rows }
    public var width: Int { shape.width }

    /// The same elements under another shape.
    public func reshaped(_ shape: Shape) -> Tensor {
        precondition(shape.elementCount == self.shape.elementCount)
        return Tensor(shape: shape, dtype: dtype, storage: storage, offset: offset)
    }

    /// Rows `range` of a tensor seen as `[rows, width]`.
    public func rows(_ range: Range<Int>) -> Tensor {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows)
        return Tensor(
            shape: [range.count, width], dtype: dtype, storage: storage,
            offset: offset + range.lowerBound * width)
    }

    /// `count` elements from `start` on, as one dimension.
    public func elements(from start: Int, count: Int) -> Tensor {
        precondition(start >= 0 && start + count <= elementCount)
        return Tensor(shape: [count], dtype: dtype, storage: storage, offset: offset + start)
    }
}

/// Where a gradient goes, and whether it is added to what is there.
package struct GradientTarget {
    package let tensor: Tensor
    package let accumulation: Accumulation
}

/// Whether a dispatch overwrites its output or adds to it.
package enum Accumulation: Sendable {
    case overwrite
    case add
    /// Overwrites in the first microstep of a step and adds in the others.
    case addAfterFirstMicrostep
}
