import CForja
import Testing

enum MatmulLayout: String, CaseIterable, Sendable {
    case nn, nt, tn

    var engineLayout: forja_matmul_layout {
        switch self {
        case .nn: FORJA_MATMUL_NN
        case .nt: FORJA_MATMUL_NT
        case .tn: FORJA_MATMUL_TN
        }
    }
}

/// One product: sizes M, N, K, storage, and everything the argument struct can vary.
private struct Product {
    var layout: MatmulLayout
    var m: Int
    var n: Int
    var k: Int
    var input = Storage.f32
    var output = Storage.f32
    var batch = 1
    /// Elements between the end of a stored row and the start of the next.
    var padding = (a: 0, b: 0, c: 0)
    var sharesA = false
    var sharesB = false
    var alpha = 1.0
    var accumulates = false

    var aRows: Int { layout == .tn ? k : m }
    var aWidth: Int { layout == .tn ? m : k }
    var bRows: Int { layout == .nt ? n : k }
    var bWidth: Int { layout == .nt ? k : n }
}

extension OperationTests {
    @Suite("Matrix product")
    struct MatmulTests {
        static let sizes = [
            (1, 1, 1), (1, 65, 64), (64, 64, 64), (63, 1, 65), (65, 63, 1025), (1025, 65, 63),
            (64, 1025, 1), (130, 96, 257),
        ]

        @Test("matches float64 for ragged sizes", arguments: Target.matmul, MatmulLayout.allCases)
        func matchesForRaggedSizes(target: Target, layout: MatmulLayout) throws {
            for (m, n, k) in Self.sizes {
                try expectProduct(Product(layout: layout, m: m, n: n, k: k), on: target)
            }
            // One launch on OpenCL CPU devices, in blocks of rows, of columns and of both.
            for (m, n, k) in [(300, 200, 40), (200, 300, 259), (517, 395, 33)] {
                var product = Product(layout: layout, m: m, n: n, k: k, batch: 2)
                (product.padding, product.alpha) = ((3, 1, 2), 0.5)
                product.accumulates = true
                try expectProduct(product, on: target)
            }
        }

        @Test(
            "matches float64 in every configuration of every variant", arguments: Target.matmulRows)
        func matchesInEveryConfiguration(target: Target) throws {
            for layout in MatmulLayout.allCases {
                for (m, n, k) in Self.sizes + [(17, 300, 600), (200, 9, 300)] {
                    try expectProduct(Product(layout: layout, m: m, n: n, k: k), on: target)
                }
                var product = Product(layout: layout, m: 70, n: 66, k: 150, batch: 3)
                (product.input, product.output) = (.bf16, .bf16)
                (product.alpha, product.accumulates) = (0.5, true)
                try expectProduct(product, on: target, alone: true)
            }
        }

        @Test("has the same bits in every variant of one order", arguments: TestDevice.openCL)
        func hasSameBitsInOneOrder(choice: TestDevice.Choice) throws {
            for layout in MatmulLayout.allCases {
                for (m, n, k) in [
                    (65, 130, 257), (5, 100, 1030), (300, 20, 64), (130, 300, 1), (300, 200, 300),
                ] {
                    for input in Storage.computing {
                        var product = Product(layout: layout, m: m, n: n, k: k, input: input)
                        (product.alpha, product.accumulates) = (0.7, true)
                        var random = TestRandom(seed: 8)
                        let a = random.values(m * k, as: input)
                        let b = random.values(n * k, as: input)
                        let old = random.values(m * n, as: .f32)
                        var args = matmulArgs(layout.engineLayout, m: m, n: n, k: k, input)
                        args.output_dtype = FORJA_DTYPE_F32
                        let device = try choice.open().device
                        let found = try Variant.list(FORJA_OP_MATMUL, on: device, &args)
                        var bits: [String: [UInt8]] = [:]
                        for variant in found {
                            let target = Target(
                                device: choice,
                                forced: .init(
                                    variable: "FORJA_MATMUL_VARIANT", value: variant.identifier))
                            let got = try target.run {
                                try run(product, at: $0, a: a, b: b, old: old).c.bytes()
                            }
                            let want = bits[variant.order, default: got]
                            bits[variant.order] = want
                            #expect(
                                got == want,
                                "\(variant.identifier) breaks \(variant.order), \(layout) \(m)×\(n)×\(k)"
                            )
                        }
                    }
                }
            }
        }

