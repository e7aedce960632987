import CForja
import ForjaCore

/// How the operands of a product lie in memory.
package enum MatmulLayout {
    /// C[M, N] = A[M, K] · B[K, N]
    case nn
    /// C[M, N] = A[M, K] · B[N, K]ᵀ
    case nt
    /// C[M, N] = A[K, M]ᵀ · B[K, N]
    case tn

    fileprivate var engine: forja_matmul_layout {
        switch self {
        case .nn: FORJA_MATMUL_NN
        case .nt: FORJA_MATMUL_NT
        case .tn: FORJA_MATMUL_TN
        }
    }
}

extension StepGraph {
    /// c (+)= alpha · op(a) · op(b), each tensor seen as [rows, width].
    package func recordMatmul(
        _ layout: MatmulLayout, a: Tensor, b: Tensor, c: Tensor, alpha: Float = 1,
        accumulation: Accumulation = .overwrite, name: String = "matmul"
    ) {
        let (m, n, k) =
            switch layout {
            case .nn: (a.rows, b.width, a.width)
            case .nt: (a.rows, b.rows, a.width)
            case .tn: (a.width, b.width, a.rows)
            }
        precondition(c.rows == m && c.width == n, "\(name): c is \(c.shape), not [\(m), \(n)]")
        precondition((layout == .nt ? b.width : b.rows) == k, "\(name): inner extents differ")
        precondition(a.dtype == b.dtype, "\(name): operands of two types")
        record(
            name, reads: [a, b], writes: [c], flops: 2 * Double(m) * Double(n) * Double(k),
            dependsOnMicrostep: accumulation == .addAfterFirstMicrostep,
            forja_matmul, workspace: forja_matmul_workspace_bytes
        ) { binding in
            forja_matmul_args(
                layout: layout.engine, input_dtype: a.dtype.engine, output_dtype: c.dtype.engine,
                a: binding[a], b: binding[b], c: binding[c], m: UInt64(m), n: UInt64(n),
                k: UInt64(k), lda: UInt64(a.width), ldb: UInt64(b.width), ldc: UInt64(c.width),
                batch_count: 1, a_stride: 0, b_stride: 0, c_stride: 0, alpha: alpha,
                accumulate: binding.accumulates(accumulation))
        }
    }
}
