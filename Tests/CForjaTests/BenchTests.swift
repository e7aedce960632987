import CForja
import Testing

extension OperationTests {
    /// What benchmarks hold kernels against computes what it says.
    @Suite("Benchmark yardsticks")
    struct BenchTests {
        @Test("multiplies and adds as often as asked", arguments: Target.all)
        func multipliesAndAdds(target: Target) throws {
            for count in [1, 15, 160, 961, 5003] {
                let y = try target.run { bench in
                    let out = try bench.poisoned(count, as: .f32)
                    var args = forja_multiply_add_args(
                        out: out.span, count: UInt64(count), steps: 10, factor: 0.5, addend: 1)
                    try bench.run { forja_multiply_add($0, &args) }
                    return try out.values()
                }
                // x ← x/2 + 1 runs towards 2 by halves: exact, with or without a fused product.
                expectSame(y, (0..<count).map { 2 + (Double($0 % 1024) - 2) / 1024 })
            }
        }

        @Test("leaves the start after no step", arguments: Target.all)
        func startsAtItsIndex(target: Target) throws {
            let y = try target.run { bench in
                let out = try bench.poisoned(3000, as: .f32)
                var args = forja_multiply_add_args(
                    out: out.span, count: 3000, steps: 0, factor: 3, addend: 1)
                try bench.run { forja_multiply_add($0, &args) }
                return try out.values()
            }
            expectSame(y, (0..<3000).map { Double($0 % 1024) })
        }

        @Test("refuses more steps than a call may take")
        func refusesManySteps() throws {
            try Target(device: TestDevice.host).run { bench in
                var args = forja_multiply_add_args(
                    out: try bench.poisoned(1, as: .f32).span, count: 1,
                    steps: UInt64(FORJA_MULTIPLY_ADD_MAX_STEPS) + 1, factor: 0.5, addend: 1)
                expectFailure(
                    FORJA_ERROR_OUT_OF_RANGE, forja_multiply_add(bench.device.queue, &args),
                    saying: "repeat the call")
            }
        }

        @Test("BLAS gives the product", arguments: [0, 1, 2])
        func blasGivesTheProduct(code: UInt32) throws {
            let layout = forja_matmul_layout(rawValue: code)
            let (m, n, k) = (5, 7, 3)
            var random = TestRandom(seed: 1)
            let a = random.values(m * k, as: .f32)
            let b = random.values(k * n, as: .f32)
            let start = random.values(m * n, as: .f32)
            let c = try Target(device: TestDevice.host).run { bench in
                let c = try bench.tensor(start, as: .f32)
                var args = try Self.product(m, n, k, layout, a, b, at: bench)
                args.c = c.span
                try bench.run { forja_blas_matmul($0, &args) }
                // Ending the threads twice, and between two products, is no matter.
                forja_blas_end_threads()
                forja_blas_end_threads()
                try bench.run { forja_blas_matmul($0, &args) }
                return try c.values()
            }
            let want = (0..<m * n).map { index in
                let (i, j) = (index / n, index % n)
                return (0..<k).reduce(start[index]) { sum, step in
                    let left = layout == FORJA_MATMUL_TN ? a[step * m + i] : a[i * k + step]
                    let right = layout == FORJA_MATMUL_NT ? b[j * k + step] : b[step * n + j]
                    return sum + 2 * left * right
                }
            }
            expectClose(c, want, within: Tolerance.sum, ofMagnitude: [8])
        }

        @Test("BLAS refuses what it cannot multiply")
        func blasRefuses() throws {
            try Target(device: TestDevice.host).run { bench in
                let (m, n, k) = (2, 3, 4)
                let queue = bench.device.queue
                var args = try Self.product(
                    m, n, k, FORJA_MATMUL_NN, [Double](repeating: 0, count: m * k),
                    [Double](repeating: 0, count: k * n), at: bench)
                args.c = try bench.poisoned(2 * m * n, as: .f32).span
                for spoil in [
                    { $0.batch_count = 2 }, { $0.input_dtype = FORJA_DTYPE_BF16 },
                    { $0.output_dtype = FORJA_DTYPE_BF16 }, { $0.a.buffer = nil },
                ] as [(inout forja_matmul_args) -> Void] {
                    var wrong = args
                    wrong.c_stride = UInt64(m * n)
                    spoil(&wrong)
                    expectFailure(
                        FORJA_ERROR_INVALID_ARGUMENT, forja_blas_matmul(queue, &wrong))
                }
                expectFailure(FORJA_ERROR_INVALID_ARGUMENT, forja_blas_matmul(queue, nil))
            }
        }

        /// C += A · B, without C.
        private static func product(
            _ m: Int, _ n: Int, _ k: Int, _ layout: forja_matmul_layout, _ a: [Double],
            _ b: [Double], at bench: Workbench
        ) throws -> forja_matmul_args {
            var args = forja_matmul_args()
            args.layout = layout
            (args.input_dtype, args.output_dtype) = (FORJA_DTYPE_F32, FORJA_DTYPE_F32)
            args.a = try bench.tensor(a, as: .f32).span
            args.b = try bench.tensor(b, as: .f32).span
            (args.m, args.n, args.k) = (UInt64(m), UInt64(n), UInt64(k))
            args.lda = UInt64(layout == FORJA_MATMUL_TN ? m : k)
            args.ldb = UInt64(layout == FORJA_MATMUL_NT ? k : n)
            args.ldc = UInt64(n)
            args.batch_count = 1
            (args.alpha, args.accumulate) = (1, true)
            return args
        }
    }
}