        /// Packed panels hold at most 2048 rows, 4096 columns and 1024 of k at once on the host; on OpenCL CPU devices
        /// 2 M numbers of A, and then 2048 rows or 1024 of k.
        @Test("matches float64 past the extent of packed panels", arguments: Target.matmul)
        func matchesPastPanels(target: Target) throws {
            for (layout, m, n, k) in [
                (MatmulLayout.nt, 50, 4100, 9), (.nn, 2050, 20, 9), (.tn, 49, 4100, 1030),
            ] {
                try expectProduct(Product(layout: layout, m: m, n: n, k: k), on: target)
            }
        }

        @Test("matches float64 for every storage type", arguments: Target.matmul, Storage.computing)
        func matchesForStorage(target: Target, input: Storage) throws {
            for output in Storage.computing {
                for layout in MatmulLayout.allCases {
                    for (m, n, k) in [(65, 63, 129), (1, 33, 1025), (96, 64, 32)] {
                        try expectProduct(
                            Product(layout: layout, m: m, n: n, k: k, input: input, output: output),
                            on: target)
                    }
                }
            }
        }

        @Test(
            "matches float64 on matrix units",
            arguments: Target.matrixUnits(forcing: "FORJA_MATMUL_VARIANT"), MatmulLayout.allCases)
        func matchesOnMatrixUnits(target: Target, layout: MatmulLayout) throws {
            for (m, n, k) in [(1, 1, 1), (65, 63, 129), (130, 96, 257), (17, 200, 16)] {
                for output in Storage.computing {
                    var product = Product(layout: layout, m: m, n: n, k: k, input: .bf16)
                    product.output = output
                    product.padding = (3, 5, 7)
                    try expectProduct(product, on: target)
                    (product.batch, product.sharesB) = (3, true)
                    (product.alpha, product.accumulates) = (-0.75, true)
                    try expectProduct(product, on: target)
                }
            }
            // Rows that start at 16 bytes are read as vectors; their last may be a part.
            for (m, n, k) in [(64, 64, 64), (72, 136, 200), (13, 70, 50)] {
                var product = Product(layout: layout, m: m, n: n, k: k, input: .bf16)
                product.padding = (8 - product.aWidth % 8, 8 - product.bWidth % 8, 0)
                product.batch = 2
                try expectProduct(product, on: target.aligned)
            }
        }

        @Test("scales and adds to what C holds", arguments: Target.matmul, Storage.computing)
        func scalesAndAccumulates(target: Target, output: Storage) throws {
            for layout in MatmulLayout.allCases {
                try expectProduct(
                    Product(
                        layout: layout, m: 33, n: 65, k: 70, output: output, alpha: -0.75,
                        accumulates: true),
                    on: target)
            }
        }

        @Test("leaves the gaps between rows alone", arguments: Target.matmul, MatmulLayout.allCases)
        func leavesGapsAlone(target: Target, layout: MatmulLayout) throws {
            for (m, n, k) in [(31, 66, 65), (64, 64, 64)] {
                for accumulates in [false, true] {
                    try expectProduct(
                        Product(
                            layout: layout, m: m, n: n, k: k, padding: (3, 5, 7),
                            accumulates: accumulates),
                        on: target)
                }
            }
        }

        @Test("takes batches, and operands they share", arguments: Target.matmul, [1, 3, 5])
        func takesBatches(target: Target, batch: Int) throws {
            for (sharesA, sharesB) in [(false, false), (true, false), (false, true)] {
                for layout in MatmulLayout.allCases {
                    try expectProduct(
                        Product(
                            layout: layout, m: 17, n: 33, k: 20, batch: batch, padding: (1, 2, 3),
                            sharesA: sharesA, sharesB: sharesB, accumulates: batch == 3),
                        on: target)
                }
            }
        }

        @Test("of nothing is zero, or leaves C", arguments: Target.matmul)
        func ofNothingIsZero(target: Target) throws {
            for accumulates in [false, true] {
                for output in Storage.computing {
                    try expectProduct(
                        Product(
                            layout: .nt, m: 5, n: 67, k: 0, output: output, padding: (1, 1, 2),
                            accumulates: accumulates),
                        on: target)
                }
            }
        }

