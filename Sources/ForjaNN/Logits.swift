import ForjaCore
import ForjaRuntime

extension StepGraph {
    /// Logits of every row into a variable the host reads: z = hidden · weightᵀ, float32.
    ///
    /// - Parameters:
    ///   - hidden: `[N, C]`.
    ///   - weight: Head, `[V, C]`; `[V/P, C]` where a group shares it.
    ///   - logits: `[P·N, V/P]` float32: of each rank of the group the logits of its part.
    ///   - group: Ranks that hold one part of the head each, in order.
    /// - Throws: `.shapeMismatch` when the three do not fit.
    public func logits(
        hidden: Tensor, weight: Tensor, into logits: Variable,
        over group: Collectives = Collectives()
    ) throws(ForjaError) {
        guard hidden.width == weight.width,
            logits.shape == [group.rankCount * hidden.rows, weight.rows],
            logits.dtype == .float32
        else {
            throw ForjaError(
                .shapeMismatch,
                "logits: hidden \(hidden.shape), head \(weight.shape), out \(logits.shape)")
        }
        let all = tensor(logits)
        let own = all.rows(group.rank * hidden.rows..<(group.rank + 1) * hidden.rows)
        recordMatmul(.nt, a: hidden, b: weight, c: own, name: "head.logits")
        recordCollective(.allGather, on: all, over: group, block: own.elementCount)
    }
}
