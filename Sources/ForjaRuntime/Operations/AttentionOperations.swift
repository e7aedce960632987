import CForja
import ForjaCore

/// The shape of one attention call over a fused `[B, T, H + 2G, D]` tensor of queries, keys and values.
package struct AttentionGeometry: Sendable {
    package let batch: Int
    package let queryLength: Int
    package let heads: Int
    package let keyValueHeads: Int
    package let headWidth: Int

    package init(batch: Int, queryLength: Int, heads: Int, keyValueHeads: Int, headWidth: Int) {
        self.batch = batch
        self.queryLength = queryLength
        self.heads = heads
        self.keyValueHeads = keyValueHeads
        self.headWidth = headWidth
    }

    /// Elements of one position in the fused tensor, and in the attention's output.
    package var fusedWidth: Int { (heads + 2 * keyValueHeads) * headWidth }
    package var outputWidth: Int { heads * headWidth }
    package var keyValueWidth: Int { keyValueHeads * headWidth }
    package var scale: Float { 1 / Float(headWidth).squareRoot() }

    /// Operations of the causal forward pass: half of two [T, T, D] products per head.
    package var causalFlops: Double {
        2 * Double(batch * heads * headWidth) * Double(queryLength) * Double(queryLength)
    }

    fileprivate func arguments(
        q: forja_span, k: forja_span, v: forja_span, out: forja_span, lse: forja_span,
        documentStart: forja_span, queryOffset: forja_span, dtype: DType, keyLength: Int,
        queryRowStride: Int, keyRowStride: Int
    ) -> forja_attention_args {
        forja_attention_args(
            dtype: dtype.engine, q: q, k: k, v: v, out: out, lse: lse,
            document_start: documentStart, query_offset: queryOffset, batch: UInt32(batch),
            query_length: UInt32(queryLength), key_length: UInt32(keyLength),
            heads: UInt32(heads), key_value_heads: UInt32(keyValueHeads),
            head_dim: UInt32(headWidth), q_row_stride: UInt64(queryRowStride),
            k_row_stride: UInt64(keyRowStride), v_row_stride: UInt64(keyRowStride),
            out_row_stride: UInt64(outputWidth), scale: scale)
    }

    /// The spans of queries, keys and values inside a fused tensor.
    fileprivate func parts(_ span: forja_span) -> (forja_span, forja_span, forja_span) {
        let key = UInt64(heads * headWidth)
        let value = UInt64((heads + keyValueHeads) * headWidth)
        return (
            span, forja_span(buffer: span.buffer, offset: span.offset + key),
            forja_span(buffer: span.buffer, offset: span.offset + value)
        )
    }

    fileprivate func fusedArguments(
        _ binding: Binding, fused: Tensor, out: Tensor, lse: Tensor, documentStart: Tensor?
    ) -> forja_attention_args {
        let (q, k, v) = parts(binding[fused])
        return arguments(
            q: q, k: k, v: v, out: binding[out], lse: binding[lse],
            documentStart: binding[documentStart], queryOffset: binding[nil], dtype: fused.dtype,
            keyLength: queryLength, queryRowStride: fusedWidth, keyRowStride: fusedWidth)
    }
}

extension StepGraph {
    /// Training attention: keys and values lie beside the queries in `fused`.
    package func recordAttentionForward(
        _ geometry: AttentionGeometry, fused: Tensor, out: Tensor, lse: Tensor,
        documentStart: Tensor?
    ) {
        record(
            "attention.forward", reads: [fused] + [documentStart].compactMap { $0 },
            writes: [out, lse], flops: geometry.causalFlops, forja_attention_forward,
            workspace: forja_attention_forward_workspace_bytes
        ) { binding in
            geometry.fusedArguments(
                binding, fused: fused, out: out, lse: lse, documentStart: documentStart)
        }
    }

    package func recordAttentionBackward(
        _ geometry: AttentionGeometry, fused: Tensor, out: Tensor, lse: Tensor,
        documentStart: Tensor?, outputGradient: Tensor, fusedGradient: Tensor
    ) {
        record(
            "attention.backward",
            reads: [fused, out, lse, outputGradient] + [documentStart].compactMap { $0 },
            writes: [fusedGradient], flops: 2.5 * geometry.causalFlops, forja_attention_backward,
            workspace: forja_attention_backward_workspace_bytes
        ) { binding in
            let (dq, dk, dv) = geometry.parts(binding[fusedGradient])
            let stride = UInt64(geometry.fusedWidth)
            return forja_attention_backward_args(
                forward: geometry.fusedArguments(
                    binding, fused: fused, out: out, lse: lse, documentStart: documentStart),
                d_out: binding[outputGradient], dq: dq, dk: dk, dv: dv, dq_row_stride: stride,
                dk_row_stride: stride, dv_row_stride: stride)
        }
    }

    /// Generation attention: queries in `fused`, keys and values in caches `[B, S, G, D]`; query row i of
    /// sequence b stands at position `position[b] + i`.
    package func recordCachedAttention(
        _ geometry: AttentionGeometry, fused: Tensor, keys: Tensor, values: Tensor,
        position: Tensor, out: Tensor, lse: Tensor
    ) {
        record(
            "attention.cached", reads: [fused, keys, values, position], writes: [out, lse],
            forja_attention_forward, workspace: forja_attention_forward_workspace_bytes
        ) { binding in
            geometry.arguments(
                q: binding[fused], k: binding[keys], v: binding[values], out: binding[out],
                lse: binding[lse], documentStart: binding[nil], queryOffset: binding[position],
                dtype: fused.dtype, keyLength: keys.shape[1],
                queryRowStride: geometry.fusedWidth, keyRowStride: geometry.keyValueWidth)
        }
    }

    /// Appends the keys and values of `fused` to the caches at `position[b]`.
    package func recordCacheAppend(
        _ geometry: AttentionGeometry, fused: Tensor, keys: Tensor, values: Tensor,
        position: Tensor
    ) {
        for (index, cache) in [keys, values].enumerated() {
            record(
                "cache.append", reads: [fused, position, cache], writes: [cache],
                forja_cache_append
            ) { binding in
                let (_, key, value) = geometry.parts(binding[fused])
                return forja_cache_append_args(
                    dtype: fused.dtype.engine, source: index == 0 ? key : value,
                    cache: binding[cache], position: binding[position],
                    batch: UInt32(geometry.batch), rows: UInt32(geometry.queryLength),
                    capacity: UInt32(cache.shape[1]), width: UInt32(geometry.keyValueWidth),
                    source_row_stride: UInt64(geometry.fusedWidth))
            }
        }
    }
}