        @Test("lets NaN through to its row and no other", arguments: Target.matmul)
        func letsNaNThrough(target: Target) throws {
            let (m, n, k) = (9, 20, 33)
            var random = TestRandom(seed: 4)
            var a = random.values(m * k, as: .f32)
            a[4 * k + 30] = .nan
            // A zero on the other side must not hide it.
            let b = [Double](repeating: 0, count: n * k)
            let product = Product(layout: .nt, m: m, n: n, k: k)
            let c = try target.run { try run(product, at: $0, a: a, b: b).c.values() }
            for row in 0..<m {
                let cells = c[row * n..<(row + 1) * n]
                #expect(cells.allSatisfy { row == 4 ? $0.isNaN : $0 == 0 })
            }
        }

        @Test("has its gradients in the other two layouts", arguments: Target.matmul)
        func hasGradientsInOtherLayouts(target: Target) throws {
            // Y = X·Wᵀ, loss Σ Y·R: dX = R·W (NN), dW = Rᵀ·X (TN).
            let (rows, inputs, outputs) = (6, 10, 7)
            var random = TestRandom(seed: 5)
            let x = random.values(rows * inputs, as: .f32)
            let w = random.values(outputs * inputs, as: .f32)
            let r = random.values(rows * outputs, as: .f32)
            func loss(x: [Double], w: [Double]) -> Double {
                dot(
                    Reference.matmul(.nt, m: rows, n: outputs, k: inputs, a: x, b: w).values, r)
            }
            let dx = Product(layout: .nn, m: rows, n: inputs, k: outputs)
            let dw = Product(layout: .tn, m: outputs, n: inputs, k: rows)
            try target.run { bench in
                expectGradient(
                    try run(dx, at: bench, a: r, b: w).c.values(), of: { loss(x: $0, w: w) }, at: x,
                    within: Tolerance.sum, ofMagnitude: Double(outputs))
                expectGradient(
                    try run(dw, at: bench, a: r, b: x).c.values(), of: { loss(x: x, w: $0) }, at: w,
                    within: Tolerance.sum, ofMagnitude: Double(rows))
            }
        }

        @Test("needs no more memory than it says", arguments: Target.matmul)
        func needsNoMoreMemoryThanItSays(target: Target) throws {
            for (m, n, k) in [(257, 190, 300), (3, 700, 513)] {
                for layout in MatmulLayout.allCases {
                    var product = Product(layout: layout, m: m, n: n, k: k)
                    (product.input, product.output) = (.bf16, .bf16)
                    try expectProduct(product, on: target, alone: true)
                }
            }
        }

        @Test("gives the same bits on any number of threads and in every run")
        func givesSameBits() throws {
            for layout in MatmulLayout.allCases {
                for (m, n, k) in [(257, 190, 300), (3, 700, 513), (700, 5, 70)] {
                    for input in Storage.computing {
                        let product = Product(layout: layout, m: m, n: n, k: k, input: input)
                        var random = TestRandom(seed: 6)
                        let a = random.values(m * k, as: input)
                        let b = random.values(n * k, as: input)
                        try Target.expectSameBits(on: Target.matmul) {
                            try run(product, at: $0, a: a, b: b).c.bytes()
                        }
                    }
                }
            }
        }

