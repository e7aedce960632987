import CForja
import Testing

/// B batch, T query rows, S keys, H query heads, G key-value heads, D head width.
extension OperationTests {
    @Suite("Attention")
    struct AttentionTests {
        /// Every grouping and head width, lengths around the tile sizes; the product of all would
        /// take minutes and find nothing more.
        static let squareShapes = [
            square(1, heads: 1, groups: 1, width: 16), square(63, heads: 2, groups: 1, width: 64),
            square(64, heads: 3, groups: 1, width: 80), square(65, heads: 8, groups: 1, width: 16),
            square(33, heads: 4, groups: 2, width: 128, batch: 2),
            square(130, heads: 2, groups: 2, width: 64, batch: 2),
            square(65, heads: 6, groups: 2, width: 80),
            square(1025, heads: 1, groups: 1, width: 16),
            // More query heads than one task of the host takes.
            square(65, heads: 9, groups: 1, width: 16),
        ]

        /// The shapes that `storage` is tried on. bf16 differs only in loads and stores, so two head
        /// widths suffice; every further one compiles a dozen kernels.
        private func shapes(_ shapes: [AttentionShape], for storage: Storage) -> [AttentionShape] {
            shapes.filter { storage == .f32 || [64, 80].contains($0.headDim) }
        }

        static func square(
            _ length: Int, heads: Int, groups: Int, width: Int, batch: Int = 1
        ) -> AttentionShape {
            AttentionShape(
                batch: batch, queryLength: length, keyLength: length, heads: heads,
                keyValueHeads: groups, headDim: width)
        }

        /// Sequences packed from documents of these lengths, the same in every batch but shifted.
        static func packed(_ lengths: [Int], heads: Int, groups: Int, width: Int) -> AttentionShape
        {
            func starts(_ lengths: [Int]) -> [Int32] {
                var start = 0
                var starts: [Int32] = []
                for length in lengths {
                    starts += [Int32](repeating: Int32(start), count: length)
                    start += length
                }
                return starts
            }
            var shape = square(
                lengths.reduce(0, +), heads: heads, groups: groups, width: width, batch: 2)
            shape.documentStart = starts(lengths) + starts(lengths.reversed())
            return shape
        }

        static let packedShapes = [
            packed([1, 2, 60, 1], heads: 2, groups: 1, width: 16),
            packed([40, 64, 33], heads: 3, groups: 1, width: 64),
            packed([1, 1, 1, 1, 1], heads: 4, groups: 2, width: 80),
            packed([130, 1, 70], heads: 2, groups: 2, width: 16),
        ]

        @Test("matches float64", arguments: Target.attention, Storage.computing)
        func matchesFloat64(target: Target, storage: Storage) throws {
            for shape in shapes(Self.squareShapes, for: storage) {
                try expectForward(shape, storage, on: target)
            }
        }

        @Test("matches float64 in every configuration", arguments: Target.attentionRows)
        func matchesInEveryConfiguration(target: Target) throws {
            for shape in [
                Self.square(130, heads: 4, groups: 2, width: 64, batch: 2), Self.packedShapes[0],
                AttentionShape(
                    batch: 2, queryLength: 1, keyLength: 150, heads: 2, keyValueHeads: 1,
                    headDim: 16, queryOffset: [0, 85]),
            ] {
                try expectForward(shape, .f32, on: target)
                if shape.queryOffset == nil { try expectBackward(shape, .f32, on: target) }
            }
        }

        @Test("has the same bits in every variant of one order", arguments: TestDevice.openCL)
        func hasSameBitsInOneOrder(choice: TestDevice.Choice) throws {
            for shape in [Self.square(130, heads: 4, groups: 2, width: 64), Self.packedShapes[1]] {
                let inputs = AttentionInputs(shape, .f32, seed: 25)
                var args = forja_attention_backward_args()
                args.forward = attentionArgs(shape, .f32)
                let device = try choice.open().device
                for op in [FORJA_OP_ATTENTION_FORWARD, FORJA_OP_ATTENTION_BACKWARD] {
                    let found =
                        op == FORJA_OP_ATTENTION_FORWARD
                        ? try Variant.list(op, on: device, &args.forward)
                        : try Variant.list(op, on: device, &args)
                    var bits: [String: [UInt8]] = [:]
                    for variant in found {
                        let target = Target(
                            device: choice,
                            forced: .init(
                                variable: "FORJA_ATTENTION_VARIANT", value: variant.identifier))
                        // Every backward pass starts from the default's forward pass.
                        let bench = Workbench(on: try choice.open())
                        let call = try AttentionCall(shape, .f32, inputs, at: bench)
                        try call.runForward()
                        let got = try target.run { _ in
                            if op == FORJA_OP_ATTENTION_FORWARD {
                                try call.runForward()
                                return try call.out.bytes() + call.lse.bytes()
                            }
                            try call.queueBackward(dOut: inputs.dOut)
                            return try call.gradientBytes()
                        }
                        let want = bits[variant.order, default: got]
                        bits[variant.order] = want
                        #expect(got == want, "\(variant.identifier) breaks \(variant.order)")
                    }
                }
            }
        }

