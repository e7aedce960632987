import CForja
import Testing

extension OperationTests {
    @Suite("Softmax")
    struct SoftmaxTests {
        static let widths = [1, 63, 64, 65, 1024, 1025]

        @Test("matches float64 for ragged widths, in place too", arguments: Target.rows, widths)
        func matchesForRaggedWidths(target: Target, width: Int) throws {
            for storage in Storage.computing {
                for inPlace in [false, true] {
                    var random = TestRandom(seed: UInt64(width))
                    let x = random.values(33 * width, as: storage, scale: 8)
                    try expectSoftmax(of: x, width: width, storage, inPlace: inPlace, on: target)
                }
            }
        }

        @Test("gives −∞ no weight, and a row of −∞ zeros", arguments: Target.rows, widths)
        func givesMinusInfinityNoWeight(target: Target, width: Int) throws {
            for storage in Storage.computing {
                var random = TestRandom(seed: UInt64(width))
                var x = random.values(4 * width, as: storage, scale: 8)
                for column in 0..<width {
                    x[width + column] = -.infinity
                    if column % 3 != 0 { x[2 * width + column] = -.infinity }
                    if column != width - 1 { x[3 * width + column] = -.infinity }
                }
                try expectSoftmax(of: x, width: width, storage, inPlace: false, on: target)
            }
        }

        @Test("stays finite for huge scores", arguments: Target.rows)
        func staysFinite(target: Target) throws {
            let x = [3e38, -3e38, 3e38, 0, 1e5, 1e5 - 1, -1e5, 1e5 - 2]
            try expectSoftmax(
                of: Storage.f32.rounded(x), width: 4, .f32, inPlace: false, on: target)
        }

        @Test("has the gradients of float64, in place too", arguments: Target.rows, widths)
        func hasGradients(target: Target, width: Int) throws {
            for storage in Storage.computing {
                for inPlace in [false, true] {
                    var random = TestRandom(seed: UInt64(width))
                    let x = random.values(33 * width, as: .f32, scale: 4)
                    let y = storage.rounded(Reference.softmax(x, width: width))
                    let dy = random.values(33 * width, as: storage)
                    let dx = try target.run { bench in
                        try backward(y, dy: dy, width: width, storage, inPlace: inPlace, at: bench)
                            .values()
                    }
                    let want = Reference.softmaxBackward(y, dy: dy, width: width)
                    expectClose(
                        dx, want.values, within: Tolerance.sum, ofMagnitude: want.magnitudes,
                        as: storage, "dx")
                }
            }
        }

        @Test("has the slopes of the float64 function", arguments: Target.rows)
        func hasSlopes(target: Target) throws {
            var random = TestRandom(seed: 71)
            let x = random.values(3 * 9, as: .f32, scale: 2)
            let dy = random.values(3 * 9, as: .f32)
            let dx = try target.run { bench in
                let y = try forward(x, width: 9, .f32, inPlace: false, at: bench).values()
                return try backward(y, dy: dy, width: 9, .f32, inPlace: false, at: bench).values()
            }
            expectGradient(
                dx, of: { dot(Reference.softmax($0, width: 9), dy) }, at: x, coordinates: 27,
                within: Tolerance.transcendental, ofMagnitude: 1)
        }

        @Test("gives the same bits on any number of threads and in every run")
        func givesSameBits() throws {
            var random = TestRandom(seed: 72)
            let x = random.values(100 * 1025, as: .f32, scale: 8)
            let dy = random.values(100 * 1025, as: .f32)
            try Target.expectSameBits(on: Target.rows) { bench in
                let y = try forward(x, width: 1025, .f32, inPlace: false, at: bench)
                let dx = try backward(
                    y.values(), dy: dy, width: 1025, .f32, inPlace: false, at: bench)
                return try y.bytes() + dx.bytes()
            }
        }

        private func expectSoftmax(
            of x: [Double], width: Int, _ storage: Storage, inPlace: Bool, on target: Target,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let y = try target.run { bench in
                try forward(x, width: width, storage, inPlace: inPlace, at: bench).values()
            }
            // x − max is exact to half a unit of |x|, and becomes a relative error of exp.
            expectClose(
                y, Reference.softmax(x, width: width), within: Tolerance.attention, as: storage,
                "width \(width) y", sourceLocation: sourceLocation)
        }

        private func forward(
            _ x: [Double], width: Int, _ storage: Storage, inPlace: Bool, at bench: Workbench
        ) throws -> GuardedTensor {
            let xTensor = try bench.tensor(x, as: storage)
            let y = inPlace ? xTensor : try bench.poisoned(x.count, as: storage)
            var args = forja_softmax_args()
            args.dtype = storage.dtype
            (args.x, args.y) = (xTensor.span, y.span)
            (args.rows, args.width) = (UInt64(x.count / width), UInt64(width))
            try bench.run { forja_softmax_forward($0, &args) }
            return y
        }

        private func backward(
            _ y: [Double], dy: [Double], width: Int, _ storage: Storage, inPlace: Bool,
            at bench: Workbench
        ) throws -> GuardedTensor {
            let dyTensor = try bench.tensor(dy, as: storage)
            let dx = inPlace ? dyTensor : try bench.poisoned(y.count, as: storage)
            var args = forja_softmax_backward_args()
            args.dtype = storage.dtype
            args.y = try bench.tensor(y, as: storage).span
            (args.dy, args.dx) = (dyTensor.span, dx.span)
            (args.rows, args.width) = (UInt64(y.count / width), UInt64(width))
            try bench.run { forja_softmax_backward($0, &args) }
            return dx
        }
    }
}