        @Test("gives the same bits by every tile of ascending k")
        func givesSameBitsByEveryTile() throws {
            // OpenBLAS, split_k and the host's generic path order their sums as they like; with few
            // rows, so do all.
            let targets = Target.matmul.filter {
                $0.forced.map { ["ref", "cpu", "gpu", "avx2"].contains($0.value) } ?? true
            }
            for layout in MatmulLayout.allCases {
                for accumulates in [false, true] {
                    var product = Product(layout: layout, m: 130, n: 70, k: 1100)
                    product.accumulates = accumulates
                    var random = TestRandom(seed: 8)
                    let a = random.values(product.m * product.k, as: .f32)
                    let b = random.values(product.n * product.k, as: .f32)
                    let old = random.values(product.m * product.n, as: .f32)
                    let results = try targets.map { target in
                        try target.run {
                            try run(product, at: $0, a: a, b: b, old: old).c.values()
                        }
                    }
                    for (target, result) in zip(targets, results) {
                        #expect(
                            result == results[0],
                            "\(target.testDescription) differs from \(targets[0].testDescription)")
                    }
                }
            }
        }

        /// Runs `product` on random operands and expects float64's result, and every gap untouched.
        private func expectProduct(
            _ product: Product, on target: Target, alone: Bool = false,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let p = product
            var random = TestRandom(seed: UInt64(p.m * 31 + p.n * 7 + p.k))
            let a = random.values(
                (p.sharesA ? 1 : p.batch) * p.aRows * p.aWidth, as: p.input)
            let b = random.values(
                (p.sharesB ? 1 : p.batch) * p.bRows * p.bWidth, as: p.input)
            let old = random.values(p.batch * p.m * p.n, as: p.output)
            let (c, gaps) = try target.run(alone: alone) { bench in
                let (c, layout) = try run(p, at: bench, a: a, b: b, old: old)
                let stored = try c.values()
                return (layout.gather(stored), layout.gaps(in: stored))
            }
            var want = Reference.Sums(values: [], magnitudes: [])
            for index in 0..<p.batch {
                let aStart = p.sharesA ? 0 : index * p.aRows * p.aWidth
                let bStart = p.sharesB ? 0 : index * p.bRows * p.bWidth
                let sums = Reference.matmul(
                    p.layout, m: p.m, n: p.n, k: p.k,
                    a: Array(a[aStart..<aStart + p.aRows * p.aWidth]),
                    b: Array(b[bStart..<bStart + p.bRows * p.bWidth]), alpha: p.alpha)
                want.values += sums.values
                want.magnitudes += sums.magnitudes
            }
            if p.accumulates { want.add(old) }
            expectClose(
                c, want.values, within: Tolerance.sum, ofMagnitude: want.magnitudes, as: p.output,
                "\(p.layout) \(p.m)×\(p.n)×\(p.k) \(p.input)→\(p.output) c",
                sourceLocation: sourceLocation)
            #expect(gaps.areAllNaN, "wrote between rows", sourceLocation: sourceLocation)
        }

        /// Queues the product and waits. C starts as `old` where it accumulates, else as NaN; gaps
        /// of every operand are NaN.
        private func run(
            _ product: Product, at bench: Workbench, a: [Double], b: [Double], old: [Double] = []
        ) throws -> (c: GuardedTensor, layout: PaddedMatrices) {
            let p = product
            let aLayout = PaddedMatrices(
                count: p.sharesA ? 1 : p.batch, rows: p.aRows, width: p.aWidth,
                padding: p.padding.a)
            let bLayout = PaddedMatrices(
                count: p.sharesB ? 1 : p.batch, rows: p.bRows, width: p.bWidth,
                padding: p.padding.b)
            let cLayout = PaddedMatrices(
                count: p.batch, rows: p.m, width: p.n, padding: p.padding.c)
            let aTensor = try bench.tensor(aLayout.scatter(a), as: p.input)
            let bTensor = try bench.tensor(bLayout.scatter(b), as: p.input)
            let cTensor =
                p.accumulates
                ? try bench.tensor(cLayout.scatter(old), as: p.output)
                : try bench.poisoned(cLayout.elementCount, as: p.output)
            var args = forja_matmul_args()
            args.layout = p.layout.engineLayout
            args.input_dtype = p.input.dtype
            args.output_dtype = p.output.dtype
            (args.a, args.b, args.c) = (aTensor.span, bTensor.span, cTensor.span)
            (args.m, args.n, args.k) = (UInt64(p.m), UInt64(p.n), UInt64(p.k))
            args.lda = UInt64(aLayout.rowStride)
            args.ldb = UInt64(bLayout.rowStride)
            args.ldc = UInt64(cLayout.rowStride)
            args.batch_count = UInt64(p.batch)
            args.a_stride = p.sharesA ? 0 : UInt64(aLayout.matrixStride)
            args.b_stride = p.sharesB ? 0 : UInt64(bLayout.matrixStride)
            args.c_stride = UInt64(cLayout.matrixStride)
            args.alpha = Float(p.alpha)
            args.accumulate = p.accumulates
            let bytes = forja_matmul_workspace_bytes(bench.device.device, &args)
            try bench.run(workspaceBytes: bytes) { forja_matmul($0, &args) }
            return (cTensor, cLayout)
        }
    }
}
