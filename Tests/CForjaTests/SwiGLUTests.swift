import CForja
import Testing

extension OperationTests {
    @Suite("SwiGLU")
    struct SwiGLUTests {
        static let widths = [1, 63, 64, 65, 1024, 1025]

        @Test("matches float64 for ragged widths", arguments: Target.rows, widths)
        func matchesForRaggedWidths(target: Target, width: Int) throws {
            for storage in Storage.computing {
                for rows in [1, 33] {
                    var random = TestRandom(seed: UInt64(width + rows))
                    let x = random.values(rows * 2 * width, as: storage, scale: 6)
                    let y = try target.run { bench in
                        try forward(x, width: width, storage, at: bench).values()
                    }
                    expectClose(
                        y, Reference.swiGLU(x, width: width), within: Tolerance.transcendental,
                        as: storage, "y")
                }
            }
        }

        @Test("stays finite where exp overflows", arguments: Target.rows)
        func staysFinite(target: Target) throws {
            let gates = [-1e4, -200, -90, -0.0, 0, 90, 200, 1e4]
            let width = gates.count
            let x = gates + gates.map { _ in 2 }
            let dy = gates.map { _ in 1.0 }
            try target.run { bench in
                let y = try forward(x, width: width, .f32, at: bench).values()
                expectClose(
                    y, Reference.swiGLU(x, width: width), within: Tolerance.transcendental,
                    ofMagnitude: [1e-30])
                let dx = try backward(x, dy: dy, width: width, .f32, inPlace: false, at: bench)
                    .values()
                let want = Reference.swiGLUBackward(x, dy: dy, width: width)
                expectClose(
                    dx, want.values, within: Tolerance.transcendental,
                    ofMagnitude: want.magnitudes.map { $0 + 1e-30 })
            }
        }

        @Test("has the gradients of float64, in place too", arguments: Target.rows, widths)
        func hasGradients(target: Target, width: Int) throws {
            for storage in Storage.computing {
                for inPlace in [false, true] {
                    var random = TestRandom(seed: UInt64(width))
                    let x = random.values(33 * 2 * width, as: storage, scale: 6)
                    let dy = random.values(33 * width, as: storage)
                    let dx = try target.run { bench in
                        try backward(x, dy: dy, width: width, storage, inPlace: inPlace, at: bench)
                            .values()
                    }
                    let want = Reference.swiGLUBackward(x, dy: dy, width: width)
                    expectClose(
                        dx, want.values, within: Tolerance.transcendental,
                        ofMagnitude: want.magnitudes, as: storage, "dx")
                }
            }
        }

        @Test("has the slopes of the float64 function", arguments: Target.rows)
        func hasSlopes(target: Target) throws {
            var random = TestRandom(seed: 61)
            let x = random.values(3 * 2 * 7, as: .f32, scale: 3)
            let dy = random.values(3 * 7, as: .f32)
            let dx = try target.run { bench in
                try backward(x, dy: dy, width: 7, .f32, inPlace: false, at: bench).values()
            }
            expectGradient(
                dx, of: { dot(Reference.swiGLU($0, width: 7), dy) }, at: x, coordinates: 42,
                within: Tolerance.transcendental, ofMagnitude: 4)
        }

        @Test("gives the same bits on any number of threads and in every run")
        func givesSameBits() throws {
            var random = TestRandom(seed: 62)
            let x = random.values(300 * 2 * 65, as: .bf16, scale: 6)
            let dy = random.values(300 * 65, as: .bf16)
            try Target.expectSameBits(on: Target.rows) { bench in
                try forward(x, width: 65, .bf16, at: bench).bytes()
                    + backward(x, dy: dy, width: 65, .bf16, inPlace: false, at: bench).bytes()
            }
        }

        private func forward(
            _ x: [Double], width: Int, _ storage: Storage, at bench: Workbench
        ) throws -> GuardedTensor {
            let y = try bench.poisoned(x.count / 2, as: storage)
            var args = forja_swiglu_args()
            args.dtype = storage.dtype
            args.x = try bench.tensor(x, as: storage).span
            args.y = y.span
            args.rows = UInt64(x.count / 2 / width)
            args.width = UInt64(width)
            try bench.run { forja_swiglu_forward($0, &args) }
            return y
        }

        private func backward(
            _ x: [Double], dy: [Double], width: Int, _ storage: Storage, inPlace: Bool,
            at bench: Workbench
        ) throws -> GuardedTensor {
            let xTensor = try bench.tensor(x, as: storage)
            let dx = inPlace ? xTensor : try bench.poisoned(x.count, as: storage)
            var args = forja_swiglu_backward_args()
            args.dtype = storage.dtype
            args.x = xTensor.span
            args.dy = try bench.tensor(dy, as: storage).span
            args.dx = dx.span
            args.rows = UInt64(dy.count / width)
            args.width = UInt64(width)
            try bench.run { forja_swiglu_backward($0, &args) }
            return dx
        }
    }
}
