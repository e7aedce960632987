import ForjaCore
import ForjaRuntime

/// How a tensor group holds the rows of the residual stream.
///
/// Between two products that the group shares out, norms and sums need no columns of other ranks, so each rank does them
/// for its own rows alone (sequence parallelism; Korthikanti and others, 2022, arXiv:2205.05198). The rows are gathered
/// before the first product and summed apart after the second; backward does the mirror image.
public struct RowSharing: Sendable {
    public let group: Collectives
    /// Each rank holds N/P rows; otherwise every rank holds all N, and sums are all-reduced. The latter has no backward.
    public let isShared: Bool

    public init(_ group: Collectives, isShared: Bool) {
        self.group = group
        self.isShared = isShared
    }

    /// This rank's rows of `count`.
    fileprivate func own(of count: Int) -> Range<Int> {
        let share = count / group.rankCount
        return group.rank * share..<(group.rank + 1) * share
    }
}

extension StepGraph {
    /// Every rank's rows, for a product with columns that the group shares.
    ///
    /// Backward: each rank's gradient is of the columns it has; they are summed, each rank keeping its rows.
    ///
    /// - Parameter x: `[N/P, C]`.
    /// - Returns: `[N, C]`; `x` itself over a group of one or where rows are not shared.
    public func gatherRows(_ x: Tensor, over rows: RowSharing) -> Tensor {
        guard rows.group.rankCount > 1, rows.isShared else { return x }
        let y = transient("gathered rows", [x.rows * rows.group.rankCount, x.width], x.dtype)
        let own = rows.own(of: y.rows)
        recordCast(from: x, to: y.rows(own))
        recordCollective(.allGather, on: y, over: rows.group, block: x.elementCount)
        onBackward { [self] () throws(ForjaError) in
            guard let dy = gradient(of: y) else { return }
            recordCollective(.reduceScatter, on: dy, over: rows.group, block: x.elementCount)
            adoptGradient(dy.rows(own), for: x, isBorrowed: false)
        }
        return y
    }

    /// The sum of all ranks' `x`, of which each rank keeps its rows.
    ///
    /// Backward: every rank needs the gradient of all rows for the columns it has.
    ///
    /// - Parameter x: `[N, C]`, partial over the group: a sum over this rank's share of the columns of a product. Its
    ///   contents change.
    /// - Returns: `[N/P, C]`; `x` itself over a group of one; the whole sum `[N, C]` where rows are not shared.
    public func sumRows(_ x: Tensor, over rows: RowSharing) -> Tensor {
        guard rows.group.rankCount > 1 else { return x }
        guard rows.isShared else {
            recordCollective(.allReduce, on: x, over: rows.group)
            onBackward { preconditionFailure("rows that are not shared have no backward pass") }
            return x
        }
        let own = rows.own(of: x.rows)
        let block = own.count * x.width
        recordCollective(.reduceScatter, on: x, over: rows.group, block: block)
        let y = x.rows(own)
        onBackward { [self] () throws(ForjaError) in
            guard let dy = gradient(of: y) else { return }
            let dx = transient("gradient of all rows", x.shape, x.dtype)
            recordCast(from: dy, to: dx.rows(own))
            recordCollective(.allGather, on: dx, over: rows.group, block: block)
            adoptGradient(dx, for: x, isBorrowed: false)
        }
        return y
    }
}
