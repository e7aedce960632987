import CForja
import ForjaCore

// Thin recorders for the bandwidth-bound operations of a block: tensors in, one engine call out. Shape rules and
// backward rules are ForjaNN's.

extension StepGraph {
    /// - Parameters:
    ///   - firstRow: Place of `table` in a table that ranks share.
    ///   - totalRows: Rows of that one; 0 when `table` is all of it.
    package func recordEmbeddingForward(
        table: Tensor, ids: Tensor, y: Tensor, firstRow: Int = 0, totalRows: Int = 0
    ) {
        record("embedding.forward", reads: [table, ids], writes: [y], forja_embedding_forward) {
            forja_embedding_args(
                dtype: table.dtype.engine, table: $0[table], ids: $0[ids], y: $0[y],
                rows: UInt64(ids.elementCount), width: UInt64(table.width),
                table_rows: UInt64(table.rows), first_row: UInt64(firstRow),
                total_rows: UInt64(totalRows))
        }
    }

    package func recordEmbeddingBackward(
        dy: Tensor, ids: Tensor, into target: GradientTarget, firstRow: Int = 0
    ) {
        let table = target.tensor
        record(
            "embedding.backward", reads: [dy, ids, table], writes: [table],
            dependsOnMicrostep: target.accumulation == .addAfterFirstMicrostep,
            forja_embedding_backward
        ) {
            forja_embedding_backward_args(
                dtype: dy.dtype.engine, dy: $0[dy], ids: $0[ids], d_table: $0[table],
                rows: UInt64(ids.elementCount), width: UInt64(table.width),
                table_rows: UInt64(table.rows), first_row: UInt64(firstRow),
                accumulate: $0.accumulates(target.accumulation))
        }
    }

    package func recordRMSNormForward(
        x: Tensor, weight: Tensor, y: Tensor, rstd: Tensor, epsilon: Float
    ) {
        record(
            "rmsnorm.forward", reads: [x, weight], writes: [y, rstd], isCheap: true,
            forja_rmsnorm_forward
        ) {
            forja_rmsnorm_args(
                dtype: x.dtype.engine, x: $0[x], weight: $0[weight], y: $0[y], rstd: $0[rstd],
                rows: UInt64(x.rows), width: UInt64(x.width), epsilon: epsilon)
        }
    }

    package func recordRMSNormBackward(
        x: Tensor, weight: Tensor, rstd: Tensor, dy: Tensor, dx: GradientTarget,
        weightGradient: GradientTarget
    ) {
        record(
            "rmsnorm.backward", reads: [x, weight, rstd, dy, dx.tensor, weightGradient.tensor],
            writes: [dx.tensor, weightGradient.tensor],
            dependsOnMicrostep: weightGradient.accumulation == .addAfterFirstMicrostep,
            forja_rmsnorm_backward, workspace: forja_rmsnorm_backward_workspace_bytes
        ) {
            forja_rmsnorm_backward_args(
                dtype: x.dtype.engine, x: $0[x], weight: $0[weight], rstd: $0[rstd], dy: $0[dy],
                dx: $0[dx.tensor], d_weight: $0[weightGradient.tensor], rows: UInt64(x.rows),
                width: UInt64(x.width), accumulate_dx: $0.accumulates(dx.accumulation),
                accumulate_d_weight: $0.accumulates(weightGradient.accumulation))
        }
    }

    /// Turns the first `heads` heads of each row of `x` in place.
    package func recordRoPE(
        x: Tensor, cosine: Tensor, sine: Tensor, positions: Tensor?, sequenceLength: Int,
        heads: Int, headWidth: Int, inverse: Bool
    ) {
        record(
            inverse ? "rope.backward" : "rope.forward",
            reads: [x, cosine, sine] + [positions].compactMap { $0 }, writes: [x], forja_rope
        ) {
            forja_rope_args(
                dtype: x.dtype.engine, x: $0[x], cosine: $0[cosine], sine: $0[sine],
                positions: $0[positions], rows: UInt64(x.rows),
                sequence_length: UInt64(sequenceLength), row_stride: UInt64(x.width),
                position_count: UInt64(cosine.rows), heads: UInt32(heads),
                head_dim: UInt32(headWidth), inverse: inverse)
        }
    }

    package func recordSwiGLUForward(x: Tensor, y: Tensor) {
        record(
            "swiglu.forward", reads: [x], writes: [y], isCheap: true, forja_swiglu_forward
        ) {
            forja_swiglu_args(
                dtype: x.dtype.engine, x: $0[x], y: $0[y], rows: UInt64(y.rows),
                width: UInt64(y.width))
        }
    }

    package func recordSwiGLUBackward(x: Tensor, dy: Tensor, dx: Tensor) {
        record("swiglu.backward", reads: [x, dy], writes: [dx], forja_swiglu_backward) {
            forja_swiglu_backward_args(
                dtype: x.dtype.engine, x: $0[x], dy: $0[dy], dx: $0[dx], rows: UInt64(dy.rows),
                width: UInt64(dy.width))
        }
    }

    package func recordAdd(a: Tensor, b: Tensor, y: Tensor) {
        record("add", reads: [a, b], writes: [y], forja_add) {
            forja_add_args(
                dtype: a.dtype.engine, a: $0[a], b: $0[b], y: $0[y], count: UInt64(a.elementCount))
        }
    }

    package func recordSoftmaxForward(x: Tensor, y: Tensor) {
        record("softmax.forward", reads: [x], writes: [y], forja_softmax_forward) {
            forja_softmax_args(
                dtype: x.dtype.engine, x: $0[x], y: $0[y], rows: UInt64(x.rows),
                width: UInt64(x.width))
        }
    }

    package func recordSoftmaxBackward(y: Tensor, dy: Tensor, dx: Tensor) {
        record("softmax.backward", reads: [y, dy], writes: [dx], forja_softmax_backward) {
            forja_softmax_backward_args(
                dtype: y.dtype.engine, y: $0[y], dy: $0[dy], dx: $0[dx], rows: UInt64(y.rows),
                width: UInt64(y.width))
        }
    }

    package func recordCast(from source: Tensor, to destination: Tensor) {
        record("cast", reads: [source], writes: [destination], forja_cast) {
            forja_cast_args(
                from: source.dtype.engine, to: destination.dtype.engine, source: $0[source],
                destination: $0[destination], count: UInt64(source.elementCount))
        }
    }

    /// out[0] (+)= scale · Σ x.
    package func recordSum(
        of x: Tensor, scale: Float, into out: Tensor, accumulation: Accumulation
    ) {
        record(
            "sum", reads: [x, out], writes: [out],
            dependsOnMicrostep: accumulation == .addAfterFirstMicrostep, forja_sum,
            workspace: forja_sum_workspace_bytes
        ) {
            forja_sum_args(
                x: $0[x], out: $0[out], count: UInt64(x.elementCount), scale: scale,
                accumulate: $0.accumulates(accumulation))
        }
    }
}