        @Test("takes any even head width up to 256", arguments: Target.attention, [6, 256])
        func takesAnyEvenHeadWidth(target: Target, width: Int) throws {
            let shape = Self.square(37, heads: 2, groups: 1, width: width)
            try expectForward(shape, .f32, on: target)
            try expectBackward(shape, .f32, on: target)
        }

        @Test(
            "matches float64 on matrix units",
            arguments: Target.matrixUnits(forcing: "FORJA_ATTENTION_VARIANT"))
        func matchesOnMatrixUnits(target: Target) throws {
            // A width for each size of tile and one that is no multiple of 8, ragged lengths.
            for shape in [
                Self.square(66, heads: 4, groups: 2, width: 64),
                Self.square(33, heads: 2, groups: 1, width: 80, batch: 2),
                Self.square(37, heads: 2, groups: 2, width: 256),
                Self.packed([1, 2, 60, 1], heads: 3, groups: 1, width: 6),
                Self.packed([40, 64, 33], heads: 2, groups: 1, width: 64),
            ] {
                try expectForward(shape, .bf16, on: target)
                try expectBackward(shape, .bf16, on: target)
            }
            let aligned = Self.square(70, heads: 4, groups: 2, width: 64)
            try expectForward(aligned, .bf16, on: target.aligned)
            try expectBackward(aligned, .bf16, on: target.aligned)
            let fused = Self.packed([13, 50], heads: 4, groups: 2, width: 80)
            try expectForward(fused, .bf16, fused: true, on: target)
            try expectBackward(fused, .bf16, fused: true, on: target)
            let cached = AttentionShape(
                batch: 2, queryLength: 20, keyLength: 96, heads: 4, keyValueHeads: 2, headDim: 64,
                queryOffset: [5, 66])
            try expectForward(cached, .bf16, poisonsUnseenKeys: true, on: target)
        }

        @Test(
            "has the gradients of float64 where keys come in several chunks",
            arguments: Target.attention)
        func hasGradientsOverChunks(target: Target) throws {
            let shape = Self.square(130, heads: 1, groups: 1, width: 256, batch: 16)
            try expectBackward(shape, .f32, on: target)
        }

        @Test("keeps packed documents apart", arguments: Target.attention, Storage.computing)
        func keepsDocumentsApart(target: Target, storage: Storage) throws {
            for shape in shapes(Self.packedShapes, for: storage) {
                try expectForward(shape, storage, on: target)
            }
        }

        @Test("decodes against a cache", arguments: Target.attention, Storage.computing)
        func decodesAgainstCache(target: Target, storage: Storage) throws {
            let decodes =
                [
                    (1, 2, 1, 64), (1, 8, 1, 16), (3, 3, 1, 80), (65, 2, 2, 128), (1, 6, 3, 64),
                ].map { rows, heads, groups, width in
                    AttentionShape(
                        batch: 3, queryLength: rows, keyLength: 150, heads: heads,
                        keyValueHeads: groups, headDim: width, queryOffset: [0, 64, 85])
                } + [
                    // Long enough to be split over tasks.
                    AttentionShape(
                        batch: 2, queryLength: 1, keyLength: 900, heads: 4, keyValueHeads: 2,
                        headDim: 64, queryOffset: [899, 70])
                ]
            for shape in shapes(decodes, for: storage) {
                try expectForward(shape, storage, on: target)
            }
        }

