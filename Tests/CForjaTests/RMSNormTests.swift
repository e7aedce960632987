import CForja
import Testing

extension OperationTests {
    @Suite("RMSNorm")
    struct RMSNormTests {
        static let widths = [1, 63, 64, 65, 1024, 1025]

        @Test("matches float64 for ragged widths", arguments: Target.rows, widths)
        func matchesForRaggedWidths(target: Target, width: Int) throws {
            for storage in Storage.computing {
                for rows in [1, 65] {
                    let norm = RMSNormCase(rows: rows, width: width, storage)
                    let (y, rstd) = try target.run { bench in
                        let tensors = try norm.runForward(at: bench)
                        return (try tensors.y.values(), try tensors.rstd.values())
                    }
                    let want = Reference.rmsNorm(
                        norm.x, weight: norm.weight, epsilon: RMSNormCase.epsilon)
                    expectClose(rstd, want.rstd, within: Tolerance.transcendental, "rstd")
                    expectClose(y, want.y, within: Tolerance.transcendental, as: storage, "y")
                }
            }
        }

        @Test("of a zero row is zero, with epsilon under the root", arguments: Target.rows)
        func ofZeroRowIsZero(target: Target) throws {
            var norm = RMSNormCase(rows: 3, width: 65, .f32)
            norm.x = norm.x.map { _ in 0 }
            try target.run { bench in
                let (y, rstd) = try norm.runForward(at: bench)
                #expect(try y.values().allSatisfy { $0 == 0 })
                let want = 1 / RMSNormCase.epsilon.squareRoot()
                expectClose(
                    try rstd.values(), [want, want, want], within: Tolerance.transcendental)
            }
        }

        @Test("has the gradients of float64 for ragged widths", arguments: Target.rows, widths)
        func hasGradients(target: Target, width: Int) throws {
            for storage in Storage.computing {
                for (rows, accumulates) in [(1, false), (65, true), (65, false), (300, false)] {
                    try expectGradients(
                        RMSNormCase(rows: rows, width: width, storage),
                        accumulatesDX: accumulates, accumulatesDWeight: accumulates, on: target)
                }
            }
        }

        @Test("adds to either gradient alone", arguments: Target.rows)
        func addsToEitherGradient(target: Target) throws {
            for (dx, dWeight) in [(true, false), (false, true)] {
                try expectGradients(
                    RMSNormCase(rows: 70, width: 96, .bf16), accumulatesDX: dx,
                    accumulatesDWeight: dWeight, on: target)
            }
        }

        @Test("has the slopes of the float64 function", arguments: Target.rows)
        func hasSlopes(target: Target) throws {
            let norm = RMSNormCase(rows: 4, width: 9, .f32)
            func loss(_ x: [Double], _ weight: [Double]) -> Double {
                dot(
                    Reference.rmsNorm(x, weight: weight, epsilon: RMSNormCase.epsilon).y, norm.dy)
            }
            let (dx, dWeight) = try target.run { bench in
                let tensors = try norm.runBackward(at: bench, oldDX: nil, oldDWeight: nil)
                return (try tensors.dx.values(), try tensors.dWeight.values())
            }
            expectGradient(
                dx, of: { loss($0, norm.weight) }, at: norm.x,
                within: Tolerance.transcendental, ofMagnitude: 20)
            expectGradient(
                dWeight, of: { loss(norm.x, $0) }, at: norm.weight,
                within: Tolerance.transcendental, ofMagnitude: 10)
        }

        @Test("needs no more memory than it says", arguments: Target.rows)
        func needsNoMoreMemoryThanItSays(target: Target) throws {
            for (rows, width) in [(1, 65), (515, 130), (3, 5000)] {
                let norm = RMSNormCase(rows: rows, width: width, .bf16)
                _ = try target.run(alone: true) { bench in
                    try norm.runBackward(at: bench, oldDX: nil, oldDWeight: nil)
                }
            }
        }

        @Test("gives the same bits on any number of threads and in every run")
        func givesSameBits() throws {
            for storage in Storage.computing {
                let norm = RMSNormCase(rows: 515, width: 130, storage)
                try Target.expectSameBits(on: Target.rows) { bench in
                    let forward = try norm.runForward(at: bench)
                    let backward = try norm.runBackward(at: bench, oldDX: nil, oldDWeight: nil)
                    return try forward.y.bytes() + forward.rstd.bytes() + backward.dx.bytes()
                        + backward.dWeight.bytes()
                }
            }
        }

