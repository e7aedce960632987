import ForjaCore
import ForjaRuntime

extension StepGraph {
    /// Looks up one row of `table` for each id.
    ///
    /// Backward: each row's gradient collects the gradients of its occurrences in ascending order, in float32.
    ///
    /// - Parameters:
    ///   - ids: `[N]` int32, each in 0 ..< V; the caller has checked them.
    ///   - table: `[V, C]`; `[V/P, C]` where a group shares it.
    ///   - group: Ranks that hold one part of the table each, in order.
    /// - Returns: `[N, C]`, partial over the group: rows of other ranks' ids are zero.
    /// - Throws: `.shapeMismatch` when `ids` are not int32 or `table` is not a matrix.
    public func embedding(
        ids: Tensor, table: Tensor, over group: Collectives = Collectives()
    ) throws(ForjaError) -> Tensor {
        guard ids.dtype == .int32, table.shape.dimensionCount == 2 else {
            throw ForjaError(
                .shapeMismatch,
                "embedding: ids are \(ids.shape) \(ids.dtype.rawValue), table is \(table.shape)")
        }
        let y = transient("embedding", [ids.elementCount, table.width], table.dtype)
        let firstRow = group.rank * table.rows
        recordEmbeddingForward(
            table: table, ids: ids, y: y, firstRow: firstRow,
            totalRows: group.rankCount * table.rows)
        onBackward { [self] () throws(ForjaError) in
            guard let dy = gradient(of: y) else { return }
            recordEmbeddingBackward(
                dy: dy, ids: ids, into: gradientTarget(for: table, dtype: .float32),
                firstRow: firstRow)
        }
        return y
    }
}