        @Test(
            "reads Q, K and V from one fused tensor", arguments: Target.attention, Storage.computing
        )
        func readsFusedTensor(target: Target, storage: Storage) throws {
            for shape in shapes(Self.squareShapes.dropLast() + Self.packedShapes, for: storage) {
                try expectForward(shape, storage, fused: true, on: target)
            }
        }

        @Test("stays finite where scores are large", arguments: Target.attention)
        func staysFiniteForLargeScores(target: Target) throws {
            // Scores rise by hundreds along the keys, so the running maximum changes at each.
            let shape = Self.square(70, heads: 1, groups: 1, width: 16)
            let q = [Double](repeating: 8, count: shape.queryCount)
            let k = (0..<shape.keyCount).map { Double($0 / 16) * 4 - 100 }
            var random = TestRandom(seed: 9)
            let v = random.values(shape.keyCount, as: .f32)
            let want = Reference.attention(shape, q: q, k: k, v: v)
            try target.run { bench in
                let call = try AttentionCall(shape, .f32, q: q, k: k, v: v, at: bench)
                try call.runForward()
                expectClose(
                    try call.out.values(), want.out, within: Tolerance.attention, ofMagnitude: [1])
                expectClose(try call.lse.values(), want.lse, within: Tolerance.attention)
            }
        }

        @Test("never reads keys that no row sees", arguments: Target.attention, Storage.computing)
        func neverReadsUnseenKeys(target: Target, storage: Storage) throws {
            // A cache past its filled part is memory nobody wrote.
            let shape = AttentionShape(
                batch: 2, queryLength: 2, keyLength: 96, heads: 4, keyValueHeads: 2, headDim: 64,
                queryOffset: [5, 66])
            try expectForward(shape, storage, poisonsUnseenKeys: true, on: target)
        }

        @Test("has the gradients of float64", arguments: Target.attention, Storage.computing)
        func hasGradients(target: Target, storage: Storage) throws {
            for shape in shapes(Self.squareShapes + Self.packedShapes, for: storage) {
                try expectBackward(shape, storage, on: target)
            }
        }

        @Test(
            "writes gradients into one fused tensor", arguments: Target.attention, Storage.computing
        )
        func writesFusedGradients(target: Target, storage: Storage) throws {
            for shape in shapes(Self.squareShapes.dropLast() + Self.packedShapes, for: storage) {
                try expectBackward(shape, storage, fused: true, on: target)
            }
        }

        @Test("has the slopes of the float64 function", arguments: Target.attention)
        func hasSlopes(target: Target) throws {
            for shape in [
                Self.square(9, heads: 2, groups: 1, width: 16),
                Self.packed([3, 5, 1], heads: 3, groups: 3, width: 16),
            ] {
                let inputs = AttentionInputs(shape, .f32, seed: 21)
                let (q, k, v, dOut) = (inputs.q, inputs.k, inputs.v, inputs.dOut)
                func loss(_ q: [Double], _ k: [Double], _ v: [Double]) -> Double {
                    dot(Reference.attention(shape, q: q, k: k, v: v).out, dOut)
                }
                try target.run { bench in
                    let call = try AttentionCall(shape, .f32, q: q, k: k, v: v, at: bench)
                    try call.runForward()
                    let gradients = try call.runBackward(dOut: dOut)
                    expectGradient(
                        gradients.dq, of: { loss($0, k, v) }, at: q, within: Tolerance.attention,
                        ofMagnitude: 4)
                    expectGradient(
                        gradients.dk, of: { loss(q, $0, v) }, at: k, within: Tolerance.attention,
                        ofMagnitude: 4)
                    expectGradient(
                        gradients.dv, of: { loss(q, k, $0) }, at: v, within: Tolerance.attention,
                        ofMagnitude: 4)
                }
            }
        }

        @Test("needs memory that grows no faster than the sequence", arguments: Target.attention)
        func needsLinearMemory(target: Target) throws {
            try target.run { bench in
                let device = bench.device.device
                func bytes(_ length: Int) -> (forward: Double, backward: Double) {
                    var args = forja_attention_backward_args()
                    args.forward = attentionArgs(
                        Self.square(length, heads: 8, groups: 2, width: 64), .bf16)
                    args.dq_row_stride = args.forward.q_row_stride
                    args.dk_row_stride = args.forward.k_row_stride
                    args.dv_row_stride = args.forward.v_row_stride
                    return (
                        Double(forja_attention_forward_workspace_bytes(device, &args.forward)),
                        Double(forja_attention_backward_workspace_bytes(device, &args))
                    )
                }
                let (short, long) = (bytes(4096), bytes(32_768))
                #expect(long.forward <= 8.01 * short.forward)
                #expect(long.backward <= 8.01 * short.backward)
                // Less than a tenth of one head's [T, T] matrix.
                #expect(max(long.forward, long.backward) < 32_768 * 32_768 * 4 / 10)
            }
        }