        private func expectGradients(
            _ norm: RMSNormCase, accumulatesDX: Bool, accumulatesDWeight: Bool, on target: Target,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            var (wantDX, wantDWeight) = Reference.rmsNormBackward(
                norm.x, weight: norm.weight, rstd: norm.rstd, dy: norm.dy)
            var random = TestRandom(seed: 42)
            let oldDX = random.values(norm.x.count, as: norm.storage)
            let oldDWeight = random.values(norm.weight.count, as: .f32)
            if accumulatesDX { wantDX.add(oldDX) }
            if accumulatesDWeight { wantDWeight.add(oldDWeight) }
            let (dx, dWeight) = try target.run { bench in
                let tensors = try norm.runBackward(
                    at: bench, oldDX: accumulatesDX ? oldDX : nil,
                    oldDWeight: accumulatesDWeight ? oldDWeight : nil)
                return (try tensors.dx.values(), try tensors.dWeight.values())
            }
            expectClose(
                dx, wantDX.values, within: Tolerance.sum, ofMagnitude: wantDX.magnitudes,
                as: norm.storage, "dx", sourceLocation: sourceLocation)
            expectClose(
                dWeight, wantDWeight.values, within: Tolerance.sum,
                ofMagnitude: wantDWeight.magnitudes, "d_weight", sourceLocation: sourceLocation)
        }
    }
}

/// Random operands of one norm.
private struct RMSNormCase {
    static let epsilon = 1e-5

    let storage: Storage
    let rows: Int
    let width: Int
    var x, weight, dy: [Double]

    init(rows: Int, width: Int, _ storage: Storage) {
        (self.rows, self.width, self.storage) = (rows, width, storage)
        var random = TestRandom(seed: UInt64(rows * 2000 + width))
        x = random.values(rows * width, as: storage, scale: 2)
        weight = random.values(width, as: storage, scale: 1.5)
        dy = random.values(rows * width, as: storage)
    }

    /// What the forward pass hands the backward pass, rounded to f32.
    var rstd: [Double] {
        Storage.f32.rounded(Reference.rmsNorm(x, weight: weight, epsilon: Self.epsilon).rstd)
    }

    func runForward(at bench: Workbench) throws -> (y: GuardedTensor, rstd: GuardedTensor) {
        let y = try bench.poisoned(x.count, as: storage)
        let rstd = try bench.poisoned(rows, as: .f32)
        var args = forja_rmsnorm_args()
        args.dtype = storage.dtype
        args.x = try bench.tensor(x, as: storage).span
        args.weight = try bench.tensor(weight, as: storage).span
        args.y = y.span
        args.rstd = rstd.span
        args.rows = UInt64(rows)
        args.width = UInt64(width)
        args.epsilon = Float(Self.epsilon)
        try bench.run { forja_rmsnorm_forward($0, &args) }
        return (y, rstd)
    }

    /// Gradients added to what is given, or written over NaN.
    func runBackward(
        at bench: Workbench, oldDX: [Double]?, oldDWeight: [Double]?
    ) throws -> (dx: GuardedTensor, dWeight: GuardedTensor) {
        let dx =
            try oldDX.map { try bench.tensor($0, as: storage) }
            ?? bench.poisoned(x.count, as: storage)
        let dWeight =
            try oldDWeight.map { try bench.tensor($0, as: .f32) }
            ?? bench.poisoned(width, as: .f32)
        var args = forja_rmsnorm_backward_args()
        args.dtype = storage.dtype
        args.x = try bench.tensor(x, as: storage).span
        args.weight = try bench.tensor(weight, as: storage).span
        args.rstd = try bench.tensor(rstd, as: .f32).span
        args.dy = try bench.tensor(dy, as: storage).span
        args.dx = dx.span
        args.d_weight = dWeight.span
        args.rows = UInt64(rows)
        args.width = UInt64(width)
        args.accumulate_dx = oldDX != nil
        args.accumulate_d_weight = oldDWeight != nil
        let bytes = forja_rmsnorm_backward_workspace_bytes(bench.device.device, &args)
        try bench.run(workspaceBytes: bytes) { forja_rmsnorm_backward($0, &args) }
        return (dx, dWeight)
    }
}
