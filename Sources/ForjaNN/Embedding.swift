import ForjaCore
import ForjaRuntime

extension StepGraph {
    /// Looks up one row of `table` for each id.
    ///
    /// Backward: each row's gradient collects the gradients of its occurrences in ascending order, in float32.
    ///
    /// - Parameters:
    ///   - ids: `[N]` int32, each in 0 ..< V; the caller has checked them.
    ///   - table: `[V, C]`.
    /// - Returns: `[N, C]`.
    /// - Throws: `.shapeMismatch` when `ids` are not int32 or `table` is not a matrix.
    public func embedding(ids: Tensor, table: Tensor) throws(ForjaError) -> Tensor {
        guard ids.dtype == .int32, table.shape.dimensionCount == 2 else {
            throw ForjaError(
                .shapeMismatch,
                "embedding: ids are \(ids.shape) \(ids.dtype.rawValue), table is \(table.shape)")
        }
        let y = transient("embedding", [ids.elementCount, table.width], table.dtype)
        recordEmbeddingForward(table: table, ids: ids, y: y)
        onBackward { [self] () throws(ForjaError) in
            guard let dy = gradient(of: y) else { return }
            recordEmbeddingBackward(
                dy: dy, ids: ids, into: gradientTarget(for: table, dtype: .float32))
        }
        return y
    }
}