        @Test("needs no more memory than it says", arguments: Target.attention, Storage.computing)
        func needsNoMoreMemoryThanItSays(target: Target, storage: Storage) throws {
            for shape in [
                Self.square(130, heads: 4, groups: 2, width: 64, batch: 2), Self.packedShapes[1],
                AttentionShape(
                    batch: 3, queryLength: 1, keyLength: 900, heads: 8, keyValueHeads: 1,
                    headDim: 80, queryOffset: [0, 500, 899]),
            ] {
                let inputs = AttentionInputs(shape, storage, seed: 24)
                try target.run(alone: true) { bench in
                    let call = try AttentionCall(shape, storage, inputs, at: bench)
                    try call.runForward()
                    if shape.queryOffset == nil { try call.queueBackward(dOut: inputs.dOut) }
                }
            }
        }

        @Test("gives the same bits on any number of threads and in every run")
        func givesSameBits() throws {
            for shape in [
                Self.square(130, heads: 6, groups: 3, width: 64, batch: 2),
                Self.square(300, heads: 1, groups: 1, width: 80), Self.packedShapes[1],
            ] {
                for storage in Storage.computing {
                    let inputs = AttentionInputs(shape, storage, seed: 22)
                    try Target.expectSameBits(on: Target.attention) { bench in
                        let call = try AttentionCall(shape, storage, inputs, at: bench)
                        try call.runForward()
                        try call.queueBackward(dOut: inputs.dOut)
                        return try call.out.bytes() + call.lse.bytes() + call.gradientBytes()
                    }
                }
            }
        }

        private func expectForward(
            _ shape: AttentionShape, _ storage: Storage, fused: Bool = false,
            poisonsUnseenKeys: Bool = false, on target: Target,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let inputs = AttentionInputs(shape, storage, seed: 20)
            let want = Reference.attention(shape, q: inputs.q, k: inputs.k, v: inputs.v)
            var given = inputs
            if poisonsUnseenKeys { given.poisonUnseenKeys() }
            let (out, lse) = try target.run { bench in
                let call = try AttentionCall(shape, storage, given, fused: fused, at: bench)
                try call.runForward()
                return (try call.out.values(), try call.lse.values())
            }
            let tolerance = storage == .f32 ? Tolerance.attention : Tolerance.attentionBF16
            expectClose(
                out, want.out, within: tolerance, ofMagnitude: [1], as: storage,
                "\(shape.testDescription) out", sourceLocation: sourceLocation)
            expectClose(
                lse, want.lse, within: Tolerance.attention,
                ofMagnitude: want.lse.map { $0.magnitude + 1 }, "\(shape.testDescription) lse",
                sourceLocation: sourceLocation)
        }

        private func expectBackward(
            _ shape: AttentionShape, _ storage: Storage, fused: Bool = false,
            on target: Target,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let inputs = AttentionInputs(shape, storage, seed: 23)
            let want = Reference.attentionBackward(
                shape, q: inputs.q, k: inputs.k, v: inputs.v, dOut: inputs.dOut)
            let gradients = try target.run { bench in
                let call = try AttentionCall(shape, storage, inputs, fused: fused, at: bench)
                try call.runForward()
                return try call.runBackward(dOut: inputs.dOut)
            }
            let tolerance = storage == .f32 ? Tolerance.attention : Tolerance.attentionBF16
            for (name, got, want) in [
                ("dq", gradients.dq, want.dq), ("dk", gradients.dk, want.dk),
                ("dv", gradients.dv, want.dv),
            ] {
                expectClose(
                    got, want, within: tolerance, ofMagnitude: [max(1, want.largestMagnitude)],
                    as: storage, "\(shape.testDescription) \(name)", sourceLocation: sourceLocation)
            }
        }
    }
}
