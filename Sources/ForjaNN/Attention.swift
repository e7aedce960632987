import ForjaCore
import ForjaRuntime

extension StepGraph {
    /// Causal grouped-query attention over a fused tensor of queries, keys and values.
    ///
    ///     out = softmax(Q·Kᵀ/√D + causal and document mask) · V
    ///
    /// No `[T, T]` matrix is stored: the forward pass keeps the log-sum-exp of each row, from which the backward pass
    /// makes the probabilities again. Reference: Dao, 2023, arXiv:2307.08691.
    ///
    /// - Parameters:
    ///   - fused: `[B·T, (H + 2G)·D]`: H query heads, then G key heads, then G value heads.
    ///   - documentStart: `[B·T]` int32, first position of each row's own document; without it rows see everything
    ///     before them.
    /// - Returns: `[B·T, H·D]`.
    /// - Throws: `.shapeMismatch` when `fused` does not fit the geometry.
    public func attention(
        fused: Tensor, batch: Int, sequenceLength: Int, heads: Int, keyValueHeads: Int,
        headWidth: Int, documentStart: Tensor? = nil
    ) throws(ForjaError) -> Tensor {
        let geometry = AttentionGeometry(
            batch: batch, queryLength: sequenceLength, heads: heads, keyValueHeads: keyValueHeads,
            headWidth: headWidth)
        guard fused.rows == batch * sequenceLength, fused.width == geometry.fusedWidth,
            heads % keyValueHeads == 0
        else {
            throw ForjaError(
                .shapeMismatch,
                "attention: fused is \(fused.shape), expected "
                    + "[\(batch * sequenceLength), \(geometry.fusedWidth)] with \(heads) heads "
                    + "and \(keyValueHeads) key-value heads")
        }
        let out = transient("attention", [fused.rows, geometry.outputWidth], fused.dtype)
        let lse = transient("attention lse", [batch, heads, sequenceLength], .float32)
        recordAttentionForward(
            geometry, fused: fused, out: out, lse: lse, documentStart: documentStart)
        onBackward { [self] () throws(ForjaError) in
            guard let dOut = gradient(of: out) else { return }
            let target = gradientTarget(for: fused, dtype: fused.dtype)
            precondition(target.accumulation == .overwrite)
            recordAttentionBackward(
                geometry, fused: fused, out: out, lse: lse, documentStart: documentStart,
                outputGradient: dOut, fusedGradient: target.tensor)
        }
        return out
    }

    /// Attention of generation: appends the keys and values of `fused` to the caches, then attends over them.
    ///
    /// - Parameters:
    ///   - fused: `[B·T, (H + 2G)·D]` of T new positions.
    ///   - keys: Cache `[B, S, G·D]`, as `values`.
    ///   - position: `[B]` int32, how many positions the cache held before.
    /// - Returns: `[B·T, H·D]`.
    public func cachedAttention(
        fused: Tensor, keys: Tensor, values: Tensor, position: Tensor, batch: Int,
        newPositions: Int, heads: Int, keyValueHeads: Int, headWidth: Int
    ) throws(ForjaError) -> Tensor {
        let geometry = AttentionGeometry(
            batch: batch, queryLength: newPositions, heads: heads, keyValueHeads: keyValueHeads,
            headWidth: headWidth)
        guard fused.rows == batch * newPositions, fused.width == geometry.fusedWidth,
            keys.shape == values.shape, keys.shape.dimensionCount == 3, keys.shape[0] == batch,
            keys.width == geometry.keyValueWidth
        else {
            throw ForjaError(
                .shapeMismatch, "cached attention: fused \(fused.shape), cache \(keys.shape)")
        }
        recordCacheAppend(geometry, fused: fused, keys: keys, values: values, position: position)
        let out = transient("attention", [fused.rows, geometry.outputWidth], fused.dtype)
        let lse = transient("attention lse", [batch, heads, newPositions], .float32)
        recordCachedAttention(
            geometry, fused: fused, keys: keys, values: values, position: position, out: out,
            lse: lse)
        return out
    }
}
