import CForja
import ForjaCore

extension KernelCall {
    /// C[M,N] = op(A) · op(B) in every layout, all three of one type.
    public static func products(_ m: Int, _ n: Int, _ k: Int, dtype: DType) -> [KernelCall] {
        [FORJA_MATMUL_NT, FORJA_MATMUL_NN, FORJA_MATMUL_TN].map { layout in
            var call = forja_matmul_args()
            call.layout = layout
            (call.input_dtype, call.output_dtype) = (dtype.engine, dtype.engine)
            (call.m, call.n, call.k) = (UInt64(m), UInt64(n), UInt64(k))
            call.lda = layout == FORJA_MATMUL_TN ? call.m : call.k
            call.ldb = layout == FORJA_MATMUL_NT ? call.k : call.n
            call.ldc = call.n
            call.batch_count = 1
            call.alpha = 1
            return KernelCall(alone: call)
        }
    }
}

extension forja_matmul_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status { forja_matmul }
    var operation: String { "matmul" }
    var storage: forja_dtype { input_dtype }
    var flops: Double? { 2 * Double(m) * Double(n) * Double(k) }

    /// "tn 768x256x2048 +=": layout, M×N×K, and whether the product is added to what is there.
    var shape: String {
        let name = layout == FORJA_MATMUL_NT ? "nt" : layout == FORJA_MATMUL_TN ? "tn" : "nn"
        return "\(name) \(m)x\(n)x\(k)\(accumulate ? " +=" : "")"
    }

    private var aRows: Int { Int(layout == FORJA_MATMUL_TN ? k : m) }
    private var bRows: Int { Int(layout == FORJA_MATMUL_NT ? n : k) }

    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        a = try operands.place("a", aRows * Int(lda), input_dtype, .reads)
        b = try operands.place("b", bRows * Int(ldb), input_dtype, .reads)
        c = try operands.place(
            "c", Int(m * ldc), output_dtype, accumulate ? .updates : .writes)
    }

    /// Whole rows of C, so few that float64 does not take longer than the benchmark.
    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let (n, k) = (Int(n), Int(k))
        let rows = sampled(Int(m), limit: max(1, min(16, 20_000_000 / (n * k))))
        let (a, b) = (operands["a"], operands["b"])
        let (start, result) = (operands["c"], try operands.result("c"))
        var meter = ErrorMeter()
        for row in rows {
            let sums = product(row: row, a, b)
            for column in 0..<n {
                let at = row * Int(ldc) + column
                meter.compare(
                    result[at],
                    with: Double(alpha) * sums[column] + (accumulate ? Double(start[at]) : 0))
            }
        }
        return meter.relativeError
    }

    private func product(row: Int, _ a: [Float], _ b: [Float]) -> [Double] {
        let (n, k, lda, ldb) = (Int(n), Int(k), Int(lda), Int(ldb))
        var sums = [Double](repeating: 0, count: n)
        a.withUnsafeBufferPointer { a in
            b.withUnsafeBufferPointer { b in
                sums.withUnsafeMutableBufferPointer { sums in
                    if layout == FORJA_MATMUL_NT {
                        for j in 0..<n {
                            for step in 0..<k {
                                sums[j] += Double(a[row * lda + step]) * Double(b[j * ldb + step])
                            }
                        }
                        return
                    }
                    for step in 0..<k {
                        let factor = Double(
                            layout == FORJA_MATMUL_TN ? a[step * lda + row] : a[row * lda + step])
                        for j in 0..<n { sums[j] += factor * Double(b[step * ldb + j]) }
                    }
                }
            }
        }
        return sums
    }
}
